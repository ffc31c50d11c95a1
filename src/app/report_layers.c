/* What the layers of the chosen network lose by their bits: signal to
 * quantisation noise of the weights, from the weights themselves, and what the
 * predictor says of one step fewer, as HAQ argues layer by layer. */
#include "app/report.h"

#include "app/json.h"
#include "app/network.h"
#include "app/session.h"
#include "base/memory.h"
#include "nn/quantised.h"
#include "predictor/predictor.h"
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- weights */

static apq_status layer_sqnr(const apq_nn_net *net, const apq_nn_layer *l,
                             double *sqnr_db) {
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    APQ_ASSERT(l->ldw == cols); /* a network of its own, no view */
    size_t n = (size_t)(rows * cols);
    float *rounded = apq_calloc(n, sizeof *rounded);
    if (rounded == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    apq_nn_quantise_weights(net, l, rounded);
    *sqnr_db = apq_quant_sqnr_db(l->w, rounded, n);
    free(rounded);
    return APQ_OK;
}

static apq_status add_layers(const apq_nn_net *net, json_t *layers) {
    for (size_t i = 0; i < net->n_layers; i++) {
        double sqnr_db = (double)NAN;
        APQ_TRY(layer_sqnr(net, &net->layers[i], &sqnr_db));
        (void)json_object_set_new(json_array_get(layers, i), "sqnr_db",
                                  apq_json_number(sqnr_db));
    }
    return APQ_OK;
}

/* From the fine-tuned network, unless it is of another policy. */
static apq_status add_tuned(const apq_report_source *source, const char *path,
                            const apq_policy *policy, json_t *layers,
                            bool *is_done) {
    apq_network *network;
    APQ_TRY(apq_network_open(
        path, source->has_recipe ? source->recipe.space : NULL, &network));
    apq_status st = APQ_OK;
    if (apq_policy_hash(&source->space, &network->policy) ==
        apq_policy_hash(&source->space, policy)) {
        *is_done = true;
        st = add_layers(&network->net, layers);
    }
    apq_network_destroy(network);
    return st;
}

/* From the supernet's weights, rounded as fine-tuning would begin. */
static apq_status add_shared(const apq_report_source *source,
                             apq_supernet *supernet, const apq_policy *policy,
                             json_t *layers) {
    apq_model *model = NULL;
    apq_arena *arena;
    apq_nn_net net = {0};
    const apq_backend *backend;
    APQ_TRY(apq_backend_find("ref", &backend));
    APQ_TRY(apq_arena_create(&arena));
    apq_status st = apq_supernet_extract(
        supernet, policy, (apq_quantiser)source->recipe.finetune.quantiser,
        &model);
    if (st == APQ_OK) {
        st = apq_model_bind(model, backend, arena, &net);
    }
    for (size_t i = 0; st == APQ_OK && i < net.n_layers; i++) {
        st = apq_nn_calibrate_weights(&net, &net.layers[i]);
    }
    if (st == APQ_OK) {
        st = add_layers(&net, layers);
    }
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    apq_arena_destroy(arena);
    return st;
}

static apq_status add_untuned(const apq_report_source *source, const char *path,
                              const apq_policy *policy, json_t *layers) {
    apq_session session = {.recipe = &source->recipe, .space = source->space};
    apq_space_hash(&session.space, session.space_hash);
    apq_status st = apq_session_load_supernet(&session, path);
    if (st == APQ_OK) {
        st = add_shared(source, session.supernet, policy, layers);
    }
    apq_supernet_destroy(session.supernet);
    return st;
}

apq_status apq_report_add_sqnr(const apq_report_source *source,
                               const apq_policy *policy, json_t *layers,
                               json_t **weights) {
    static const char tuned[] = "network.safetensors";
    static const char shared[] = "supernet.safetensors";
    char path[APQ_PATH_MAX];
    bool is_done = false;
    *weights = NULL;
    APQ_TRY(apq_path_join(path, source->dir, tuned));
    if (apq_file_exists(path)) {
        APQ_TRY(apq_report_leave_out(
            source, add_tuned(source, path, policy, layers, &is_done)));
    }
    if (is_done) {
        *weights = json_string(tuned);
        return APQ_OK;
    }
    APQ_TRY(apq_path_join(path, source->dir, shared));
    if (apq_file_exists(path)) {
        apq_status st = add_untuned(source, path, policy, layers);
        *weights = st == APQ_OK ? json_string(shared) : NULL;
        return apq_report_leave_out(source, st);
    }
    return APQ_OK;
}
