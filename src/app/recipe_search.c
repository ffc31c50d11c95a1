/* What a recipe asks of a search: is there such a one, what does it price? */
#include "app/recipe.h"
#include "base/words.h"

#include "search/driver.h"

#include <stdio.h>
#include <string.h>

enum { PLACE_BYTES = APQ_PATH_MAX + 16 };

/* "FILE:LINE" of a key of the section. False: it is not in the file. */
static bool find_place(const apq_yaml *yaml, const char *key,
                       char out[PLACE_BYTES]) {
    (void)snprintf(out, PLACE_BYTES, "%s",
                   yaml == NULL ? "recipe" : apq_yaml_path(yaml));
    if (yaml == NULL) {
        return false;
    }
    apq_yaml_node section = apq_yaml_find(yaml, apq_yaml_root(yaml), "search");
    apq_yaml_node node = section == 0 ? 0 : apq_yaml_find(yaml, section, key);
    if (node != 0) {
        (void)snprintf(out, PLACE_BYTES, "%s:%d", apq_yaml_path(yaml),
                       apq_yaml_line(yaml, node));
    }
    return node != 0;
}

static apq_status check_strategy(const char *name, const apq_yaml *yaml) {
    const char *const *names = apq_strategy_names();
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0) {
            return APQ_OK;
        }
    }
    char place[PLACE_BYTES];
    (void)find_place(yaml, "strategy", place);
    const char *nearest = apq_nearest_word(name, names);
    APQ_FAIL(APQ_ERR_FORMAT,
             "%s: search.strategy \"%s\" is unknown, see apq list "
             "strategies%s%s",
             place, name, nearest != NULL ? "; did you mean " : "",
             nearest != NULL ? nearest : "");
}

apq_status apq_recipe_check_search(const apq_recipe *recipe,
                                   const apq_yaml *yaml_or_null) {
    char place[PLACE_BYTES];
    int population = recipe->search.population;
    APQ_TRY(check_strategy(recipe->search.strategy, yaml_or_null));
    if (recipe->search.parents > population) {
        if (!find_place(yaml_or_null, "parents", place)) {
            (void)find_place(yaml_or_null, "population", place);
        }
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: search.parents %d is not in 1..%d, the population", place,
                 recipe->search.parents, population);
    }
    if (recipe->search.as_released &&
        strcmp(recipe->search.strategy, "evolution") != 0) {
        (void)find_place(yaml_or_null, "as_released", place);
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: search.as_released: %s has no released form, only "
                 "evolution has",
                 place, recipe->search.strategy);
    }
    return APQ_OK;
}

void apq_recipe_set_accounting(const apq_recipe *recipe, apq_space *space) {
    space->prices_all_layers |= recipe->search.all_layers;
}
