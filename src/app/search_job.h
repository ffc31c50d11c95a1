#ifndef APQ_APP_SEARCH_JOB_H
#define APQ_APP_SEARCH_JOB_H

#include "app/search.h"
#include "app/search_saver.h"
#include "app/stopwatch.h"

/* Bests of other budgets that a search may begin from. */
enum { APQ_JOB_MAX_STARTS = 32 };

/* What the searches of one command share, and what their callbacks see.
 * Private to search*.c, sweep*.c and remeasure.c. */
typedef struct apq_search_job {
    const apq_recipe *recipe;
    const apq_progress *progress; /* the stopwatch's */
    apq_stopwatch stopwatch;
    apq_target *target;
    const apq_predictor *predictor;
    apq_target *own_target; /* what open loaded; NULL: given */
    apq_predictor *own_predictor;
    apq_price_table *prices;
    double values[4096];  /* accuracies of one batch */
    bool is_blind;        /* the released code: bits are not seen */
    double deadline_s;    /* 0: none */
    const char *strategy; /* of the next search, as iterations */
    int iterations;
    apq_policy starts[APQ_JOB_MAX_STARTS]; /* of the next search */
    size_t n_starts;
    char weights_hash[APQ_HASH_MAX]; /* of the supernet that measures again */
    apq_search_file file;            /* its key is "" where nothing is kept */
    apq_app_search_result *out;
} apq_search_job;

/* Clears *out, starts the stopwatch. Destroy what was made; NULL is fine. */
APQ_NODISCARD apq_status apq_search_job_create(const apq_recipe *recipe,
                                               const apq_progress *progress,
                                               apq_app_search_result *out,
                                               apq_search_job **self);
void apq_search_job_destroy(apq_search_job *self);

/* With space and target in place: prices, out->low and high, and whether the
 * recipe's budgets can be met. Errors: those of apq_app_search. */
APQ_NODISCARD apq_status apq_search_job_prepare(apq_search_job *self);
/* The recipe's space, with the run's classes, and target, prepared. */
APQ_NODISCARD apq_status
apq_search_job_open_target(apq_search_job *self, const char *run_dir_or_null);
/* The same, and the predictor that apq_app_search describes. */
APQ_NODISCARD apq_status apq_search_job_open(apq_search_job *self,
                                             const char *run_dir_or_null,
                                             const char *predictor_or_null);

/* Hash of all that decides what a search finds: space, target, predictor,
 * budgets and the recipe's search. */
void apq_search_job_key(const apq_search_job *self, char out[APQ_HASH_MAX]);

/* Searches under out->budget, at one bit-width or at any where `bits` is 0.
 * Errors: INFEASIBLE, those of apq_search_run. */
APQ_NODISCARD apq_status apq_search_job_run(apq_search_job *self, int bits,
                                            apq_search_result **out);
/* Price and true prediction of a policy. UNSUPPORTED: the target cannot run
 * it. */
APQ_NODISCARD apq_status apq_search_job_describe(const apq_search_job *self,
                                                 const apq_policy *policy,
                                                 apq_candidate *out);
/* out->latency_share of out->best. */
APQ_NODISCARD apq_status apq_search_job_shares(const apq_search_job *self);
/* The best network of one bit-width under out->budget, from `starts` and the
 * front of out->search; not found where there is none. */
APQ_NODISCARD apq_status apq_search_job_uniform(apq_search_job *self, int bits,
                                                apq_candidate *out);
/* What searching architecture, widths and bits one after the other finds under
 * out->budget; not found where a stage has no way left. */
APQ_NODISCARD apq_status apq_search_job_sequential(apq_search_job *self,
                                                   apq_candidate *out);
/* out->baselines, and out->evaluations increased. */
APQ_NODISCARD apq_status apq_search_job_baselines(apq_search_job *self);
/* Makes a better one of out->baselines the result. */
void apq_search_job_keep_better(apq_app_search_result *out);

#endif
