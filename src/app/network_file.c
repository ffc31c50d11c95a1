/* From a file of `apq finetune` to an integer model. */
#include "app/network_file.h"

#include "app/app.h"
#include "app/json.h"
#include "tensor/safetensors.h"

#include <stdio.h>
#include <string.h>

static apq_status find_file(const apq_session *session, const char *path,
                            const char *run_dir_or_null,
                            char out[APQ_PATH_MAX]) {
    if (path != NULL) {
        if (strlen(path) >= APQ_PATH_MAX) {
            APQ_FAIL(APQ_ERR_ARG, "%.64s...: path too long", path);
        }
        memcpy(out, path, strlen(path) + 1);
        return APQ_OK;
    }
    if (run_dir_or_null != NULL) {
        return apq_rundir_need(run_dir_or_null, "network.safetensors", out);
    }
    return apq_app_shipped_network(session->recipe->space, out);
}

const char *apq_network_space_of_user(const char *space) {
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        if (strcmp(space, *name) == 0) {
            return NULL;
        }
    }
    return space;
}

apq_status apq_network_file_open(apq_session *session, const char *path,
                                 apq_network **out) {
    APQ_TRY(apq_network_open(
        path, apq_network_space_of_user(session->recipe->space), out));
    session->space = (*out)->space;
    apq_space_hash(&session->space, session->space_hash);
    return APQ_OK;
}

apq_status apq_network_file_load(apq_session *session, const char *path,
                                 const char *run_dir_or_null,
                                 apq_network_file *out) {
    *out = (apq_network_file){.is_shipped =
                                  path == NULL && run_dir_or_null == NULL};
    APQ_TRY(find_file(session, path, run_dir_or_null, out->path));
    apq_network *network;
    APQ_TRY(apq_network_file_open(session, out->path, &network));
    out->policy = network->policy;
    (void)snprintf(out->data_hash, sizeof out->data_hash, "%s",
                   network->data_hash);
    out->has_statistics = network->has_statistics;
    memcpy(out->mean, network->mean, sizeof out->mean);
    memcpy(out->std, network->std, sizeof out->std);
    out->n_classes = network->space.n_classes;
    out->class_names = network->class_names; /* ownership moves */
    network->class_names = NULL;
    apq_status st = apq_network_integers(network, out->path, &out->model);
    apq_network_destroy(network);
    return st == APQ_OK ? apq_file_hash(out->path, out->hash) : st;
}

void apq_network_file_fini(apq_network_file *network) {
    apq_network_free_names(network->class_names, network->n_classes);
    network->class_names = NULL;
    apq_int_model_destroy(network->model);
    network->model = NULL;
}

static bool has_policy(const apq_tensor_file *network, const json_t *best) {
    const char *text = apq_tensor_file_meta(network, "policy");
    json_t *policy = text == NULL ? NULL : json_loads(text, 0, NULL);
    bool is_equal = json_equal(policy, json_object_get(best, "policy"));
    json_decref(policy);
    return is_equal;
}

bool apq_network_file_is_stale(const apq_recipe *recipe, const char *run_dir) {
    char path[APQ_PATH_MAX], best_path[APQ_PATH_MAX];
    json_t *best = NULL;
    apq_tensor_file *network = NULL;
    if (strcmp(recipe->finetune.policy, "found") != 0 ||
        apq_path_join(path, run_dir, "network.safetensors") != APQ_OK ||
        apq_path_join(best_path, run_dir, "best.json") != APQ_OK) {
        return false;
    }
    bool is_stale = apq_tensor_file_load(path, &network) == APQ_OK &&
                    apq_json_read(best_path, &best) == APQ_OK &&
                    !has_policy(network, best);
    apq_tensor_file_destroy(network);
    json_decref(best);
    return is_stale;
}
