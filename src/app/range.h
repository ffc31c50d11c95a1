#ifndef APQ_APP_RANGE_H
#define APQ_APP_RANGE_H

#include "base/status.h"
#include "cost/cost.h"
#include "space/space.h"

/* Smallest and largest value of each additive cost field over all policies of
 * a space that the target can run. Exact, each field on its own (no policy
 * need reach two of them at once). peak_activation_bytes is NaN.
 * Errors: APQ_ERR_INFEASIBLE when a block has no runnable choice. */
APQ_NODISCARD apq_status apq_app_range(const apq_space *space,
                                       apq_target *target, apq_cost *low,
                                       apq_cost *high);

/* A policy with the smallest value of one additive field, in canonical form.
 * Errors: as above; APQ_ERR_ARG for peak_activation_bytes. */
APQ_NODISCARD apq_status apq_app_cheapest(const apq_space *space,
                                          apq_target *target,
                                          apq_cost_field field,
                                          apq_policy *out);

#endif
