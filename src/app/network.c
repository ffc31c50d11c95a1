/* Fine-tuned network files: reading one into a net that runs, and what they
 * tell of the images. Format: docs/formats/network.md. */
#include "app/network.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 2 }; /* the version that is read */

/* A name from a folder may hold bytes that are no UTF-8; then its number. */
static json_t *name_json(const apq_dataset *dataset, int label) {
    json_t *name = json_string(apq_dataset_class_name(dataset, label));
    return name != NULL ? name : json_sprintf("%d", label);
}

/* NULL when memory is out. */
static json_t *names_json(const apq_dataset *dataset) {
    json_t *names = json_array();
    for (int c = 0; c < apq_dataset_classes(dataset); c++) {
        if (json_array_append_new(names, name_json(dataset, c)) != 0) {
            json_decref(names);
            return NULL;
        }
    }
    return names;
}

static apq_status put_json(apq_tensor_file *file, const char *key,
                           json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(value);
    apq_status st = text == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", key)
                        : apq_tensor_file_put_meta(file, key, text);
    free(text);
    return st;
}

static json_t *channels_json(const float values[3]) {
    return json_pack("[f, f, f]", (double)values[0], (double)values[1],
                     (double)values[2]);
}

apq_status apq_network_put_data(apq_tensor_file *file,
                                const apq_dataset *dataset) {
    float mean[3], std[3];
    APQ_TRY(put_json(file, "class_names", names_json(dataset)));
    apq_dataset_normalisation(dataset, mean, std);
    APQ_TRY(put_json(file, "image_mean", channels_json(mean)));
    return put_json(file, "image_std", channels_json(std));
}

/* Reads three numbers of `low` or more; false where the key is missing. */
static apq_status get_channels(const apq_tensor_file *file, const char *path,
                               const char *key, double low, bool *has,
                               float out[3]) {
    const char *text = apq_tensor_file_meta(file, key);
    *has = text != NULL;
    if (text == NULL) {
        return APQ_OK;
    }
    double v[3] = {(double)NAN};
    json_t *root = json_loads(text, 0, NULL);
    bool is_legal = json_unpack(root, "[F, F, F!]", &v[0], &v[1], &v[2]) == 0;
    json_decref(root);
    for (int c = 0; c < 3; c++) {
        if (!is_legal || !(v[c] >= low && v[c] <= 1)) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: %s: expected 3 numbers in %g ... 1",
                     path, key, low);
        }
        out[c] = (float)v[c];
    }
    return APQ_OK;
}

static apq_status take_names(apq_network *network, const char *path,
                             const json_t *list) {
    size_t n = (size_t)network->space.n_classes;
    if (json_array_size(list) != n) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: class_names: expected %zu names", path,
                 n);
    }
    network->class_names = calloc(n, sizeof *network->class_names);
    for (size_t i = 0; network->class_names != NULL && i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: class_names: name %zu is no text",
                     path, i);
        }
        network->class_names[i] = strdup(name);
        if (network->class_names[i] == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
        }
    }
    if (network->class_names == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    return APQ_OK;
}

static apq_status get_data(apq_network *network, const char *path,
                           const apq_tensor_file *file) {
    bool has_mean, has_std;
    APQ_TRY(
        get_channels(file, path, "image_mean", 0, &has_mean, network->mean));
    APQ_TRY(
        get_channels(file, path, "image_std", 1e-6, &has_std, network->std));
    network->has_statistics = has_mean && has_std;
    const char *hash = apq_tensor_file_meta(file, "data_hash");
    (void)snprintf(network->data_hash, sizeof network->data_hash, "%s",
                   hash != NULL ? hash : "");
    const char *text = apq_tensor_file_meta(file, "class_names");
    if (text == NULL) {
        return APQ_OK;
    }
    json_t *names = json_loads(text, 0, NULL);
    apq_status st = take_names(network, path, names);
    json_decref(names);
    return st;
}

/* Without one that is named, by what the file tells: a space of a user goes
 * with it as text. */
static apq_status load_space(apq_network *network, const char *path,
                             const char *space_or_null, const char *name,
                             const apq_tensor_file *file) {
    const char *text = apq_tensor_file_meta(file, "space_text");
    if (space_or_null != NULL) {
        return apq_space_load(space_or_null, &network->space);
    }
    if (text != NULL) {
        char where[APQ_PATH_MAX];
        (void)snprintf(where, sizeof where, "%s: space_text", path);
        return apq_space_parse(text, where, &network->space);
    }
    apq_status st = apq_space_load_builtin(name, &network->space);
    return st == APQ_OK
               ? st
               : APQ_ERROR(st, "%s: %s; --space FILE tells where it is", path,
                           apq_error_message());
}

/* Of version 1, neither image nor linear layers were rounded: those are other
 * networks. */
static apq_status check_format(const apq_tensor_file *file, const char *path) {
    APQ_TRY(apq_tensor_file_check_format(file, "apq network",
                                         "a fine-tuned network", FORMAT));
    if (strcmp(apq_tensor_file_meta(file, "format"), "apq network 1") == 0) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: a fine-tuned network of an older apq, format 1, this one "
                 "reads %d; fine-tune it again",
                 path, FORMAT);
    }
    return APQ_OK;
}

/* The space and the policy, checked against the file's own words. */
static apq_status get_policy(apq_network *network, const char *path,
                             const char *space_or_null,
                             const apq_tensor_file *file) {
    const char *name = apq_tensor_file_meta(file, "space");
    const char *hash = apq_tensor_file_meta(file, "space_hash");
    const char *policy = apq_tensor_file_meta(file, "policy");
    int n_classes = 0;
    APQ_TRY(check_format(file, path));
    APQ_TRY(apq_tensor_file_meta_int(file, "classes", 1, APQ_MAX_CLASSES,
                                     &n_classes));
    if (name == NULL || hash == NULL || policy == NULL || n_classes == 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not a fine-tuned network of apq", path);
    }
    APQ_TRY(load_space(network, path, space_or_null, name, file));
    char own[APQ_HASH_MAX];
    apq_space_hash(&network->space, own);
    if (strcmp(own, hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: made for space %s (%s), now %s (%s)",
                 path, name, hash, network->space.name, own);
    }
    apq_space_set_classes(&network->space, n_classes);
    return apq_policy_from_json(&network->space, policy, path,
                                &network->policy);
}

static apq_status get_net(apq_network *network, const char *path,
                          const apq_tensor_file *file) {
    const char *quantiser = apq_tensor_file_meta(file, "quantiser");
    bool is_lsq = quantiser != NULL && strcmp(quantiser, "lsq") == 0;
    if (quantiser != NULL && !is_lsq) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: unknown quantiser \"%s\"", path,
                 quantiser);
    }
    if (network->space.image_channels != 3) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: images of %d channels, legal 3",
                 path, network->space.image_channels);
    }
    apq_ir_network ir;
    const apq_backend *backend;
    APQ_TRY(apq_policy_lower(&network->space, &network->policy, &ir));
    APQ_TRY(apq_backend_find("auto", &backend));
    APQ_TRY(apq_arena_create(&network->arena));
    APQ_TRY(apq_model_create(&ir, network->space.image_channels,
                             is_lsq ? APQ_QUANTISER_LSQ : APQ_QUANTISER_APQ,
                             &network->model));
    APQ_TRY(
        apq_model_bind(network->model, backend, network->arena, &network->net));
    APQ_TRY(apq_model_get(network->model, &network->net, false, file));
    if (!apq_params_finite(&network->model->params)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: a weight is not finite", path);
    }
    network->net.is_quantised = true;
    return APQ_OK;
}

static apq_status read_file(apq_network *network, const char *path,
                            const char *space_or_null,
                            const apq_tensor_file *file) {
    APQ_TRY(get_policy(network, path, space_or_null, file));
    APQ_TRY(get_data(network, path, file));
    return get_net(network, path, file);
}

apq_status apq_network_open(const char *path, const char *space_or_null,
                            apq_network **out) {
    apq_tensor_file *file = NULL;
    apq_network *network = calloc(1, sizeof *network);
    apq_status st = network == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", path)
                        : apq_tensor_file_load(path, &file);
    if (st == APQ_OK) {
        st = read_file(network, path, space_or_null, file);
    }
    apq_tensor_file_destroy(file);
    if (st == APQ_OK) {
        *out = network; /* success: ownership moves to the caller */
        network = NULL;
    }
    apq_network_destroy(network);
    return st;
}

void apq_network_free_names(char **names, int n) {
    for (int c = 0; names != NULL && c < n; c++) {
        free(names[c]);
    }
    free(names);
}

void apq_network_destroy(apq_network *network) {
    if (network == NULL) {
        return;
    }
    apq_network_free_names(network->class_names, network->space.n_classes);
    apq_nn_net_fini(&network->net);
    apq_model_destroy(network->model);
    apq_arena_destroy(network->arena);
    free(network);
}

apq_status apq_network_integers(apq_network *network, const char *path,
                                apq_int_model **out) {
    apq_status st = apq_int_model_create(&network->net, out);
    if (st == APQ_ERR_NUMERIC || st == APQ_ERR_UNSUPPORTED) {
        return APQ_ERROR(APQ_ERR_FORMAT, "%s: %s", path, apq_error_message());
    }
    return st;
}

static apq_status copy_data(apq_network *network, const char *path,
                            const char *data, const apq_dataset *dataset) {
    if (strcmp(apq_dataset_hash(dataset), network->data_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: trained on data %s, %s is %s", path,
                 network->data_hash, data, apq_dataset_hash(dataset));
    }
    if (!network->has_statistics) {
        apq_dataset_normalisation(dataset, network->mean, network->std);
        network->has_statistics = true;
    }
    if (network->class_names != NULL) {
        return APQ_OK;
    }
    json_t *names = names_json(dataset);
    apq_status st = take_names(network, path, names);
    json_decref(names);
    return st;
}

apq_status apq_network_add_data(apq_network *network, const char *path,
                                const char *data) {
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.resolution = network->space.resolution;
    apq_dataset *dataset = NULL;
    APQ_TRY(apq_dataset_open(data, &options, &dataset));
    apq_status st = copy_data(network, path, data, dataset);
    apq_dataset_destroy(dataset);
    return st;
}
