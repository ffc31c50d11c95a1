/* Reading and exporting records. One row decoder serves the visit, the array
 * and both exports. An array is one block of memory, rows first and texts
 * behind, so that one free() releases it. */
#include "store/records_internal.h"

#include "base/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define COLUMNS                                                                \
    "id, policy, policy_hash, kind, seq, accuracy, loss, count, seconds, "     \
    "weights_hash, created, "

static const char *text_of(sqlite3_stmt *row, int column) {
    const unsigned char *text = sqlite3_column_text(row, column);
    return text == NULL ? "" : (const char *)text;
}

static double number_or_nan(sqlite3_stmt *row, int column) {
    return sqlite3_column_type(row, column) == SQLITE_NULL
               ? (double)NAN
               : sqlite3_column_double(row, column);
}

/* SELECT of the columns that decode() reads, with what follows it. */
static apq_status select_rows(apq_records *records, const char *rest,
                              sqlite3_stmt **out) {
    static const char newer[] =
        "loss_sd, EXISTS (SELECT 1 FROM choices c WHERE c.kind = records.kind"
        " AND c.seq = records.seq AND c.policy = records.policy)";
    char sql[512];
    (void)snprintf(sql, sizeof sql, "SELECT " COLUMNS "%s FROM records %s",
                   records->is_old ? "NULL, 0" : newer, rest);
    return apq_records_prepare(records, sql, out);
}

/* The policy text is borrowed from the row until the next step. */
static apq_status decode(const apq_records *records, sqlite3_stmt *row,
                         apq_record *out) {
    apq_record record = {
        .id = sqlite3_column_int64(row, 0),
        .policy = text_of(row, 1),
        .seq = sqlite3_column_int64(row, 4),
        .accuracy = sqlite3_column_double(row, 5),
        .loss = sqlite3_column_double(row, 6),
        .count = sqlite3_column_int64(row, 7),
        .seconds = sqlite3_column_double(row, 8),
        .loss_sd = number_or_nan(row, 11),
        .is_chosen = sqlite3_column_int(row, 12) != 0,
    };
    int64_t policy_hash = sqlite3_column_int64(row, 2);
    memcpy(&record.policy_hash, &policy_hash, sizeof policy_hash);
    if (apq_record_kind_parse(text_of(row, 3), &record.kind) != APQ_OK) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: record %" PRId64 ": unknown kind %s",
                 records->path, record.id, text_of(row, 3));
    }
    (void)snprintf(record.weights_hash, sizeof record.weights_hash, "%s",
                   text_of(row, 9));
    (void)snprintf(record.created, sizeof record.created, "%s",
                   text_of(row, 10));
    *out = record;
    return APQ_OK;
}

static apq_status visit_rows(apq_records *records, sqlite3_stmt *query,
                             apq_records_visit visit, void *ctx) {
    for (;;) {
        int code = sqlite3_step(query);
        if (code == SQLITE_DONE) {
            return APQ_OK;
        }
        if (code != SQLITE_ROW) {
            return apq_records_failed(records, "read records");
        }
        apq_record record;
        APQ_TRY(decode(records, query, &record));
        APQ_TRY(visit(&record, ctx));
    }
}

apq_status apq_records_each(apq_records *records, apq_record_kind kind,
                            apq_records_visit visit, void *ctx) {
    sqlite3_stmt *query;
    APQ_TRY(select_rows(records, "WHERE kind = ? ORDER BY seq", &query));
    (void)sqlite3_bind_text(query, 1, apq_record_kind_name(kind), -1,
                            SQLITE_STATIC);
    apq_status st = visit_rows(records, query, visit, ctx);
    (void)sqlite3_finalize(query);
    return st;
}

static const char repeats_sql[] =
    "SELECT r.id, r.policy, r.policy_hash, r.kind, r.seq, r.accuracy, r.loss,"
    " r.count, r.seconds, r.weights_hash, r.created, r.loss_sd,"
    " 0, p.accuracy, p.loss, p.count, p.seconds, p.created, p.loss_sd"
    " FROM repeats p JOIN records r USING (kind, seq)"
    " WHERE kind = ? ORDER BY seq";

static apq_status visit_repeats(apq_records *records, sqlite3_stmt *query,
                                apq_repeats_visit visit, void *ctx) {
    int code;
    while ((code = sqlite3_step(query)) == SQLITE_ROW) {
        apq_record record;
        APQ_TRY(decode(records, query, &record));
        apq_record repeat = {
            .policy = "",
            .kind = record.kind,
            .seq = record.seq,
            .accuracy = sqlite3_column_double(query, 13),
            .loss = sqlite3_column_double(query, 14),
            .count = sqlite3_column_int64(query, 15),
            .seconds = sqlite3_column_double(query, 16),
            .loss_sd = number_or_nan(query, 18),
        };
        (void)snprintf(repeat.created, sizeof repeat.created, "%s",
                       text_of(query, 17));
        APQ_TRY(visit(&record, &repeat, ctx));
    }
    return code == SQLITE_DONE ? APQ_OK
                               : apq_records_failed(records, "read records");
}

apq_status apq_repeats_each(apq_records *records, apq_record_kind kind,
                            apq_repeats_visit visit, void *ctx) {
    if (records->is_old) {
        return APQ_OK;
    }
    sqlite3_stmt *query;
    APQ_TRY(apq_records_prepare(records, repeats_sql, &query));
    (void)sqlite3_bind_text(query, 1, apq_record_kind_name(kind), -1,
                            SQLITE_STATIC);
    apq_status st = visit_repeats(records, query, visit, ctx);
    (void)sqlite3_finalize(query);
    return st;
}

static apq_status chain_hash(const apq_record *record, void *ctx) {
    char *hash = ctx;
    char text[160];
    int n = snprintf(text, sizeof text,
                     "%s %d %" PRId64 " %016" PRIx64 " %.17g %.17g %" PRId64,
                     hash, (int)record->kind, record->seq, record->policy_hash,
                     record->accuracy, record->loss, record->count);
    apq_hash_hex(text, (size_t)n, hash);
    return APQ_OK;
}

apq_status apq_records_hash(apq_records *records,
                            char out[APQ_RECORD_TEXT_MAX]) {
    char hash[APQ_HASH_MAX] = "";
    for (int kind = 0; kind < APQ_RECORD_N_KINDS; kind++) {
        APQ_TRY(
            apq_records_each(records, (apq_record_kind)kind, chain_hash, hash));
    }
    (void)snprintf(out, APQ_RECORD_TEXT_MAX, "%s",
                   hash[0] == '\0' ? "0000000000000000" : hash);
    return APQ_OK;
}

/* Rows gathered for apq_records_all(); `used` counts bytes of `texts`. */
typedef struct gathered {
    apq_record *rows;
    char *texts;
    size_t n_rows, row_capacity, used, text_capacity;
} gathered;

/* Makes room for `n` elements of `size` bytes; `*block` is kept on failure. */
static bool reserve(void **block, size_t *capacity, size_t n, size_t size) {
    if (n <= *capacity) {
        return true;
    }
    size_t wanted = *capacity == 0 ? 64 : *capacity;
    while (wanted < n) {
        wanted *= 2;
    }
    void *grown = realloc(*block, wanted * size);
    if (grown == NULL) {
        return false;
    }
    *block = grown;
    *capacity = wanted;
    return true;
}

static apq_status gather(const apq_record *record, void *ctx) {
    gathered *all = ctx;
    size_t n_text = strlen(record->policy) + 1;
    void *rows = all->rows;
    void *texts = all->texts;
    bool fits =
        reserve(&rows, &all->row_capacity, all->n_rows + 1, sizeof *record) &&
        reserve(&texts, &all->text_capacity, all->used + n_text, 1);
    all->rows = rows;
    all->texts = texts;
    if (!fits) {
        APQ_FAIL(APQ_ERR_NOMEM, "out of memory after %zu records", all->n_rows);
    }
    all->rows[all->n_rows++] = *record;
    memcpy(all->texts + all->used, record->policy, n_text);
    all->used += n_text;
    return APQ_OK;
}

apq_status apq_records_all(apq_records *records, apq_record_kind kind,
                           apq_record **out, size_t *n) {
    gathered all = {0};
    apq_status st = apq_records_each(records, kind, gather, &all);
    apq_record *block = NULL;
    if (st == APQ_OK) {
        size_t n_bytes = all.n_rows * sizeof *block;
        block = malloc(n_bytes + all.used + 1);
        if (block == NULL) {
            st = APQ_ERROR(APQ_ERR_NOMEM, "%s: no memory for %zu records",
                           records->path, all.n_rows);
        }
    }
    if (block != NULL) {
        char *text = (char *)(block + all.n_rows);
        if (all.n_rows > 0) {
            memcpy(block, all.rows, all.n_rows * sizeof *block);
            memcpy(text, all.texts, all.used);
        }
        for (size_t i = 0; i < all.n_rows; i++) {
            block[i].policy = text;
            text += strlen(text) + 1;
        }
        *out = block;
        *n = all.n_rows;
    }
    free(all.rows);
    free(all.texts);
    return st;
}

/* The shortest of 15 to 17 digits that reads back to the same double. */
static void print_number(FILE *file, double value) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (!(fabs(strtod(text, NULL) - value) > 0)) {
            break;
        }
    }
    (void)fputs(text, file);
}

/* `separator` and `name` before each number: names for JSON, none for CSV. */
static void print_numbers(FILE *file, const apq_record *record,
                          const char *const names[4]) {
    (void)fputs(names[0], file);
    print_number(file, record->accuracy);
    (void)fputs(names[1], file);
    print_number(file, record->loss);
    (void)fprintf(file, "%s%" PRId64, names[2], record->count);
    (void)fputs(names[3], file);
    print_number(file, record->seconds);
}

static apq_status print_jsonl(const apq_record *record, void *ctx) {
    FILE *file = ctx;
    /* Parsed and printed again: the stored text may span lines. */
    json_error_t error;
    json_t *policy = json_loads(record->policy, 0, &error);
    char *compact = policy == NULL ? NULL : json_dumps(policy, JSON_COMPACT);
    json_decref(policy);
    if (compact == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "record %" PRId64 ": policy is not JSON",
                 record->id);
    }
    (void)fprintf(file,
                  "{\"id\":%" PRId64 ",\"kind\":\"%s\",\"seq\":%" PRId64
                  ",\"policy\":%s,\"policy_hash\":\"%016" PRIx64 "\"",
                  record->id, apq_record_kind_name(record->kind), record->seq,
                  compact, record->policy_hash);
    free(compact);
    static const char *const names[4] = {
        ",\"accuracy\":", ",\"loss\":", ",\"count\":", ",\"seconds\":"};
    print_numbers(file, record, names);
    (void)fprintf(file,
                  ",\"weights_hash\":\"%s\",\"created\":\"%s\",\"loss_sd\":",
                  record->weights_hash, record->created);
    if (isnan(record->loss_sd)) {
        (void)fputs("null", file);
    } else {
        print_number(file, record->loss_sd);
    }
    (void)fputs("}\n", file);
    return APQ_OK;
}

static apq_status print_csv(const apq_record *record, void *ctx) {
    FILE *file = ctx;
    (void)fprintf(file, "%" PRId64 ",%s,%" PRId64 ",\"", record->id,
                  apq_record_kind_name(record->kind), record->seq);
    for (const char *p = record->policy; *p != '\0'; p++) {
        if (*p == '"') {
            (void)fputc('"', file);
        }
        (void)fputc(*p, file);
    }
    (void)fprintf(file, "\",%016" PRIx64, record->policy_hash);
    static const char *const names[4] = {",", ",", ",", ","};
    print_numbers(file, record, names);
    (void)fprintf(file, ",%s,%s,", record->weights_hash, record->created);
    if (!isnan(record->loss_sd)) {
        print_number(file, record->loss_sd);
    }
    (void)fputc('\n', file);
    return APQ_OK;
}

static apq_status export(apq_records *records, apq_record_kind kind, FILE *file,
                         apq_records_visit print) {
    sqlite3_stmt *query;
    bool is_all = kind == APQ_RECORD_N_KINDS;
    APQ_TRY(select_rows(records,
                        is_all ? "ORDER BY id" : "WHERE kind = ? ORDER BY id",
                        &query));
    if (!is_all) {
        (void)sqlite3_bind_text(query, 1, apq_record_kind_name(kind), -1,
                                SQLITE_STATIC);
    }
    apq_status st = visit_rows(records, query, print, file);
    (void)sqlite3_finalize(query);
    if (st == APQ_OK && (fflush(file) != 0 || ferror(file))) {
        APQ_FAIL(APQ_ERR_WRITE, "%s: cannot write the export", records->path);
    }
    return st;
}

apq_status apq_records_export_jsonl(apq_records *records, apq_record_kind kind,
                                    FILE *file) {
    return export(records, kind, file, print_jsonl);
}

apq_status apq_records_export_csv(apq_records *records, apq_record_kind kind,
                                  FILE *file) {
    (void)fputs("id,kind,seq,policy,policy_hash,accuracy,loss,count,seconds,"
                "weights_hash,created,loss_sd\n",
                file);
    return export(records, kind, file, print_csv);
}
