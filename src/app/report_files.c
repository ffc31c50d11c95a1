/* Files of a run directory that the report lists or passes on: lines of JSON
 * of the trainings, manifests of exports, and hashes of the artefacts. */
#include "app/report.h"

#include "app/json.h"
#include "base/memory.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

apq_status apq_report_lines_json(const apq_report_source *source,
                                 const char *name, json_t **out) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, source->dir, name));
    *out = json_null();
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    char *text;
    size_t n;
    APQ_TRY(apq_file_read(path, &text, &n));
    json_t *rows = json_array();
    apq_status st = APQ_OK;
    int number = 1;
    char *end;
    for (char *at = text; st == APQ_OK && (end = strchr(at, '\n')) != NULL;
         at = end + 1, number++) {
        json_error_t error;
        json_t *row = json_loadb(at, (size_t)(end - at), 0, &error);
        if (!json_is_object(row)) {
            st = APQ_ERROR(APQ_ERR_FORMAT, "%s:%d: not a JSON object: %s", path,
                           number, row == NULL ? error.text : "");
            json_decref(row);
        } else {
            (void)json_array_append_new(rows, row);
        }
    }
    free(text);
    if (st != APQ_OK) {
        json_decref(rows);
        return st;
    }
    *out = rows;
    return APQ_OK;
}

/* The row replaces those of the same or later epochs: a training that was
 * killed repeats the epochs after its last checkpoint. */
static void add_epoch(json_t *rows, json_t *row) {
    json_int_t epoch = json_integer_value(json_object_get(row, "epoch"));
    size_t n = json_array_size(rows);
    while (n > 0 && json_integer_value(json_object_get(
                        json_array_get(rows, n - 1), "epoch")) >= epoch) {
        (void)json_array_remove(rows, --n);
    }
    (void)json_array_append(rows, row);
}

apq_status apq_report_train_json(const apq_report_source *source,
                                 json_t **out) {
    json_t *lines;
    APQ_TRY(apq_report_lines_json(source, "train.jsonl", &lines));
    *out = lines;
    if (!json_is_array(lines)) {
        return APQ_OK;
    }
    *out = json_array();
    size_t i;
    json_t *row;
    json_array_foreach(lines, i, row) {
        add_epoch(*out, row);
    }
    json_decref(lines);
    return APQ_OK;
}

/* Other lines are of a fine-tuning that was replaced, or of one that has not
 * ended. Without a finished one the last to be begun counts. */
static bool is_of_result(const apq_report_source *source, const json_t *lines,
                         const json_t *row) {
    const json_t *input = json_object_get(row, "input");
    if (source->run == NULL ||
        apq_rundir_step_artefact(source->run, "finetune") == NULL) {
        size_t last = json_array_size(lines) - 1;
        return json_equal(
            input, json_object_get(json_array_get(lines, last), "input"));
    }
    return json_is_string(input) &&
           apq_rundir_step_done(source->run, "finetune",
                                json_string_value(input));
}

apq_status apq_report_finetune_json(const apq_report_source *source,
                                    json_t **out) {
    json_t *lines;
    APQ_TRY(apq_report_lines_json(source, "finetune.jsonl", &lines));
    *out = lines;
    if (json_array_size(lines) == 0) {
        return APQ_OK;
    }
    *out = json_object();
    size_t i;
    json_t *row;
    json_array_foreach(lines, i, row) {
        const char *of = json_string_value(json_object_get(row, "network"));
        if (of == NULL || !is_of_result(source, lines, row)) {
            continue;
        }
        json_t *rows = json_object_get(*out, of);
        if (rows == NULL) {
            rows = json_array();
            (void)json_object_set_new(*out, of, rows);
        }
        add_epoch(rows, row);
    }
    json_decref(lines);
    if (json_object_size(*out) == 0) {
        json_decref(*out);
        *out = json_null();
    }
    return APQ_OK;
}

static bool is_of_export(const json_t *manifest) {
    return json_is_string(json_object_get(manifest, "format")) &&
           json_is_string(json_object_get(manifest, "file"));
}

/* "NAME" or "exports/NAME", if it is a folder with the manifest of an export;
 * that of a run directory in this one is another. */
static apq_status add_export(const apq_report_source *source, const char *name,
                             json_t *out) {
    char relative[APQ_PATH_MAX], path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(relative, name, "manifest.json"));
    APQ_TRY(apq_path_join(path, source->dir, relative));
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    json_t *manifest;
    apq_status st = apq_json_read(path, &manifest);
    if (st != APQ_OK) {
        return apq_report_leave_out(source, st);
    }
    if (!is_of_export(manifest)) {
        json_decref(manifest);
        return APQ_OK;
    }
    (void)json_array_append_new(out, json_pack("{s:o, s:o}", "folder",
                                               apq_json_text(name), "manifest",
                                               manifest));
    return APQ_OK;
}

static int by_name(const void *left, const void *right) {
    const json_t *const *a = left, *const *b = right;
    return strcmp(json_string_value(*a), json_string_value(*b));
}

/* Names in a folder, sorted; hidden ones are left out. */
static apq_status list_names(const char *path, json_t ***out, size_t *n) {
    *out = NULL;
    *n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return APQ_OK;
    }
    json_t *names = json_array();
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] != '.') { /* it need not be UTF-8 */
            (void)json_array_append_new(names, json_string_nocheck(e->d_name));
        }
    }
    (void)closedir(dir);
    json_t **sorted = apq_calloc(json_array_size(names) + 1, sizeof *sorted);
    if (sorted == NULL) {
        json_decref(names);
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) {
        sorted[i] = json_incref(name);
    }
    *n = json_array_size(names);
    qsort(sorted, *n, sizeof(json_t *), by_name);
    json_decref(names);
    *out = sorted;
    return APQ_OK;
}

/* Exports in DIR/`folder`: each is a folder with a manifest. */
static apq_status add_exports(const apq_report_source *source,
                              const char *folder, json_t *out) {
    char path[APQ_PATH_MAX];
    json_t **names;
    size_t n;
    APQ_TRY(apq_path_join(path, source->dir, folder));
    APQ_TRY(list_names(path, &names, &n));
    apq_status st = APQ_OK;
    for (size_t i = 0; i < n; i++) {
        char relative[APQ_PATH_MAX];
        const char *name = json_string_value(names[i]);
        if (st == APQ_OK && strcmp(folder, ".") != 0) {
            st = apq_path_join(relative, folder, name);
            name = relative;
        }
        if (st == APQ_OK) {
            st = add_export(source, name, out);
        }
        json_decref(names[i]);
    }
    free(names);
    return st;
}

apq_status apq_report_exports_json(const apq_report_source *source,
                                   json_t **out) {
    json_t *exports = json_array();
    apq_status st = add_exports(source, ".", exports);
    if (st == APQ_OK) {
        st = add_exports(source, "exports", exports);
    }
    bool is_empty = json_array_size(exports) == 0;
    *out = json_null();
    if (st == APQ_OK && !is_empty) {
        *out = json_incref(exports);
    }
    json_decref(exports);
    return st;
}

apq_status apq_report_files_json(const apq_report_source *source,
                                 json_t **out) {
    static const char *const names[] = {
        "supernet.safetensors",
        "run.db",
        "predictor.safetensors",
        "best.json",
        "front.json",
        "network.safetensors",
        "baseline.safetensors",
        "finetune.json",
    };
    json_t *files = json_array();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[APQ_PATH_MAX], hash[APQ_HASH_MAX];
        struct stat info;
        apq_status st = apq_path_join(path, source->dir, names[i]);
        if (st == APQ_OK && stat(path, &info) != 0) {
            continue;
        }
        if (st == APQ_OK) {
            st = apq_file_hash(path, hash);
        }
        if (st != APQ_OK) {
            json_decref(files);
            return st;
        }
        (void)json_array_append_new(
            files, json_pack("{s:s, s:I, s:s}", "name", names[i], "bytes",
                             (json_int_t)info.st_size, "hash", hash));
    }
    *out = files;
    return APQ_OK;
}
