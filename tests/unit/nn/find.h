#ifndef APQ_TESTS_UNIT_NN_FIND_H
#define APQ_TESTS_UNIT_NN_FIND_H

#include "nn/params.h"

#include "unit/asserts.h"

/* The tensor of this name; fails the test where there is none. */
static inline size_t find_tensor(const apq_params *params, const char *name) {
    for (size_t t = 0; t < params->n_items; t++) {
        if (strcmp(params->items[t].name, name) == 0) {
            return t;
        }
    }
    fail_msg("no tensor %s", name);
    return 0;
}

#endif
