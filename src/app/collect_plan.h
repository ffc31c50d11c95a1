#ifndef APQ_APP_COLLECT_PLAN_H
#define APQ_APP_COLLECT_PLAN_H

#include "app/recipe.h"
#include "space/space.h"
#include "store/records.h"

#include <stdint.h>

/* The kind of the quantised records that the recipe asks for. */
apq_record_kind apq_collect_quantised_kind(const apq_recipe *recipe);

/* The policy of record `seq` of a kind, canonical: the corners of the space
 * first, so that predictors see the extremes, then random ones. It depends on
 * the seed, the kind, seq and, of quantised kinds, on
 * collect.policies_per_architecture P: from P = 2 on every other group of P
 * records has one random architecture in P random bit settings. Half of any
 * number of records is fully random then, as in APQ's data.
 * Source: APQ section 4. */
void apq_collect_plan(const apq_recipe *recipe, const apq_space *space,
                      apq_record_kind kind, int64_t seq, apq_policy *out);

enum { APQ_COLLECT_N_CORNERS = 4 };

#endif
