/* Records in SQLite: one transaction a record. A rollback journal with
 * synchronous=EXTRA makes each committed row survive a kill or a power cut and,
 * unlike a write-ahead log, needs no memory shared by the processes
 * (sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous). */
#include "store/records_internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum {
    APPLICATION_ID = 0x41505152, /* "APQR" in the SQLite header */
    SCHEMA_VERSION = 2,
    BUSY_MS = 60000,
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS records ("
    " id INTEGER PRIMARY KEY,"
    " policy TEXT NOT NULL,"
    " policy_hash INTEGER NOT NULL,"
    " kind TEXT NOT NULL CHECK (kind IN ('float','quantised','qat')),"
    " seq INTEGER NOT NULL,"
    " accuracy REAL NOT NULL,"
    " loss REAL NOT NULL,"
    " count INTEGER NOT NULL,"
    " seconds REAL NOT NULL,"
    " weights_hash TEXT NOT NULL,"
    " created TEXT NOT NULL,"
    " UNIQUE (kind, seq));";

/* Version 2: what several processes share, and what tells the noise. */
static const char upgrade[] = "ALTER TABLE records ADD COLUMN loss_sd REAL;"
                              "CREATE TABLE repeats ("
                              " kind TEXT NOT NULL,"
                              " seq INTEGER NOT NULL,"
                              " accuracy REAL NOT NULL,"
                              " loss REAL NOT NULL,"
                              " loss_sd REAL,"
                              " count INTEGER NOT NULL,"
                              " seconds REAL NOT NULL,"
                              " created TEXT NOT NULL,"
                              " PRIMARY KEY (kind, seq)) WITHOUT ROWID;"
                              "CREATE TABLE choices ("
                              " kind TEXT NOT NULL,"
                              " seq INTEGER NOT NULL,"
                              " policy TEXT NOT NULL,"
                              " PRIMARY KEY (kind, seq)) WITHOUT ROWID;"
                              "CREATE TABLE claims ("
                              " task TEXT NOT NULL,"
                              " kind TEXT NOT NULL,"
                              " seq INTEGER NOT NULL,"
                              " owner TEXT NOT NULL,"
                              " expires REAL NOT NULL,"
                              " PRIMARY KEY (task, kind, seq)) WITHOUT ROWID;";

static const char insert_sql[] =
    "INSERT INTO records (policy, policy_hash, kind, seq, accuracy, loss,"
    " loss_sd, count, seconds, weights_hash, created)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?)";

static const char insert_repeat_sql[] =
    "INSERT INTO repeats (kind, seq, accuracy, loss, loss_sd, count, seconds,"
    " created) VALUES (?,?,?,?,?,?,?,?)";

static const char *const kind_names[APQ_RECORD_N_KINDS] = {
    [APQ_RECORD_FLOAT] = "float",
    [APQ_RECORD_QUANTISED] = "quantised",
    [APQ_RECORD_QAT] = "qat",
};

const char *apq_record_kind_name(apq_record_kind kind) {
    APQ_ASSERT((size_t)kind < APQ_RECORD_N_KINDS);
    return kind_names[kind];
}

apq_status apq_record_kind_parse(const char *name, apq_record_kind *out) {
    for (size_t i = 0; i < APQ_RECORD_N_KINDS; i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            *out = (apq_record_kind)i;
            return APQ_OK;
        }
    }
    APQ_FAIL(APQ_ERR_ARG, "record kind %s not in {float, quantised, qat}",
             name);
}

apq_status apq_records_failed(const apq_records *records, const char *doing) {
    int code = sqlite3_errcode(records->db);
    apq_status st = APQ_ERR_IO;
    if (code == SQLITE_NOMEM) {
        st = APQ_ERR_NOMEM;
    } else if (code == SQLITE_FULL || code == SQLITE_IOERR) {
        st = APQ_ERR_WRITE;
    } else if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
        st = APQ_ERR_FORMAT;
    }
    APQ_FAIL(st, "%s: cannot %s: %s", records->path, doing,
             sqlite3_errmsg(records->db));
}

apq_status apq_records_prepare(apq_records *records, const char *sql,
                               sqlite3_stmt **out) {
    if (sqlite3_prepare_v2(records->db, sql, -1, out, NULL) != SQLITE_OK) {
        return apq_records_failed(records, "read records");
    }
    return APQ_OK;
}

/* Statements without results. */
static apq_status execute(apq_records *records, const char *sql,
                          const char *doing) {
    if (sqlite3_exec(records->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return apq_records_failed(records, doing);
    }
    return APQ_OK;
}

static apq_status read_pragma(apq_records *records, const char *sql,
                              int64_t *value) {
    sqlite3_stmt *query;
    APQ_TRY(apq_records_prepare(records, sql, &query));
    apq_status st = APQ_OK;
    if (sqlite3_step(query) == SQLITE_ROW) {
        *value = sqlite3_column_int64(query, 0);
    } else {
        st = apq_records_failed(records, "read records");
    }
    (void)sqlite3_finalize(query);
    return st;
}

static apq_status upgrade_schema(apq_records *records) {
    char pragmas[96];
    (void)snprintf(pragmas, sizeof pragmas,
                   "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   APPLICATION_ID, SCHEMA_VERSION);
    APQ_TRY(execute(records, upgrade, "create table"));
    return execute(records, pragmas, "create table");
}

/* Inside the opening transaction, so that two processes creating the file at
 * once agree. */
static apq_status check_schema(apq_records *records) {
    int64_t application = 0, version = 0, n_tables = 0;
    APQ_TRY(read_pragma(records, "PRAGMA application_id", &application));
    APQ_TRY(read_pragma(records, "PRAGMA user_version", &version));
    APQ_TRY(
        read_pragma(records, "SELECT count(*) FROM sqlite_master", &n_tables));
    if (n_tables == 0 && application == 0 && !records->is_read_only) {
        APQ_TRY(execute(records, schema, "create table"));
        return upgrade_schema(records);
    }
    if (application != APPLICATION_ID) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: a database, but not of apq records",
                 records->path);
    }
    if (version < 1 || version > SCHEMA_VERSION) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: records of version %" PRId64 ", this program reads %d",
                 records->path, version, SCHEMA_VERSION);
    }
    records->is_old = records->is_read_only && version < SCHEMA_VERSION;
    return version < SCHEMA_VERSION && !records->is_read_only
               ? upgrade_schema(records)
               : APQ_OK;
}

static apq_status set_up(apq_records *records) {
    (void)sqlite3_busy_timeout(records->db, BUSY_MS);
    if (records->is_read_only) {
        return check_schema(records);
    }
    /* A file of an earlier version is WAL and stays so while a reader has it
     * open, which does no harm. */
    (void)sqlite3_exec(records->db, "PRAGMA journal_mode=DELETE", NULL, NULL,
                       NULL);
    APQ_TRY(execute(records, "PRAGMA synchronous=EXTRA", "open"));
    APQ_TRY(execute(records, "BEGIN IMMEDIATE", "open"));
    APQ_TRY(apq_records_end(records, check_schema(records)));
    if (sqlite3_prepare_v2(records->db, insert_sql, -1, &records->insert,
                           NULL) != SQLITE_OK) {
        return apq_records_failed(records, "open");
    }
    return APQ_OK;
}

apq_status apq_records_begin(apq_records *records) {
    return execute(records, "BEGIN IMMEDIATE", "write");
}

apq_status apq_records_end(apq_records *records, apq_status st) {
    if (st == APQ_OK) {
        st = execute(records, "COMMIT", "write");
    }
    if (st != APQ_OK) {
        (void)sqlite3_exec(records->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return st;
}

static apq_status open_file(const char *path, int flags, bool is_read_only,
                            apq_records **out) {
    size_t n_path = strlen(path) + 1;
    apq_records *records = calloc(1, sizeof *records + n_path);
    if (records == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    memcpy(records->path, path, n_path);
    apq_status st = APQ_OK;
    records->is_read_only = is_read_only;
    if (sqlite3_open_v2(path, &records->db, flags, NULL) != SQLITE_OK) {
        st = apq_records_failed(records, "open");
    } else {
        st = set_up(records);
    }
    if (st != APQ_OK) {
        apq_records_close(records);
        return st;
    }
    *out = records;
    return APQ_OK;
}

apq_status apq_records_open(const char *path, apq_records **out) {
    return open_file(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, false,
                     out);
}

apq_status apq_records_open_read(const char *path, apq_records **out) {
    /* A read-only handle would leave the side files of a WAL of version 1
     * behind, and could not undo what a killed process left. */
    return open_file(path, SQLITE_OPEN_READWRITE, true, out);
}

void apq_records_close(apq_records *records) {
    if (records == NULL) {
        return;
    }
    (void)sqlite3_finalize(records->insert);
    (void)sqlite3_close(records->db);
    free(records);
}

static bool has_only(const char *text, const char *allowed) {
    return text[strspn(text, allowed)] == '\0';
}

static apq_status check_policy(const char *where, const char *policy) {
    json_error_t error;
    json_t *json = policy == NULL
                       ? NULL
                       : json_loads(policy, JSON_REJECT_DUPLICATES, &error);
    if (policy == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "%s: record without policy", where);
    }
    if (json == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "%s: policy of a record is not JSON: %s", where,
                 error.text);
    }
    bool is_object = json_is_object(json);
    json_decref(json);
    if (!is_object) {
        APQ_FAIL(APQ_ERR_ARG, "%s: policy of a record is not a JSON object",
                 where);
    }
    return APQ_OK;
}

apq_status apq_record_check(const char *where, const apq_record *record) {
    if ((size_t)record->kind >= APQ_RECORD_N_KINDS) {
        APQ_FAIL(APQ_ERR_ARG, "%s: record kind %d not in 0..%d", where,
                 (int)record->kind, APQ_RECORD_N_KINDS - 1);
    }
    if (record->seq < 0) {
        APQ_FAIL(APQ_ERR_ARG, "%s: record seq %" PRId64 " below 0", where,
                 record->seq);
    }
    if (!isfinite(record->accuracy) || !isfinite(record->loss) ||
        !isfinite(record->seconds)) {
        APQ_FAIL(APQ_ERR_NUMERIC,
                 "%s: record %" PRId64 ": accuracy %g, loss %g or seconds %g "
                 "is not finite",
                 where, record->seq, record->accuracy, record->loss,
                 record->seconds);
    }
    if (!isnan(record->loss_sd) && !(record->loss_sd >= 0)) {
        APQ_FAIL(APQ_ERR_ARG, "%s: record loss_sd %g below 0", where,
                 record->loss_sd);
    }
    if (record->accuracy < 0 || record->accuracy > 1) {
        APQ_FAIL(APQ_ERR_ARG, "%s: record accuracy %g not in [0, 1]", where,
                 record->accuracy);
    }
    if (record->count < 1 || record->seconds < 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: record count %" PRId64 " below 1 or seconds %g below 0",
                 where, record->count, record->seconds);
    }
    if (!has_only(record->weights_hash, "0123456789abcdef")) {
        APQ_FAIL(APQ_ERR_ARG, "%s: record weights_hash %s is not hexadecimal",
                 where, record->weights_hash);
    }
    if (!has_only(record->created, "0123456789-:TZ")) {
        APQ_FAIL(APQ_ERR_ARG, "%s: record created %s is not a UTC time", where,
                 record->created);
    }
    return check_policy(where, record->policy);
}

/* The present where the record has no time. */
static void created_of(const apq_record *record,
                       char out[APQ_RECORD_TEXT_MAX]) {
    memcpy(out, record->created, APQ_RECORD_TEXT_MAX);
    if (out[0] == '\0') {
        apq_utc_now(out);
    }
}

/* NaN is stored as NULL, which bind_double makes of it. */
static int bind_measured(sqlite3_stmt *insert, int at,
                         const apq_record *record) {
    int bad = sqlite3_bind_double(insert, at, record->accuracy);
    bad |= sqlite3_bind_double(insert, at + 1, record->loss);
    bad |= sqlite3_bind_double(insert, at + 2, record->loss_sd);
    bad |= sqlite3_bind_int64(insert, at + 3, record->count);
    bad |= sqlite3_bind_double(insert, at + 4, record->seconds);
    return bad;
}

static apq_status run_insert(apq_records *records, sqlite3_stmt *insert,
                             int bad, const apq_record *record) {
    apq_status st = APQ_OK;
    if (bad != SQLITE_OK) {
        st = apq_records_failed(records, "add a record");
    } else if (sqlite3_step(insert) != SQLITE_DONE) {
        int code = sqlite3_extended_errcode(records->db);
        if (code == SQLITE_CONSTRAINT_UNIQUE ||
            code == SQLITE_CONSTRAINT_PRIMARYKEY) {
            st = APQ_ERROR(
                APQ_ERR_ARG, "%s: %s record %" PRId64 " is there already",
                records->path, apq_record_kind_name(record->kind), record->seq);
        } else {
            st = apq_records_failed(records, "add a record");
        }
    }
    (void)sqlite3_reset(insert);
    (void)sqlite3_clear_bindings(insert);
    return st;
}

apq_status apq_records_add(apq_records *records, const apq_record *record) {
    APQ_TRY(apq_record_check(records->path, record));
    char created[APQ_RECORD_TEXT_MAX];
    created_of(record, created);
    /* SQLite integers are signed: the hash keeps its bits. */
    int64_t policy_hash;
    memcpy(&policy_hash, &record->policy_hash, sizeof policy_hash);
    const char *kind = apq_record_kind_name(record->kind);

    sqlite3_stmt *insert = records->insert;
    int bad = sqlite3_bind_text(insert, 1, record->policy, -1, SQLITE_STATIC);
    bad |= sqlite3_bind_int64(insert, 2, policy_hash);
    bad |= sqlite3_bind_text(insert, 3, kind, -1, SQLITE_STATIC);
    bad |= sqlite3_bind_int64(insert, 4, record->seq);
    bad |= bind_measured(insert, 5, record);
    bad |=
        sqlite3_bind_text(insert, 10, record->weights_hash, -1, SQLITE_STATIC);
    bad |= sqlite3_bind_text(insert, 11, created, -1, SQLITE_STATIC);
    return run_insert(records, insert, bad, record);
}

apq_status apq_records_add_repeat(apq_records *records,
                                  const apq_record *record) {
    APQ_TRY(apq_record_check(records->path, record));
    char created[APQ_RECORD_TEXT_MAX];
    created_of(record, created);
    sqlite3_stmt *insert;
    APQ_TRY(apq_records_prepare(records, insert_repeat_sql, &insert));
    int bad = sqlite3_bind_text(insert, 1, apq_record_kind_name(record->kind),
                                -1, SQLITE_STATIC);
    bad |= sqlite3_bind_int64(insert, 2, record->seq);
    bad |= bind_measured(insert, 3, record);
    bad |= sqlite3_bind_text(insert, 8, created, -1, SQLITE_STATIC);
    apq_status st = run_insert(records, insert, bad, record);
    (void)sqlite3_finalize(insert);
    return st;
}

apq_status apq_records_count(apq_records *records, apq_record_kind kind,
                             size_t *n) {
    sqlite3_stmt *query;
    APQ_TRY(apq_records_prepare(
        records, "SELECT count(*) FROM records WHERE kind = ?", &query));
    (void)sqlite3_bind_text(query, 1, apq_record_kind_name(kind), -1,
                            SQLITE_STATIC);
    apq_status st = APQ_OK;
    if (sqlite3_step(query) == SQLITE_ROW) {
        *n = (size_t)sqlite3_column_int64(query, 0);
    } else {
        st = apq_records_failed(records, "count records");
    }
    (void)sqlite3_finalize(query);
    return st;
}

/* Whether a record of that kind and seq is there; another one is an error. */
static apq_status find_same(apq_records *records, const apq_record *record,
                            bool *is_there) {
    sqlite3_stmt *query;
    APQ_TRY(apq_records_prepare(records,
                                "SELECT policy_hash, accuracy, loss FROM"
                                " records WHERE kind = ? AND seq = ?",
                                &query));
    (void)sqlite3_bind_text(query, 1, apq_record_kind_name(record->kind), -1,
                            SQLITE_STATIC);
    (void)sqlite3_bind_int64(query, 2, record->seq);
    int code = sqlite3_step(query);
    apq_status st = APQ_OK;
    *is_there = code == SQLITE_ROW;
    if (code == SQLITE_ROW) {
        const double mine[] = {record->accuracy, record->loss};
        const double theirs[] = {sqlite3_column_double(query, 1),
                                 sqlite3_column_double(query, 2)};
        if ((uint64_t)sqlite3_column_int64(query, 0) != record->policy_hash ||
            memcmp(mine, theirs, sizeof mine) != 0) {
            st = APQ_ERROR(APQ_ERR_MISMATCH,
                           "%s: %s record %" PRId64
                           " is there with another policy or accuracy",
                           records->path, apq_record_kind_name(record->kind),
                           record->seq);
        }
    } else if (code != SQLITE_DONE) {
        st = apq_records_failed(records, "read records");
    }
    (void)sqlite3_finalize(query);
    return st;
}

/* Labels of one kind are of as many images each, and the quantised ones all
 * trained or all not: else they do not compare. */
static apq_status check_alike(apq_records *records, const apq_record *record) {
    const char *name = apq_record_kind_name(record->kind);
    sqlite3_stmt *query;
    APQ_TRY(apq_records_prepare(records,
                                "SELECT kind, count FROM records WHERE"
                                " (kind = 'float') = (?1 = 'float') AND"
                                " (kind != ?1 OR count != ?2) LIMIT 1",
                                &query));
    (void)sqlite3_bind_text(query, 1, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(query, 2, record->count);
    int code = sqlite3_step(query);
    apq_status st = APQ_OK;
    if (code == SQLITE_ROW) {
        st = APQ_ERROR(APQ_ERR_MISMATCH,
                       "%s: %s record %" PRId64 " is of %" PRId64
                       " images, those there are %s ones of %lld",
                       records->path, name, record->seq, record->count,
                       (const char *)sqlite3_column_text(query, 0),
                       (long long)sqlite3_column_int64(query, 1));
    } else if (code != SQLITE_DONE) {
        st = apq_records_failed(records, "read records");
    }
    (void)sqlite3_finalize(query);
    return st;
}

/* What is like a record that was found alike is so too: a look for each kind,
 * not for each of many thousand records. */
static apq_status merge(apq_records *records, const apq_record *rows, size_t n,
                        size_t *n_new) {
    int64_t alike[APQ_RECORD_N_KINDS] = {0}; /* counts; 0: not looked yet */
    for (size_t i = 0; i < n; i++) {
        bool is_there;
        if (alike[rows[i].kind] != rows[i].count) {
            APQ_TRY(check_alike(records, &rows[i]));
            alike[rows[i].kind] = rows[i].count;
        }
        APQ_TRY(find_same(records, &rows[i], &is_there));
        if (!is_there) {
            APQ_TRY(apq_records_add(records, &rows[i]));
            (*n_new)++;
        }
    }
    return APQ_OK;
}

apq_status apq_records_merge(apq_records *records, const apq_record *rows,
                             size_t n, size_t *n_new) {
    *n_new = 0;
    APQ_TRY(apq_records_begin(records));
    return apq_records_end(records, merge(records, rows, n, n_new));
}

apq_status apq_records_try_merge(apq_records *records, const apq_record *rows,
                                 size_t n) {
    size_t n_new = 0;
    APQ_TRY(apq_records_begin(records));
    apq_status st = merge(records, rows, n, &n_new);
    (void)sqlite3_exec(records->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}
