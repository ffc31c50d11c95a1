/* Fine-tuned networks: what becomes an integer model computes the same in the
 * reference, in the engine and in the fused evaluation. */
#include "fuzz/fuzz.h"

#include "app/network.h"
#include "base/rng.h"
#include "deploy/int_engine.h"
#include "deploy/int_infer.h"
#include "deploy/int_reference.h"
#include "fuzz/micro.h"
#include "supernet/supernet.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES = 8 * 8 * 3, N_CLASSES = 3, N_IMAGES = 16 };

static void draw_images(float *images, int n) {
    apq_rng rng = apq_rng_make(2, APQ_RNG_TEST, 0);
    for (int i = 0; i < n * VALUES; i++) {
        images[i] = (float)apq_rng_normal(&rng);
    }
}

static void check_model(const apq_int_model *model) {
    float image[VALUES], expected[N_CLASSES], logits[N_CLASSES];
    apq_int_engine *engine;
    apq_int_infer *infer;
    draw_images(image, 1);
    FUZZ_CHECK(apq_int_reference_run(model, image, NULL, expected) == APQ_OK);
    FUZZ_CHECK(apq_int_engine_create(model, &engine) == APQ_OK);
    FUZZ_CHECK(apq_int_engine_run(engine, image, 1, logits) == APQ_OK);
    FUZZ_CHECK(memcmp(logits, expected, sizeof logits) == 0);
    apq_int_engine_destroy(engine);
    FUZZ_CHECK(apq_int_infer_create(model, &infer) == APQ_OK);
    if (infer != NULL) {
        apq_int_infer_run(infer, image, 1, logits);
        FUZZ_CHECK(memcmp(logits, expected, sizeof logits) == 0);
    }
    apq_int_infer_destroy(infer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *space;
    if (space == NULL) {
        space = strdup(micro_space(NULL)); /* as long as the program runs */
    }
    const char *path = fuzz_path("network.safetensors");
    apq_network *network;
    apq_int_model *model;
    fuzz_write(path, data, size);
    /* By what the file tells of its space, else by the space's own file. */
    if (!fuzz_took(apq_network_open(path, NULL, &network)) &&
        !fuzz_took(apq_network_open(path, space, &network))) {
        return 0;
    }
    if (network->space.n_classes == N_CLASSES &&
        fuzz_took(apq_int_model_create(&network->net, &model))) {
        check_model(model);
        apq_int_model_destroy(model);
    }
    apq_network_destroy(network);
    return 0;
}

static void put_space_text(apq_tensor_file *file) {
    apq_space space;
    char *text;
    FUZZ_CHECK(apq_space_load_text(micro_space(NULL), &space, &text) == APQ_OK);
    FUZZ_CHECK(apq_tensor_file_put_meta(file, "space_text", text) == APQ_OK);
    free(text);
}

static void put_metas(apq_tensor_file *file, const apq_space *space,
                      const apq_policy *policy) {
    char hash[APQ_HASH_MAX];
    apq_space_hash(space, hash);
    char *text = apq_policy_to_json(space, policy);
    const char *const metas[][2] = {
        {"format", "apq network 2"},
        {"space", "micro"},
        {"space_hash", hash},
        {"classes", "3"},
        {"data_hash", "0123456789abcdef"},
        {"policy", text},
        {"class_names", "[\"a\",\"b\",\"c\"]"},
        {"image_mean", "[0.5,0.5,0.5]"},
        {"image_std", "[0.25,0.25,0.25]"},
    };
    for (size_t i = 0; i < sizeof metas / sizeof metas[0]; i++) {
        FUZZ_CHECK(apq_tensor_file_put_meta(file, metas[i][0], metas[i][1]) ==
                   APQ_OK);
    }
    free(text);
}

static void save(const apq_space *space, const apq_policy *policy,
                 const apq_model *model, const apq_nn_net *net, bool has_space,
                 const char *path) {
    apq_tensor_file *file;
    FUZZ_CHECK(apq_tensor_file_create(&file) == APQ_OK);
    put_metas(file, space, policy);
    if (has_space) {
        put_space_text(file);
    }
    FUZZ_CHECK(apq_model_put(model, net, false, file) == APQ_OK);
    FUZZ_CHECK(apq_tensor_file_save(file, path) == APQ_OK);
    apq_tensor_file_destroy(file);
}

/* A calibrated network of random weights. */
static void make_network(const apq_space *space, apq_quantiser quantiser,
                         const char *path) {
    static float images[N_IMAGES * VALUES];
    apq_policy policy;
    apq_supernet *supernet;
    apq_model *model;
    apq_arena *arena;
    const apq_backend *backend;
    apq_nn_net *net = calloc(1, sizeof *net);
    float *logits;
    FUZZ_CHECK(net != NULL);
    draw_images(images, N_IMAGES);
    apq_policy_largest(space, 6, &policy);
    FUZZ_CHECK(apq_supernet_create(space, 7, &supernet) == APQ_OK);
    FUZZ_CHECK(apq_backend_find("auto", &backend) == APQ_OK);
    FUZZ_CHECK(apq_arena_create(&arena) == APQ_OK);
    FUZZ_CHECK(apq_supernet_extract(supernet, &policy, quantiser, &model) ==
               APQ_OK);
    FUZZ_CHECK(apq_model_bind(model, backend, arena, net) == APQ_OK);
    FUZZ_CHECK(apq_nn_calibrate(net, images, N_IMAGES) == APQ_OK);
    apq_model_store_ranges(model, net);
    apq_nn_recalibrate_reset(net);
    FUZZ_CHECK(apq_nn_forward(net, APQ_NN_RECALIBRATE, images, N_IMAGES,
                              &logits) == APQ_OK);
    save(space, &policy, model, net, quantiser == APQ_QUANTISER_LSQ, path);
    apq_nn_net_fini(net);
    free(net);
    apq_model_destroy(model);
    apq_arena_destroy(arena);
    apq_supernet_destroy(supernet);
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static const apq_quantiser quantisers[] = {APQ_QUANTISER_APQ,
                                               APQ_QUANTISER_LSQ};
    const char *path = fuzz_path("seed.safetensors");
    apq_space space;
    (void)micro_space(&space);
    for (int i = 0; i < 2; i++) {
        make_network(&space, quantisers[i], path);
        fuzz_give_tensors(path, give, ctx);
    }
}
