/* manifest.json of an export: what it is, what it is made from, what it should
 * reach and who has run it. */
#include "app/export_job.h"

#include "app/json.h"
#include "base/path.h"
#include "export/describe.h"

#include <apq/apq.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_VERSION = 1 };

apq_status apq_manifest_check_age(const json_t *manifest, const char *path) {
    json_int_t version =
        json_integer_value(json_object_get(manifest, "schema_version"));
    if (version > MANIFEST_VERSION) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: an export of a newer apq, schema_version %lld, this one "
                 "reads %d",
                 path, (long long)version, MANIFEST_VERSION);
    }
    return APQ_OK;
}

apq_status apq_manifest_check(const char *manifest, const char *file) {
    if (!apq_file_exists(manifest)) {
        return APQ_OK;
    }
    json_t *root;
    APQ_TRY(apq_json_read(manifest, &root));
    const char *described = json_string_value(json_object_get(root, "file"));
    apq_status st = apq_manifest_check_age(root, manifest);
    if (st == APQ_OK &&
        (described == NULL || strcmp(described, apq_path_name(file)) != 0)) {
        st = APQ_ERROR(APQ_ERR_ARG,
                       "%s: is of %s; give this export a folder of its own",
                       manifest, described == NULL ? "no export" : described);
    }
    json_decref(root);
    return st;
}

static json_t *layer_json(const apq_ir_layer *ir) {
    return json_pack("{s:s, s:i, s:i}", "layer", ir->name, "weight_bits",
                     ir->weight_bits, "input_bits", ir->act_bits);
}

static json_t *widths_json(const apq_int_model *m) {
    json_t *rows = json_array();
    for (int i = 0; i < m->n_convs; i++) {
        (void)json_array_append_new(rows, layer_json(&m->convs[i].ir));
    }
    (void)json_array_append_new(rows, layer_json(&m->classifier));
    return rows;
}

static json_t *triple(const float values[3]) {
    return json_pack("[f, f, f]", (double)values[0], (double)values[1],
                     (double)values[2]);
}

static json_t *input_json(const apq_export_job *job) {
    const apq_int_model *m = job->network.model;
    bool is_onnx = strstr(job->request->format, "onnx") != NULL;
    json_t *input =
        is_onnx ? json_pack("{s:s, s:s, s:[n, i, i, i]}", "name", "image",
                            "layout", "NCHW", "shape", m->image_channels,
                            m->resolution, m->resolution)
                : json_pack("{s:s, s:s, s:[i, i, i]}", "name", "image",
                            "layout", "HWC", "shape", m->resolution,
                            m->resolution, m->image_channels);
    if (job->has_normalisation) {
        (void)json_object_set_new(input, "mean", triple(job->mean));
        (void)json_object_set_new(input, "std", triple(job->std));
    }
    return input;
}

json_t *apq_export_preprocessing(const apq_export_job *job) {
    return apq_describe_preprocessing(job->network.model->resolution,
                                      job->has_normalisation ? job->mean : NULL,
                                      job->std);
}

/* Of the network's row in finetune.json; NULL: it has none. New. */
static json_t *find_expected(const json_t *root, const char *file,
                             const char *network_hash) {
    static const char *const names[] = {"network", "baseline"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *row = json_object_get(root, names[i]);
        const char *of = json_string_value(json_object_get(row, "file"));
        const char *hash = json_string_value(json_object_get(row, "hash"));
        json_t *top1 = json_object_get(row, "test_top1");
        json_t *count = json_object_get(row, "test_count");
        bool is_other = hash != NULL && strcmp(hash, network_hash) != 0;
        if (of != NULL && strcmp(of, file) == 0 && !is_other &&
            json_is_number(top1) && json_is_integer(count)) {
            return json_pack("{s:O, s:O}", "test_top1", top1, "test_count",
                             count);
        }
    }
    return NULL;
}

void apq_export_read_expected(apq_export_job *job) {
    const apq_progress *progress = job->session.progress;
    const char *file = job->network.path;
    char path[APQ_PATH_MAX];
    int n = (int)(apq_path_name(file) - file);
    (void)snprintf(path, sizeof path, "%.*sfinetune.json", n, file);
    json_t *root = NULL, *expected = NULL;
    if (!apq_file_exists(path)) {
        job->expected = json_null();
        return;
    }
    if (apq_json_read(path, &root) != APQ_OK) {
        apq_note(progress, "%s; the export tells no accuracy",
                 apq_error_message());
    } else {
        expected = find_expected(root, apq_path_name(file), job->network.hash);
        if (expected == NULL) {
            apq_note(progress,
                     "%s: has no accuracy of %s; the export tells none", path,
                     file);
        }
    }
    json_decref(root);
    job->expected = expected == NULL ? json_null() : expected;
}

static int is_shown(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* Hashes by name of all files beside `file`, those of the export; null where
 * they cannot be read. */
static json_t *files_json(const char *file) {
    char dir[APQ_PATH_MAX];
    struct dirent **names;
    apq_path_folder(file, dir);
    int n = scandir(dir, &names, is_shown, alphasort);
    json_t *files = n < 0 ? json_null() : json_object();
    for (int i = 0; i < n; i++) {
        char path[APQ_PATH_MAX], hash[APQ_HASH_MAX];
        if (apq_path_join(path, dir, names[i]->d_name) == APQ_OK &&
            apq_file_hash(path, hash) == APQ_OK) {
            (void)json_object_set_new(files, names[i]->d_name,
                                      json_string(hash));
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return files;
}

json_t *apq_manifest_create(const apq_export_job *job, const char *file) {
    const apq_export_request *r = job->request;
    bool is_qonnx = strcmp(r->format, "qonnx") == 0;
    char hash[APQ_HASH_MAX] = "";
    json_t *own =
        apq_file_hash(file, hash) == APQ_OK ? json_string(hash) : json_null();
    return json_pack(
        "{s:i, s:s, s:s, s:b, s:b, s:b, s:s, s:o, s:o, s:{s:o, s:s, s:s}, s:o, "
        "s:o, s:o, s:o, s:o, s:o, s:[]}",
        "schema_version", MANIFEST_VERSION, "tool_version", apq_version(),
        "format", r->format, "is_packed", r->is_packed, "has_function",
        is_qonnx && !r->is_function_left_out, "has_codes",
        is_qonnx && !r->is_scaled, "file", apq_path_name(file), "hash", own,
        "files", files_json(file), "source", "file",
        apq_json_text(apq_path_name(job->network.path)), "hash",
        job->network.hash, "space", job->session.space.name, "policy",
        apq_json_policy(&job->session.space, &job->network.policy), "widths",
        widths_json(job->network.model), "input", input_json(job),
        "preprocessing", apq_export_preprocessing(job), "classes",
        apq_describe_classes(job->network.class_names, job->network.n_classes),
        "expected", json_incref(job->expected), "verification");
}

/* Empty: there is no such file. */
static apq_status present_hash(const char *path, char hash[APQ_HASH_MAX]) {
    hash[0] = '\0';
    return apq_file_exists(path) ? apq_file_hash(path, hash) : APQ_OK;
}

apq_status apq_manifest_find_changes(const json_t *manifest, const char *file,
                                     json_t *changed) {
    char dir[APQ_PATH_MAX], path[APQ_PATH_MAX], hash[APQ_HASH_MAX];
    apq_path_folder(file, dir);
    const char *name;
    json_t *known;
    json_object_foreach(json_object_get(manifest, "files"), name, known) {
        if (apq_path_name(name) != name) {
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s/manifest.json: files: \"%s\" is no name of a file",
                     dir, name);
        }
        APQ_TRY(apq_path_join(path, dir, name));
        APQ_TRY(present_hash(path, hash));
        if (!json_is_string(known) ||
            strcmp(json_string_value(known), hash) != 0) {
            (void)json_array_append_new(changed, json_string(name));
        }
    }
    return APQ_OK;
}

/* Rows of apq before they told their images count as of data. */
static bool is_of_drawn(const json_t *row) {
    return json_is_string(json_object_get(row, "data")) &&
           json_object_get(row, "data_hash") == NULL;
}

/* Of files that had changed nothing tells whether they have again. */
static bool is_of_same_files(const json_t *row, const apq_export_job *job) {
    return json_array_size(json_object_get(row, "changed")) == 0 &&
           json_array_size(job->changed) == 0;
}

static bool is_replaced(const json_t *row, const apq_export_job *job,
                        const apq_verification *v) {
    const char *runtime = json_string_value(json_object_get(row, "runtime"));
    return runtime != NULL && strcmp(runtime, v->runtime) == 0 &&
           (!job->is_drawn || is_of_drawn(row) || !is_of_same_files(row, job));
}

/* The data by the last part of their name: where they are is nobody's business.
 */
static void put_images(json_t *row, const apq_export_job *job) {
    if (job->is_drawn) {
        (void)json_object_set_new(row, "data", json_string("drawn"));
        return;
    }
    char data[APQ_PATH_MAX];
    (void)snprintf(data, sizeof data, "%s", job->session.recipe->data);
    for (size_t n = strlen(data); n > 1 && data[n - 1] == '/'; n--) {
        data[n - 1] = '\0';
    }
    (void)json_object_set_new(row, "data", json_string(apq_path_name(data)));
    (void)json_object_set_new(
        row, "data_hash", json_string(apq_dataset_hash(job->session.dataset)));
}

static json_t *count_or_null(bool is_known, int64_t n) {
    return is_known ? json_integer((json_int_t)n) : json_null();
}

static json_t *row_json(const apq_verification *v) {
    bool is_measured = v->difference[0] == '\0';
    return json_pack(
        "{s:s, s:b, s:I, s:o, s:o, s:o, s:o}", "runtime", v->runtime, "agrees",
        v->agrees, "images", (json_int_t)v->n_images, "other_class",
        count_or_null(is_measured, v->n_other_class), "far",
        count_or_null(is_measured, v->n_far), "worst",
        apq_json_number(is_measured ? v->worst : (double)NAN), "mean",
        apq_json_number(is_measured ? v->mean : (double)NAN));
}

void apq_manifest_set_row(json_t *manifest, const apq_export_job *job,
                          const apq_verification *v) {
    json_t *rows = json_object_get(manifest, "verification");
    for (size_t i = json_array_size(rows); i > 0; i--) {
        if (is_replaced(json_array_get(rows, i - 1), job, v)) {
            (void)json_array_remove(rows, i - 1);
        }
    }
    json_t *row = row_json(v);
    put_images(row, job);
    if (v->has_correct) {
        double n = (double)v->n_images;
        (void)json_object_set_new(row, "top1",
                                  json_real((double)v->n_correct / n));
        (void)json_object_set_new(row, "network_top1",
                                  json_real((double)v->n_correct_own / n));
    }
    if (v->difference[0] != '\0') {
        (void)json_object_set_new(row, "difference",
                                  apq_json_text(v->difference));
    }
    if (v->layer[0] != '\0') {
        (void)json_object_set_new(row, "first_layer", json_string(v->layer));
    }
    if (v->no_layer[0] != '\0') {
        (void)json_object_set_new(row, "no_first_layer",
                                  apq_json_text(v->no_layer));
    }
    if (json_array_size(job->changed) > 0) {
        (void)json_object_set(row, "changed", job->changed);
    }
    (void)json_array_append_new(rows, row);
}
