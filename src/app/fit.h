#ifndef APQ_APP_FIT_H
#define APQ_APP_FIT_H

#include "app/session.h"
#include "predictor/predictor.h"
#include "store/records.h"

#include <jansson.h>
#include <stdint.h>

/* A predictor fitted to float records (unless the recipe does without
 * transfer), then to quantised ones with seq below n_quantised. The caller owns
 * it. What it reached on held-out records is noted on the session's progress
 * and, where `reports` is not NULL, put there under "float" and "quantised".
 * Errors: ARG no records; those of apq_predictor_fit. */
APQ_NODISCARD apq_status apq_fit_records(const apq_session *session,
                                         apq_records *records,
                                         int64_t n_quantised,
                                         apq_predictor **out, json_t *reports);

/* MISMATCH with both hashes when the predictor, read from `file`, was fitted
 * to another supernet than the run's. A predictor that does not say what it
 * was fitted to and a run without a supernet pass. Errors: IO. */
APQ_NODISCARD apq_status apq_fit_check_supernet(const apq_predictor *predictor,
                                                const char *file,
                                                const char *run_dir);

#endif
