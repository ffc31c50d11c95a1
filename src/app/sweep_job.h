#ifndef APQ_APP_SWEEP_JOB_H
#define APQ_APP_SWEEP_JOB_H

#include "app/search_job.h"
#include "app/sweep.h"
#include "search/front.h"

/* A sweep at work. Private to sweep.c and sweep_saved.c. */
typedef struct apq_sweep_job {
    apq_search_job *search;
    apq_front front; /* of all points so far */
    apq_sweep_result *out;
    apq_search_file file; /* of the points; its key is "" where none are kept */
    int n_kept;           /* points in it, the first ones of out->points */
    double seconds;       /* that earlier processes spent on them */
} apq_sweep_job;

/* Where points are kept in the run directory, and the search of a point. The
 * budgets of out->common are still the recipe's. */
APQ_NODISCARD apq_status apq_sweep_keep_in(apq_sweep_job *self,
                                           const char *run_dir);
/* Keeps the search of point i under way; nothing where nothing is kept. */
APQ_NODISCARD apq_status apq_sweep_keep_search(apq_sweep_job *self, int i);

/* The first n points and the front, whole; `seconds` were spent on them in
 * all. What was kept of the search of a point goes. */
APQ_NODISCARD apq_status apq_sweep_save(apq_sweep_job *self, int n,
                                        double seconds);
/* Takes over points that a sweep of the same input has kept, none where there
 * are none. The budgets of the points are in place, front is empty. */
APQ_NODISCARD apq_status apq_sweep_resume(apq_sweep_job *self);
/* After the result is written. */
void apq_sweep_remove(const apq_sweep_job *self);

#endif
