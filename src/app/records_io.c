/* `apq collect export` and `import`: records as JSON lines, CSV and as the
 * dictionary that the APQ authors' predictor training reads. */
#include "app/records_io.h"

#include "app/app.h"
#include "app/json.h"
#include "store/records.h"
#include "store/rundir.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const apq_records_formats[] = {"jsonl", "csv", "authors", NULL};

static apq_status check_space(const char *run_dir, const apq_space *space) {
    char hash[APQ_HASH_MAX];
    apq_rundir *dir;
    APQ_TRY(apq_rundir_open_read(run_dir, &dir));
    apq_space_hash(space, hash);
    apq_status st = apq_rundir_check(dir, "space_hash", hash);
    apq_rundir_close(dir);
    return st;
}

/* Shipped artefacts have records, but no manifest. */
static apq_status open_existing(const char *run_dir, const apq_space *space,
                                apq_records **out) {
    char path[APQ_PATH_MAX], manifest[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, run_dir, "run.db"));
    APQ_TRY(apq_path_join(manifest, run_dir, "manifest.json"));
    if (!apq_file_exists(path) || apq_file_exists(manifest)) {
        APQ_TRY(check_space(run_dir, space));
    }
    if (!apq_file_exists(path)) {
        APQ_FAIL(APQ_ERR_IO, "%s: no records: run 'apq collect'", path);
    }
    return apq_records_open_read(path, out);
}

/* The kind asked for; else the only one there is. */
static apq_status only_kind(apq_records *records, const char *name_or_null,
                            apq_record_kind *out) {
    if (name_or_null != NULL) {
        return apq_record_kind_parse(name_or_null, out);
    }
    int n_kinds = 0;
    for (int i = 0; i < APQ_RECORD_N_KINDS; i++) {
        size_t n;
        APQ_TRY(apq_records_count(records, (apq_record_kind)i, &n));
        if (n > 0) {
            *out = (apq_record_kind)i;
            n_kinds++;
        }
    }
    if (n_kinds != 1) {
        APQ_FAIL(APQ_ERR_ARG,
                 "the authors' form holds records of one kind, and there are "
                 "%d: say --kind float, quantised or qat",
                 n_kinds);
    }
    return APQ_OK;
}

typedef struct dictionary {
    const apq_space *space;
    json_t *root;
} dictionary;

/* Accuracies in percent by policy, itself the text of an object. Of a network
 * that was measured twice the first counts. */
static apq_status add_entry(const apq_record *record, void *ctx) {
    const dictionary *self = ctx;
    char where[64];
    (void)snprintf(where, sizeof where, "run.db: record %" PRId64, record->id);
    apq_policy policy;
    APQ_TRY(apq_policy_from_json(self->space, record->policy, where, &policy));
    char *key = apq_policy_to_authors_json(self->space, &policy);
    bool ok = key != NULL &&
              (json_object_get(self->root, key) != NULL ||
               json_object_set_new(self->root, key,
                                   json_real(100 * record->accuracy)) == 0);
    free(key);
    if (!ok) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
    }
    return APQ_OK;
}

static apq_status export_authors(apq_records *records, const apq_space *space,
                                 const char *kind_or_null, FILE *file) {
    apq_record_kind kind = APQ_RECORD_FLOAT;
    APQ_TRY(only_kind(records, kind_or_null, &kind));
    dictionary all = {.space = space, .root = json_object()};
    apq_status st = all.root == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "export: out of memory")
                        : apq_records_each(records, kind, add_entry, &all);
    if (st == APQ_OK &&
        (json_dumpf(all.root, file, JSON_REAL_PRECISION(15)) != 0 ||
         fputc('\n', file) == EOF)) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "export: out of memory");
    }
    json_decref(all.root);
    return st;
}

static apq_status export_to(apq_records *records, const apq_space *space,
                            const apq_records_export *request, FILE *file) {
    if (strcmp(request->format, "authors") == 0) {
        return export_authors(records, space, request->kind_or_null, file);
    }
    apq_record_kind kind = APQ_RECORD_N_KINDS; /* all */
    if (request->kind_or_null != NULL) {
        APQ_TRY(apq_record_kind_parse(request->kind_or_null, &kind));
    }
    if (strcmp(request->format, "jsonl") == 0) {
        return apq_records_export_jsonl(records, kind, file);
    }
    if (strcmp(request->format, "csv") == 0) {
        return apq_records_export_csv(records, kind, file);
    }
    APQ_FAIL(APQ_ERR_ARG, "format %s not in {jsonl, csv, authors}",
             request->format);
}

apq_status apq_app_records_export(const apq_records_export *request,
                                  char **text, size_t *n_bytes) {
    apq_space space;
    apq_records *records;
    APQ_TRY(apq_space_load(request->space, &space));
    APQ_TRY(open_existing(request->run_dir, &space, &records));
    *text = NULL;
    FILE *file = open_memstream(text, n_bytes);
    apq_status st = file == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "export: out of memory")
                        : export_to(records, &space, request, file);
    if (file != NULL && fclose(file) != 0 && st == APQ_OK) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "export: out of memory");
    }
    apq_records_close(records);
    if (st != APQ_OK) {
        free(*text);
        *text = NULL;
    }
    return st;
}

/* Rows read, and the texts of their policies, which they borrow. */
typedef struct row_list {
    const apq_space *space;
    apq_record *rows;
    char **policies;
    size_t n, capacity;
} row_list;

static apq_status bad_member(const char *where, const char *key) {
    APQ_FAIL(APQ_ERR_FORMAT, "%s: no \"%s\", or not a legal one", where, key);
}

static apq_status read_number(const json_t *row, const char *key,
                              const char *where, double *out) {
    const json_t *value = json_object_get(row, key);
    if (!json_is_number(value)) {
        return bad_member(where, key);
    }
    *out = json_number_value(value);
    return APQ_OK;
}

static apq_status read_whole(const json_t *row, const char *key,
                             const char *where, int64_t *out) {
    const json_t *value = json_object_get(row, key);
    if (!json_is_integer(value)) {
        return bad_member(where, key);
    }
    *out = json_integer_value(value);
    return APQ_OK;
}

static apq_status read_text(const json_t *row, const char *key,
                            const char *where, char out[APQ_RECORD_TEXT_MAX]) {
    const char *text = json_string_value(json_object_get(row, key));
    if (text == NULL || strlen(text) >= APQ_RECORD_TEXT_MAX) {
        return bad_member(where, key);
    }
    (void)strcpy(out, text);
    return APQ_OK;
}

/* The policy in its native form, with its hash. */
static apq_status read_policy(const apq_space *space, const json_t *row,
                              const char *where, uint64_t *hash, char **out) {
    apq_policy policy;
    const json_t *value = json_object_get(row, "policy");
    if (value == NULL) {
        return bad_member(where, "policy");
    }
    APQ_TRY(apq_json_to_policy(space, value, where, &policy));
    apq_policy_canonical(space, &policy);
    *hash = apq_policy_hash(space, &policy);
    *out = apq_policy_to_json(space, &policy);
    if (*out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
    }
    return APQ_OK;
}

static apq_status read_row(const json_t *row, const char *where,
                           apq_record *out) {
    char kind[APQ_RECORD_TEXT_MAX];
    *out = (apq_record){.loss_sd = (double)NAN};
    APQ_TRY(read_text(row, "kind", where, kind));
    if (apq_record_kind_parse(kind, &out->kind) != APQ_OK) {
        return bad_member(where, "kind");
    }
    APQ_TRY(read_whole(row, "seq", where, &out->seq));
    APQ_TRY(read_whole(row, "count", where, &out->count));
    APQ_TRY(read_number(row, "accuracy", where, &out->accuracy));
    APQ_TRY(read_number(row, "loss", where, &out->loss));
    APQ_TRY(read_number(row, "seconds", where, &out->seconds));
    const json_t *loss_sd = json_object_get(row, "loss_sd");
    if (loss_sd != NULL && !json_is_null(loss_sd)) {
        APQ_TRY(read_number(row, "loss_sd", where, &out->loss_sd));
    }
    APQ_TRY(read_text(row, "weights_hash", where, out->weights_hash));
    APQ_TRY(read_text(row, "created", where, out->created));
    return APQ_OK;
}

static bool grow(row_list *list) {
    size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
    apq_record *rows = realloc(list->rows, capacity * sizeof *rows);
    list->rows = rows != NULL ? rows : list->rows;
    char **policies = realloc(list->policies, capacity * sizeof *policies);
    list->policies = policies != NULL ? policies : list->policies;
    if (rows == NULL || policies == NULL) {
        return false;
    }
    list->capacity = capacity;
    return true;
}

/* Records of one run are of one set of weights. */
static apq_status check_weights(const row_list *list, const apq_record *record,
                                const char *where) {
    if (list->n > 0 &&
        strcmp(record->weights_hash, list->rows[0].weights_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: weights_hash is %s, the first record's %s", where,
                 record->weights_hash, list->rows[0].weights_hash);
    }
    return APQ_OK;
}

static apq_status append_row(row_list *list, const char *line, size_t n,
                             const char *where) {
    if (list->n == list->capacity && !grow(list)) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
    }
    json_error_t error;
    json_t *row = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
    if (row == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not JSON: %s", where, error.text);
    }
    apq_record *record = &list->rows[list->n];
    char **policy = &list->policies[list->n];
    apq_status st = read_row(row, where, record);
    if (st == APQ_OK) {
        st = check_weights(list, record, where);
    }
    if (st == APQ_OK) {
        st = read_policy(list->space, row, where, &record->policy_hash, policy);
    }
    json_decref(row);
    if (st == APQ_OK) {
        record->policy = *policy;
        list->n++;
        st = apq_record_check(where, record);
    }
    return st;
}

static apq_status read_rows(const char *path, row_list *list) {
    char *text;
    size_t n_bytes, number = 1;
    APQ_TRY(apq_file_read(path, &text, &n_bytes));
    apq_status st = APQ_OK;
    for (size_t at = 0; st == APQ_OK && at < n_bytes; number++) {
        size_t n = strcspn(text + at, "\n");
        char where[APQ_PATH_MAX + 32];
        (void)snprintf(where, sizeof where, "%s:%zu",
                       strcmp(path, "-") == 0 ? "standard input" : path,
                       number);
        if (strspn(text + at, " \t\r") < n) {
            st = append_row(list, text + at, n, where);
        }
        at += n + 1;
    }
    free(text);
    return st;
}

/* Of the run's own supernet, where it is there: a run without records would
 * else be bound to the weights of others. */
static apq_status check_supernet(const apq_rundir *dir, const row_list *list,
                                 const char *from) {
    char path[APQ_PATH_MAX], hash[APQ_HASH_MAX];
    APQ_TRY(apq_rundir_file(dir, "supernet.safetensors", path));
    if (list->n == 0 || !apq_file_exists(path)) {
        return APQ_OK;
    }
    APQ_TRY(apq_file_hash(path, hash));
    if (strcmp(hash, list->rows[0].weights_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: measured with the supernet of hash %s, %s has %s", from,
                 list->rows[0].weights_hash, path, hash);
    }
    return APQ_OK;
}

static apq_status settle_source(apq_rundir *dir, const row_list *list,
                                apq_rundir_settle settle) {
    char hash[APQ_HASH_MAX];
    apq_space_hash(list->space, hash);
    APQ_TRY(settle(dir, "space_hash", hash));
    return list->n == 0
               ? APQ_OK
               : settle(dir, "collect_weights", list->rows[0].weights_hash);
}

/* Bound after all that may be refused, but before there are records: a kill
 * must not leave any that tell not whose they are. */
static apq_status import_into(apq_rundir *dir, const row_list *list,
                              size_t *n_new) {
    char path[APQ_PATH_MAX];
    APQ_TRY(settle_source(dir, list, apq_rundir_check));
    APQ_TRY(apq_rundir_file(dir, "run.db", path));
    apq_records *records;
    APQ_TRY(apq_records_open(path, &records));
    apq_status st = apq_records_try_merge(records, list->rows, list->n);
    if (st == APQ_OK) {
        st = settle_source(dir, list, apq_rundir_bind);
    }
    if (st == APQ_OK) {
        st = apq_records_merge(records, list->rows, list->n, n_new);
    }
    apq_records_close(records);
    return st;
}

apq_status apq_app_records_import(const apq_records_import *request,
                                  size_t *n_read, size_t *n_new) {
    apq_space space;
    APQ_TRY(apq_space_load(request->space, &space));
    row_list list = {.space = &space};
    apq_rundir *dir = NULL;
    apq_status st = read_rows(request->path, &list);
    if (st == APQ_OK) {
        st = apq_rundir_open_shared(request->run_dir, false, &dir);
    }
    if (st == APQ_OK) {
        st = check_supernet(dir, &list, request->path);
    }
    if (st == APQ_OK) {
        st = import_into(dir, &list, n_new);
    }
    *n_read = list.n;
    apq_rundir_close(dir);
    for (size_t i = 0; i < list.n; i++) {
        free(list.policies[i]);
    }
    free(list.policies);
    free(list.rows);
    return st;
}
