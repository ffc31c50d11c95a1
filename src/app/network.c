/* From a file of `apq finetune` to an integer model. */
#include "app/network.h"

#include "app/app.h"
#include "nn/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static apq_status find_file(const apq_session *session, const char *path,
                            const char *run_dir_or_null,
                            char out[APQ_PATH_MAX]) {
    char dir[APQ_PATH_MAX];
    if (path != NULL) {
        if (strlen(path) >= APQ_PATH_MAX) {
            APQ_FAIL(APQ_ERR_ARG, "%.64s...: path too long", path);
        }
        memcpy(out, path, strlen(path) + 1);
        return APQ_OK;
    }
    if (run_dir_or_null == NULL) {
        APQ_TRY(apq_app_shipped_dir(session->recipe->space, dir));
    }
    return apq_path_join(out, run_dir_or_null != NULL ? run_dir_or_null : dir,
                         "network.safetensors");
}

/* The file names its space; the session's may be another. */
static apq_status adopt_space(apq_session *session, const apq_tensor_file *file,
                              const char *path) {
    const char *format = apq_tensor_file_meta(file, "format");
    const char *space = apq_tensor_file_meta(file, "space");
    const char *hash = apq_tensor_file_meta(file, "space_hash");
    const char *classes = apq_tensor_file_meta(file, "classes");
    if (format == NULL || strncmp(format, "apq network ", 12) != 0 ||
        space == NULL || hash == NULL || classes == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not a network file of apq", path);
    }
    if (strcmp(space, session->space.name) != 0) {
        APQ_TRY(apq_space_load(space, &session->space));
        apq_space_hash(&session->space, session->space_hash);
    }
    if (strcmp(hash, session->space_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: made for space %s (%s), now %s (%s)",
                 path, space, hash, session->space.name, session->space_hash);
    }
    apq_space_set_classes(&session->space, atoi(classes));
    return APQ_OK;
}

/* Not every reader knows what the file is called. */
static apq_status name_file(apq_status st, const char *path) {
    char message[512];
    (void)snprintf(message, sizeof message, "%s", apq_error_message());
    return st == APQ_OK || strstr(message, path) != NULL
               ? st
               : APQ_ERROR(st, "%s: %s", path, message);
}

static apq_status build(const apq_session *session, const apq_tensor_file *file,
                        apq_arena *arena, apq_network_file *out) {
    const char *policy = apq_tensor_file_meta(file, "policy");
    const char *quantiser = apq_tensor_file_meta(file, "quantiser");
    bool is_lsq = quantiser != NULL && strcmp(quantiser, "lsq") == 0;
    if (policy == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: no policy", out->path);
    }
    APQ_TRY(
        apq_policy_from_json(&session->space, policy, out->path, &out->policy));
    apq_ir_network ir;
    APQ_TRY(apq_policy_lower(&session->space, &out->policy, &ir));
    apq_model *model;
    APQ_TRY(apq_model_create(&ir, session->space.image_channels,
                             is_lsq ? APQ_QUANTISER_LSQ : APQ_QUANTISER_APQ,
                             &model));
    apq_nn_net net = {0};
    apq_status st = apq_model_bind(model, session->backend, arena, &net);
    if (st == APQ_OK) {
        st = name_file(apq_model_get(model, &net, false, file), out->path);
    }
    if (st == APQ_OK) {
        net.is_quantised = true;
        st = apq_int_model_create(&net, &out->model);
    }
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    return st;
}

static apq_status load(apq_session *session, const apq_tensor_file *file,
                       apq_network_file *out) {
    APQ_TRY(adopt_space(session, file, out->path));
    const char *data_hash = apq_tensor_file_meta(file, "data_hash");
    (void)snprintf(out->data_hash, sizeof out->data_hash, "%s",
                   data_hash == NULL ? "" : data_hash);
    apq_arena *arena;
    APQ_TRY(apq_arena_create(&arena));
    apq_status st = build(session, file, arena, out);
    apq_arena_destroy(arena);
    return st;
}

apq_status apq_network_file_load(apq_session *session, const char *path,
                                 const char *run_dir_or_null,
                                 apq_network_file *out) {
    *out = (apq_network_file){.model = NULL};
    APQ_TRY(find_file(session, path, run_dir_or_null, out->path));
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_load(out->path, &file));
    apq_status st = load(session, file, out);
    apq_tensor_file_destroy(file);
    return st == APQ_OK ? apq_file_hash(out->path, out->hash) : st;
}

void apq_network_file_fini(apq_network_file *network) {
    apq_int_model_destroy(network->model);
    network->model = NULL;
}
