/* YAML files: spaces, whose corners become networks; recipes, which come back
 * as JSON; targets, which price a network. One input is read as all three. */
#include "fuzz/fuzz.h"

#include "app/recipe.h"
#include "cost/cost.h"
#include "space/space.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_space(const apq_space *space) {
    apq_policy corners[2];
    apq_ir_network network;
    apq_policy_largest(space, space->bits[space->n_bits - 1], &corners[0]);
    apq_policy_smallest(space, space->bits[0], &corners[1]);
    for (int i = 0; i < 2; i++) {
        FUZZ_CHECK(apq_policy_check(space, &corners[i]) == APQ_OK);
        (void)fuzz_took(apq_policy_lower(space, &corners[i], &network));
    }
    FUZZ_CHECK(isfinite(apq_space_log10_size(space)));
}

static void check_recipe(const apq_recipe *recipe) {
    char *text = apq_recipe_to_json(recipe);
    /* Texts may hold what is no UTF-8, which JSON has no words for. */
    FUZZ_CHECK(text == NULL || text[0] == '{');
    free(text);
}

static void check_target(apq_target *target) {
    apq_space space;
    apq_policy policy;
    apq_ir_network network;
    apq_cost cost;
    FUZZ_CHECK(apq_space_load("tiny", &space) == APQ_OK);
    apq_policy_smallest(&space, 4, &policy);
    FUZZ_CHECK(apq_policy_lower(&space, &policy, &network) == APQ_OK);
    if (fuzz_took(apq_cost_network(target, &network, &cost))) {
        FUZZ_CHECK(cost.latency_ms >= 0 && cost.energy_mj >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_path("input.yaml");
    apq_space space;
    apq_recipe recipe;
    apq_target *target;
    fuzz_write(path, data, size);
    if (fuzz_took(apq_space_load(path, &space))) {
        check_space(&space);
    }
    if (fuzz_took(apq_recipe_load(path, &recipe))) {
        check_recipe(&recipe);
    }
    if (fuzz_took(apq_target_load(path, &target))) {
        check_target(target);
        apq_target_destroy(target);
    }
    return 0;
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static const char *const files[] = {
        "configs/spaces/tiny.yaml",
        "configs/spaces/imagenet-apq.yaml",
        "configs/targets/bitfusion.yaml",
        "configs/targets/cpu.yaml",
        "recipes/tiny.yaml",
    };
    static const char exec[] =
        "name: mine\nmodel: exec\ntimeout_s: 2\ncommand: [sh, -c, cat]\n"
        "capabilities:\n  conv: [{weight_bits: [4, 8], act_bits: [8], "
        "container_bits: [8, 8]}]\n";
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        fuzz_give_file(files[i], give, ctx);
    }
    give(ctx, exec, strlen(exec));
}
