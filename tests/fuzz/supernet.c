/* Supernet files, read as a step of a run reads them. */
#include "fuzz/fuzz.h"

#include "app/session.h"
#include "fuzz/micro.h"

#include <stdio.h>

static void make_recipe(apq_recipe *recipe) {
    apq_recipe_default(recipe);
    (void)snprintf(recipe->space, sizeof recipe->space, "%s",
                   micro_space(NULL));
    (void)snprintf(recipe->data, sizeof recipe->data,
                   "builtin:shapes?train=20&test=20&size=8");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static apq_recipe recipe;
    if (recipe.space[0] == '\0') {
        make_recipe(&recipe);
    }
    const char *path = fuzz_path("supernet.safetensors");
    apq_session session;
    fuzz_write(path, data, size);
    FUZZ_CHECK(apq_session_open(&session, &recipe, NULL) == APQ_OK);
    (void)fuzz_took(apq_session_load_supernet(&session, path));
    apq_session_fini(&session);
    return 0;
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static apq_recipe recipe;
    const char *path = fuzz_path("seed.safetensors");
    apq_session session;
    make_recipe(&recipe);
    FUZZ_CHECK(apq_session_open(&session, &recipe, NULL) == APQ_OK);
    FUZZ_CHECK(apq_session_open_data(&session) == APQ_OK);
    FUZZ_CHECK(apq_supernet_create(&session.space, 1, &session.supernet) ==
               APQ_OK);
    FUZZ_CHECK(apq_session_save_supernet(&session, path) == APQ_OK);
    apq_session_fini(&session);
    fuzz_give_tensors(path, give, ctx);
}
