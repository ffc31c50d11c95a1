#ifndef APQ_APP_ACTIVE_H
#define APQ_APP_ACTIVE_H

#include "app/session.h"
#include "cost/cost.h"
#include "store/records.h"

#include <stdint.h>

/* Chooses quantised networks to measure next: those that a predictor of the
 * records so far finds best under the recipe's budgets, and under budgets
 * down to 0.6 of them. A search finds where its predictor errs upwards;
 * measured there, it no longer does. `seq` is where their records begin: only
 * quantised records before it are used, so the same call chooses the same
 * policies while theirs are being added. Writes n policies, canonical,
 * distinct and without records before seq.
 * Source: ours; active learning as in Settles, 2009, section 3. */
APQ_NODISCARD apq_status apq_active_choose(apq_session *session,
                                           apq_records *records,
                                           apq_target *target, int64_t seq,
                                           size_t n, apq_policy *out);

#endif
