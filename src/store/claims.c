/* Claims: a table of leases beside the records. Each change is a transaction
 * that holds SQLite's write lock from its start, so that looking and claiming
 * are one step. */
#include "store/claims.h"

#include "store/records_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { OWNER_MAX = 192, PLACE_MAX = 128 };

/* Tables that show what is done, each with the columns kind and seq. */
static const char *const tables[] = {
    [APQ_TASK_RECORD] = "records",
    [APQ_TASK_REPEAT] = "repeats",
    [APQ_TASK_CHOICE] = "choices",
};

static double wall_clock(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Machine and name space of process numbers. */
static void write_place(char out[PLACE_MAX]) {
    struct utsname machine;
    char space[40];
    if (uname(&machine) != 0) {
        (void)strcpy(machine.nodename, "?");
    }
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[n > 0 ? n : 0] = '\0';
    (void)snprintf(out, PLACE_MAX, "%.64s %s", machine.nodename, space);
}

/* What /proc tells of a process; zeros: not known. */
typedef struct process {
    char state; /* its letter */
    /* Clock ticks from the start of the machine to its own: it tells a process
     * from a later one with the same number. */
    unsigned long long start;
} process;

static process look_up(long pid) {
    char path[40], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "r");
    size_t n = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    if (file != NULL) {
        (void)fclose(file);
    }
    text[n] = '\0';
    /* The name, in parentheses, may hold anything; the state follows it, and
     * the 22nd field is the 20th after it. */
    char *at = strrchr(text, ')');
    process found = {.state = at == NULL || at[1] == '\0' ? '\0' : at[2]};
    for (int i = 0; at != NULL && i < 20; i++) {
        at = strchr(at + 1, ' ');
    }
    found.start = at == NULL ? 0 : strtoull(at, NULL, 10);
    return found;
}

static void write_owner(char out[OWNER_MAX]) {
    char place[PLACE_MAX];
    write_place(place);
    long pid = (long)getpid();
    (void)snprintf(out, OWNER_MAX, "%s %ld %llu", place, pid,
                   look_up(pid).start);
}

/* Certainly gone: a process of this machine whose number is free or that of
 * another, or that has ended and waits for its parent to notice (Z, X). */
static bool is_gone(const char *owner) {
    char place[PLACE_MAX];
    write_place(place);
    size_t n = strlen(place);
    if (strncmp(owner, place, n) != 0 || owner[n] != ' ') {
        return false;
    }
    char *rest;
    long pid = strtol(owner + n, &rest, 10);
    unsigned long long start = strtoull(rest, NULL, 10);
    if (pid <= 0) {
        return false;
    }
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
        return true;
    }
    process now = look_up(pid);
    return now.state == 'Z' || now.state == 'X' ||
           (start != 0 && now.start != 0 && now.start != start);
}

static void bind_kind(sqlite3_stmt *statement, int at, apq_record_kind kind) {
    (void)sqlite3_bind_text(statement, at, apq_record_kind_name(kind), -1,
                            SQLITE_STATIC);
}

/* Runs a statement without results and releases it. */
static apq_status run(apq_records *records, sqlite3_stmt *statement) {
    apq_status st = sqlite3_step(statement) == SQLITE_DONE
                        ? APQ_OK
                        : apq_records_failed(records, "change claims");
    (void)sqlite3_finalize(statement);
    return st;
}

static apq_status delete_owner(apq_records *records, const char *owner) {
    sqlite3_stmt *statement;
    APQ_TRY(apq_records_prepare(records, "DELETE FROM claims WHERE owner = ?",
                                &statement));
    (void)sqlite3_bind_text(statement, 1, owner, -1, SQLITE_TRANSIENT);
    return run(records, statement);
}

static apq_status delete_expired(apq_records *records) {
    sqlite3_stmt *statement;
    APQ_TRY(apq_records_prepare(records, "DELETE FROM claims WHERE expires < ?",
                                &statement));
    (void)sqlite3_bind_double(statement, 1, wall_clock());
    return run(records, statement);
}

/* An owner that is gone, "" when there is none. */
static apq_status find_gone(apq_records *records, char owner[OWNER_MAX]) {
    sqlite3_stmt *query;
    owner[0] = '\0';
    APQ_TRY(apq_records_prepare(records, "SELECT DISTINCT owner FROM claims",
                                &query));
    int code;
    while ((code = sqlite3_step(query)) == SQLITE_ROW && owner[0] == '\0') {
        const char *text = (const char *)sqlite3_column_text(query, 0);
        if (text != NULL && is_gone(text)) {
            (void)snprintf(owner, OWNER_MAX, "%s", text);
        }
    }
    apq_status st = code == SQLITE_DONE || code == SQLITE_ROW
                        ? APQ_OK
                        : apq_records_failed(records, "read claims");
    (void)sqlite3_finalize(query);
    return st;
}

static apq_status delete_ended(apq_records *records) {
    APQ_TRY(delete_expired(records));
    char owner[OWNER_MAX];
    for (;;) {
        APQ_TRY(find_gone(records, owner));
        if (owner[0] == '\0') {
            return APQ_OK;
        }
        APQ_TRY(delete_owner(records, owner));
    }
}

/* The first of begin .. end - 1 that is not there and, with is_free, not
 * claimed; end when there is none. The recursion stops at the first row. */
static apq_status find_first(apq_records *records, apq_task task,
                             apq_record_kind kind, int64_t begin, int64_t end,
                             bool is_free, int64_t *out) {
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "WITH RECURSIVE s(i) AS (SELECT ?2 UNION ALL"
                   " SELECT i + 1 FROM s WHERE i + 1 < ?3)"
                   " SELECT i FROM s WHERE NOT EXISTS"
                   " (SELECT 1 FROM %s WHERE kind = ?1 AND seq = i)%s LIMIT 1",
                   tables[task],
                   is_free
                       ? " AND NOT EXISTS (SELECT 1 FROM claims WHERE task = ?4"
                         " AND kind = ?1 AND seq = i)"
                       : "");
    *out = end;
    if (begin >= end) {
        return APQ_OK;
    }
    sqlite3_stmt *query;
    APQ_TRY(apq_records_prepare(records, sql, &query));
    bind_kind(query, 1, kind);
    (void)sqlite3_bind_int64(query, 2, begin);
    (void)sqlite3_bind_int64(query, 3, end);
    if (is_free) {
        (void)sqlite3_bind_text(query, 4, tables[task], -1, SQLITE_STATIC);
    }
    int code = sqlite3_step(query);
    apq_status st = APQ_OK;
    if (code == SQLITE_ROW) {
        *out = sqlite3_column_int64(query, 0);
    } else if (code != SQLITE_DONE) {
        st = apq_records_failed(records, "read claims");
    }
    (void)sqlite3_finalize(query);
    return st;
}

apq_status apq_records_first_missing(apq_records *records, apq_record_kind kind,
                                     int64_t *begin, int64_t end) {
    return find_first(records, APQ_TASK_RECORD, kind, *begin, end, false,
                      begin);
}

static apq_status insert_claim(apq_records *records, const apq_claim *claim,
                               double lease_s) {
    char owner[OWNER_MAX];
    write_owner(owner);
    sqlite3_stmt *insert;
    APQ_TRY(apq_records_prepare(
        records,
        "INSERT INTO claims (kind, task, seq, owner, expires)"
        " VALUES (?,?,?,?,?)",
        &insert));
    bind_kind(insert, 1, claim->kind);
    (void)sqlite3_bind_text(insert, 2, tables[claim->task], -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(insert, 3, claim->seq);
    (void)sqlite3_bind_text(insert, 4, owner, -1, SQLITE_TRANSIENT);
    (void)sqlite3_bind_double(insert, 5, wall_clock() + lease_s);
    return run(records, insert);
}

static apq_status take(apq_records *records, double lease_s, int64_t begin,
                       int64_t end, apq_claim_state *state, apq_claim *claim) {
    APQ_TRY(delete_ended(records));
    APQ_TRY(find_first(records, claim->task, claim->kind, begin, end, true,
                       &claim->seq));
    *state = claim->seq < end ? APQ_CLAIM_MINE : APQ_CLAIM_BUSY;
    return claim->seq < end ? insert_claim(records, claim, lease_s) : APQ_OK;
}

apq_status apq_claims_take(apq_records *records, apq_task task,
                           apq_record_kind kind, int64_t *begin, int64_t end,
                           double lease_s, apq_claim_state *state,
                           apq_claim *claim) {
    *state = APQ_CLAIM_DONE;
    /* Records never go away: without the lock as well. */
    APQ_TRY(find_first(records, task, kind, *begin, end, false, begin));
    if (*begin >= end) {
        return APQ_OK;
    }
    *claim = (apq_claim){.task = task, .kind = kind};
    /* Who chooses the first that is missing chooses all. */
    end = task == APQ_TASK_CHOICE ? *begin + 1 : end;
    APQ_TRY(apq_records_begin(records));
    return apq_records_end(records,
                           take(records, lease_s, *begin, end, state, claim));
}

apq_status apq_claims_renew(apq_records *records, double lease_s) {
    char owner[OWNER_MAX];
    write_owner(owner);
    sqlite3_stmt *update;
    APQ_TRY(apq_records_prepare(
        records, "UPDATE claims SET expires = ? WHERE owner = ?", &update));
    (void)sqlite3_bind_double(update, 1, wall_clock() + lease_s);
    (void)sqlite3_bind_text(update, 2, owner, -1, SQLITE_TRANSIENT);
    return run(records, update);
}

apq_status apq_claims_drop(apq_records *records, const apq_claim *claim) {
    char owner[OWNER_MAX];
    write_owner(owner);
    sqlite3_stmt *statement;
    APQ_TRY(apq_records_prepare(records,
                                "DELETE FROM claims WHERE kind = ? AND"
                                " task = ? AND seq = ? AND owner = ?",
                                &statement));
    bind_kind(statement, 1, claim->kind);
    (void)sqlite3_bind_text(statement, 2, tables[claim->task], -1,
                            SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 3, claim->seq);
    (void)sqlite3_bind_text(statement, 4, owner, -1, SQLITE_TRANSIENT);
    return run(records, statement);
}

static apq_status finish(apq_records *records, const apq_claim *claim,
                         const apq_record *record) {
    int64_t missing;
    APQ_TRY(find_first(records, claim->task, claim->kind, claim->seq,
                       claim->seq + 1, false, &missing));
    if (missing == claim->seq) {
        APQ_TRY(claim->task == APQ_TASK_RECORD
                    ? apq_records_add(records, record)
                    : apq_records_add_repeat(records, record));
    }
    return apq_claims_drop(records, claim);
}

apq_status apq_claims_finish(apq_records *records, const apq_claim *claim,
                             const apq_record *record) {
    APQ_ASSERT(record->kind == claim->kind && record->seq == claim->seq);
    APQ_TRY(apq_records_begin(records));
    return apq_records_end(records, finish(records, claim, record));
}

static apq_status finish_choice(apq_records *records, const apq_claim *claim,
                                int64_t begin, char *const *policies,
                                size_t n) {
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *insert;
        APQ_TRY(apq_records_prepare(records,
                                    "INSERT OR IGNORE INTO choices"
                                    " (kind, seq, policy) VALUES (?,?,?)",
                                    &insert));
        bind_kind(insert, 1, claim->kind);
        (void)sqlite3_bind_int64(insert, 2, begin + (int64_t)i);
        (void)sqlite3_bind_text(insert, 3, policies[i], -1, SQLITE_STATIC);
        APQ_TRY(run(records, insert));
    }
    return apq_claims_drop(records, claim);
}

apq_status apq_claims_finish_choice(apq_records *records,
                                    const apq_claim *claim, int64_t begin,
                                    char *const *policies, size_t n) {
    APQ_TRY(apq_records_begin(records));
    return apq_records_end(records,
                           finish_choice(records, claim, begin, policies, n));
}

static apq_status get_policy(apq_records *records, const char *table,
                             apq_record_kind kind, int64_t seq, char **policy) {
    char sql[80];
    (void)snprintf(sql, sizeof sql,
                   "SELECT policy FROM %s WHERE kind = ? AND seq = ?", table);
    sqlite3_stmt *query;
    APQ_TRY(apq_records_prepare(records, sql, &query));
    bind_kind(query, 1, kind);
    (void)sqlite3_bind_int64(query, 2, seq);
    int code = sqlite3_step(query);
    apq_status st = APQ_OK;
    if (code == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(query, 0);
        *policy = strdup(text != NULL ? text : "");
        if (*policy == NULL) {
            st = APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", records->path);
        }
    } else if (code == SQLITE_DONE) {
        st = APQ_ERROR(APQ_ERR_ARG, "%s: no %s %" PRId64 " among the %s",
                       records->path, apq_record_kind_name(kind), seq, table);
    } else {
        st = apq_records_failed(records, "read policies");
    }
    (void)sqlite3_finalize(query);
    return st;
}

apq_status apq_choice_get(apq_records *records, apq_record_kind kind,
                          int64_t seq, char **policy) {
    return get_policy(records, tables[APQ_TASK_CHOICE], kind, seq, policy);
}

apq_status apq_record_policy(apq_records *records, apq_record_kind kind,
                             int64_t seq, char **policy) {
    return get_policy(records, tables[APQ_TASK_RECORD], kind, seq, policy);
}
