#ifndef APQ_SEARCH_LOOP_H
#define APQ_SEARCH_LOOP_H

#include "search/diversity.h"
#include "search/driver.h"
#include "search/elite.h"
#include "search/front.h"

/* Everything one run of the driver owns besides its result. Private to
 * driver.c and saved.c. */
typedef struct apq_search_loop {
    const apq_space *space;
    const apq_driver_options *options;
    const apq_strategy_ops *ops;
    void *state;
    apq_policy smallest;     /* the seed when the caller gives none */
    apq_policy *batch;       /* (population) as asked */
    apq_score *scores;       /* (population) of batch */
    size_t *entries;         /* (population) cache entry of batch */
    apq_policy *fresh;       /* (population) canonical, not scored before */
    apq_score *fresh_scores; /* (population) */
    size_t *fresh_at;        /* (population) position in batch */
    uint64_t *hashes;        /* (population) of batch */
    apq_score_cache cache;
    apq_elite top; /* its entries are the result's */
    apq_front front;
    uint64_t n_done, n_total; /* candidates */
    uint64_t n_idle;          /* candidates since the last new one */
    double row_sum;           /* of feasible values since the last row */
    uint64_t row_feasible;
    uint64_t n_asked, n_passed; /* calls of `feasible` since the last row */
    apq_diversity diversity;    /* of the candidates since */
    double best;                /* when it was last better than before */
    bool has_best;
    uint64_t n_stalled; /* candidates since */
    size_t cap_history;
    double saved_at_s;
    apq_search_result *result;
} apq_search_loop;

/* Room for one more row of history. */
APQ_NODISCARD apq_status apq_search_grow_history(apq_search_loop *loop);
/* Hands the state to options->saver. */
APQ_NODISCARD apq_status apq_search_save(apq_search_loop *loop);
/* Goes on from the state that options->saver has, after the strategy's init;
 * nothing happens where there is none of the same search. */
APQ_NODISCARD apq_status apq_search_resume(apq_search_loop *loop);

#endif
