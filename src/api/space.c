/* Spaces and policies as handles: below this layer both are plain data, kept
 * by value. */
#include "space/space.h"

#include "base/memory.h"

#include <stdlib.h>

apq_status apq_space_create(const char *name_or_path, apq_space **out) {
    apq_space *space = apq_calloc(1, sizeof *space);
    if (space == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "space %s: out of memory", name_or_path);
    }
    apq_status st = apq_space_load(name_or_path, space);
    if (st == APQ_OK) {
        *out = space; /* success: ownership moves to the caller */
        space = NULL;
    }
    free(space);
    return st;
}

void apq_space_destroy(apq_space *space) {
    free(space);
}

const char *apq_space_name(const apq_space *space) {
    return space->name;
}

apq_status apq_policy_create(const apq_space *space, const char *json,
                             apq_policy **out) {
    apq_policy *policy = apq_calloc(1, sizeof *policy);
    if (policy == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "policy: out of memory");
    }
    apq_status st = apq_policy_from_json(space, json, "policy", policy);
    if (st == APQ_OK) {
        *out = policy; /* success: ownership moves to the caller */
        policy = NULL;
    }
    free(policy);
    return st;
}

void apq_policy_destroy(apq_policy *policy) {
    free(policy);
}

apq_status apq_policy_json(const apq_space *space, const apq_policy *policy,
                           char **out) {
    APQ_TRY(apq_policy_check(space, policy));
    char *text = apq_policy_to_json(space, policy);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "policy: out of memory");
    }
    *out = text;
    return APQ_OK;
}
