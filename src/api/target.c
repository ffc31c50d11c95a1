/* Prices of policies: lowered to a network, which the target prices. */
#include <apq/target.h>

#include "app/lut.h"
#include "app/range.h"
#include "cost/cost.h"
#include "space/space.h"

apq_status apq_target_create(const char *name_or_path, apq_target **out) {
    return apq_target_load(name_or_path, out);
}

apq_status apq_target_cost(apq_target *target, const apq_space *space,
                           const apq_policy *policy, apq_cost *out) {
    apq_ir_network network;
    /* The handle does not know its space; lowering another's would overrun. */
    APQ_TRY(apq_policy_check(space, policy));
    APQ_TRY(apq_app_check_target(space, target));
    APQ_TRY(apq_policy_lower(space, policy, &network));
    return apq_cost_network(target, &network, out);
}

apq_status apq_target_range(apq_target *target, const apq_space *space,
                            apq_cost *low, apq_cost *high) {
    apq_price_table *table = NULL;
    APQ_TRY(apq_app_check_target(space, target));
    APQ_TRY(apq_price_table_create(space, target, &table));
    apq_status st = apq_app_range(table, low, high);
    apq_price_table_destroy(table);
    return st;
}
