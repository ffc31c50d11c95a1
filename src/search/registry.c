/* The complete list of strategies. A new one is a folder and a line in each
 * of the two tables; the contract suite picks it up by itself. */
#include "search/strategy.h"

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

/* Levenshtein distance of the first MAX_WORD characters. */
static size_t edit_distance(const char *a, const char *b) {
    size_t na = strnlen(a, MAX_WORD);
    size_t nb = strnlen(b, MAX_WORD);
    size_t row[MAX_WORD + 1];
    for (size_t j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[nb];
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
    size_t nearest = 0;
    for (size_t i = 1; i < N_STRATEGIES; i++) {
        if (edit_distance(name, names[i]) <
            edit_distance(name, names[nearest])) {
            nearest = i;
        }
    }
    APQ_FAIL(APQ_ERR_ARG, "unknown strategy '%.*s'; did you mean '%s'?",
             MAX_WORD, name, names[nearest]);
}
