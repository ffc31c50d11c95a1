#ifndef APQ_APP_SWEEP_H
#define APQ_APP_SWEEP_H

#include "app/search.h"

/* Evenly spaced budgets of one cost, both ends included. */
typedef struct apq_sweep_range {
    apq_budget_field field;
    double from, to; /* from < to, both > 0 */
    int n_points;    /* 2..APQ_SWEEP_MAX_POINTS */
} apq_sweep_range;

enum { APQ_SWEEP_MAX_POINTS = 200, APQ_SWEEP_FRONT = 256 };

/* Reads "FROM:TO:POINTS" into *out, except its field. APQ_ERR_ARG names
 * `option`, the text and what is legal. */
APQ_NODISCARD apq_status apq_sweep_parse(const char *option, const char *text,
                                         apq_sweep_range *out);
/* The budget of point i. */
double apq_sweep_budget(const apq_sweep_range *range, int i);

/* The answer to one budget. */
typedef struct apq_sweep_point {
    double budget[APQ_BUDGET_N_FIELDS]; /* 0: none */
    apq_search_entry entry;             /* the best, as the search saw it */
    apq_candidate best;
    apq_candidate uniform8, uniform4; /* best found of one bit-width */
    apq_search_history_row *history;  /* (n_history) of its own search */
    size_t n_history;
    uint64_t evaluations; /* of its own searches */
    double seconds;
    bool is_complete; /* neither stopped nor timed out */
} apq_sweep_point;

typedef struct apq_sweep_result {
    apq_sweep_range range;
    apq_app_search_result common; /* space, target, limits, seed, ...; its
                                     budget is that of the loosest point */
    apq_sweep_point *points;      /* (n_points) those that can be met, tightest
                                     first; a looser one is never worse */
    int n_points, n_skipped;      /* skipped ones are the tightest */
    apq_search_entry *front;      /* (n_front) by accuracy, best first; none is
                                     better than another in accuracy and all
                                     costs */
    size_t n_front;
    uint64_t evaluations;
    double seconds;
    bool is_stopped; /* with a front: the best so far */
} apq_sweep_result;

/* `apq search` for every budget of `range`; the recipe's other budgets hold
 * for all. Each search begins from what tighter budgets found and its finds
 * are shared with them. With a run directory front.json and front.svg/png/pdf
 * are written there, and what was found before a kill or a stop is taken over
 * (docs/search.md). Predictor, ownership and errors are those of
 * apq_app_search; INFEASIBLE only when no point can be met, others are skipped
 * with a note. ARG as well for a recipe with as_released. Call fini in every
 * case. */
APQ_NODISCARD apq_status apq_app_sweep(const apq_recipe *recipe,
                                       const apq_sweep_range *range,
                                       const char *run_dir_or_null,
                                       const char *predictor_or_null,
                                       const apq_progress *progress,
                                       apq_sweep_result *out);
void apq_app_sweep_fini(apq_sweep_result *result);

/* The document of docs/formats/front.md (malloc'd), or NULL when memory is
 * out. */
char *apq_app_sweep_json(const apq_sweep_result *result);
/* JSON at `json_path`; the picture at `stem`.svg, .png and .pdf. Atomic each.
 */
APQ_NODISCARD apq_status apq_app_sweep_write(const apq_sweep_result *result,
                                             const char *json_path,
                                             const char *stem);

#endif
