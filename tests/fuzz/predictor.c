/* Predictor files: what is taken predicts. */
#include "fuzz/fuzz.h"

#include "base/rng.h"
#include "predictor/predictor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_path("predictor.safetensors");
    apq_predictor *predictor;
    fuzz_write(path, data, size);
    if (!fuzz_took(apq_predictor_load(path, NULL, &predictor))) {
        return 0;
    }
    const apq_space *space = apq_predictor_space(predictor);
    apq_policy policies[2];
    double accuracy[2], deviation[2];
    apq_policy_largest(space, 8, &policies[0]);
    apq_policy_smallest(space, 4, &policies[1]);
    FUZZ_CHECK(apq_predictor_predict(predictor, policies, 2, false, accuracy) ==
               APQ_OK);
    FUZZ_CHECK(apq_predictor_spread(predictor, policies, 2, true, accuracy,
                                    deviation) == APQ_OK);
    apq_predictor_destroy(predictor);
    return 0;
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static const apq_predictor_meta metas[] = {{"supernet_hash", "0123"},
                                               {"records_hash", "4567"}};
    const char *path = fuzz_path("seed.safetensors");
    apq_space space;
    FUZZ_CHECK(apq_space_load("tiny", &space) == APQ_OK);
    for (int n_members = 1; n_members <= 2; n_members++) {
        apq_predictor *predictor;
        FUZZ_CHECK(apq_predictor_create_ensemble(&space, 3, n_members, 1,
                                                 &predictor) == APQ_OK);
        FUZZ_CHECK(apq_predictor_save(predictor, path, metas, 2) == APQ_OK);
        apq_predictor_destroy(predictor);
        fuzz_give_tensors(path, give, ctx);
    }
    fuzz_give_tensors("tests/golden/predictor_tiny.safetensors", give, ctx);
}
