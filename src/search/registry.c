/* The complete list of strategies. A new one is a folder and a line in each
 * of the two tables; the contract suite picks it up by itself. */
#include "search/strategy.h"

#include "base/words.h"

#include <string.h>

static const apq_strategy_ops *const strategies[] = {
    &apq_strategy_evolution, &apq_strategy_evolution_plus, &apq_strategy_nsga2,
    &apq_strategy_local,     &apq_strategy_random,
};
static const char *const names[] = {"evolution", "evolution+", "nsga2",
                                    "local",     "random",     NULL};

enum {
    N_STRATEGIES = sizeof strategies / sizeof *strategies,
    MAX_WORD = 32,
};
_Static_assert(sizeof names / sizeof *names == N_STRATEGIES + 1,
               "names and strategies list the same entries");

const char *const *apq_strategy_names(void) {
    return names;
}

static const apq_strategy_ops *lookup(const char *name) {
    for (size_t i = 0; i < N_STRATEGIES; i++) {
        if (strcmp(strategies[i]->name, name) == 0) {
            return strategies[i];
        }
    }
    return NULL;
}

const char *apq_strategy_summary(const char *name) {
    const apq_strategy_ops *found = name == NULL ? NULL : lookup(name);
    return found == NULL ? NULL : found->summary;
}

apq_status apq_strategy_find(const char *name, const apq_strategy_ops **out) {
    *out = NULL;
    if (name == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "no search strategy named");
    }
    *out = lookup(name);
    if (*out != NULL) {
        return APQ_OK;
    }
    const char *nearest = apq_nearest_word(name, names);
    if (nearest != NULL) {
        APQ_FAIL(APQ_ERR_ARG, "unknown strategy '%.*s'; did you mean '%s'?",
                 MAX_WORD, name, nearest);
    }
    APQ_FAIL(APQ_ERR_ARG, "unknown strategy '%.*s'", MAX_WORD, name);
}
