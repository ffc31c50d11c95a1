/* Records: what is added comes back, also after reopening; what is not legal
 * is refused; exports read back to the same numbers. */
#include "store/records.h"

#include "base/file.h"
#include "unit/store/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char policy_text[] = "{\"space\": \"tiny\",\n \"depth\": [1, 2]}";

static apq_record example(apq_record_kind kind, int64_t seq) {
    return (apq_record){
        .policy = policy_text,
        .policy_hash = UINT64_C(0xfedcba9876543210) + (uint64_t)seq,
        .kind = kind,
        .seq = seq,
        .accuracy = 0.1 + 0.01 * (double)seq,
        .loss = 1.0 / 3.0,
        .loss_sd = 0.25,
        .count = 5000,
        .seconds = 2.5,
        .weights_hash = "0123456789abcdef",
        .created = "2024-01-31T12:00:00Z",
    };
}

static apq_records *open_in(void **state) {
    char path[APQ_PATH_MAX];
    apq_records *records = NULL;
    assert_int_equal(apq_path_join(path, *state, "run.db"), APQ_OK);
    assert_int_equal(apq_records_open(path, &records), APQ_OK);
    return records;
}

static void add(apq_records *records, apq_record record) {
    assert_int_equal(apq_records_add(records, &record), APQ_OK);
}

static size_t count(apq_records *records, apq_record_kind kind) {
    size_t n = 999;
    assert_int_equal(apq_records_count(records, kind, &n), APQ_OK);
    return n;
}

static void expect_same(const apq_record *a, const apq_record *b) {
    assert_string_equal(a->policy, b->policy);
    assert_true(a->policy_hash == b->policy_hash);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->seq, b->seq);
    assert_true(a->accuracy == b->accuracy);
    assert_true(a->loss == b->loss);
    assert_true(a->loss_sd == b->loss_sd);
    assert_int_equal(a->count, b->count);
    assert_true(a->seconds == b->seconds);
    assert_string_equal(a->weights_hash, b->weights_hash);
    assert_string_equal(a->created, b->created);
}

static void reopening_keeps_all(void **state) {
    apq_records *records = open_in(state);
    /* Out of order, to see the sort. */
    add(records, example(APQ_RECORD_FLOAT, 2));
    add(records, example(APQ_RECORD_FLOAT, 0));
    add(records, example(APQ_RECORD_QUANTISED, 2));
    apq_records_close(records);

    records = open_in(state);
    assert_int_equal(count(records, APQ_RECORD_FLOAT), 2);
    assert_int_equal(count(records, APQ_RECORD_QUANTISED), 1);
    assert_int_equal(count(records, APQ_RECORD_QAT), 0);

    apq_record *all = NULL;
    size_t n = 0;
    assert_int_equal(apq_records_all(records, APQ_RECORD_FLOAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, 2);
    apq_record first = example(APQ_RECORD_FLOAT, 0);
    apq_record second = example(APQ_RECORD_FLOAT, 2);
    expect_same(&all[0], &first);
    expect_same(&all[1], &second);
    free(all);
    assert_int_equal(apq_records_all(records, APQ_RECORD_QAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, 0);
    assert_non_null(all);
    free(all);
    apq_records_close(records);
}

/* More rows and longer texts than the first allocations hold. */
static void many_rows_come_back(void **state) {
    apq_records *records = open_in(state);
    enum { N_ROWS = 150 };
    char text[256];
    for (int i = 0; i < N_ROWS; i++) {
        (void)snprintf(text, sizeof text, "{\"i\":%d,\"pad\":\"%0*d\"}", i,
                       i + 1, i);
        apq_record record = example(APQ_RECORD_QAT, i);
        record.policy = text;
        record.accuracy = 0.5;
        add(records, record);
    }
    apq_record *all = NULL;
    size_t n = 0;
    assert_int_equal(apq_records_all(records, APQ_RECORD_QAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, N_ROWS);
    for (int i = 0; i < N_ROWS; i++) {
        (void)snprintf(text, sizeof text, "{\"i\":%d,\"pad\":\"%0*d\"}", i,
                       i + 1, i);
        assert_string_equal(all[i].policy, text);
        assert_int_equal(all[i].seq, i);
    }
    free(all);
    apq_records_close(records);
}

static void duplicate_seq_is_refused(void **state) {
    apq_records *records = open_in(state);
    add(records, example(APQ_RECORD_FLOAT, 7));
    apq_record again = example(APQ_RECORD_FLOAT, 7);
    again.accuracy = 0.9;
    assert_int_equal(apq_records_add(records, &again), APQ_ERR_ARG);
    assert_non_null(
        strstr(apq_error_message(), "float record 7 is there already"));
    /* The refusal leaves the handle usable and the first row as it was. */
    add(records, example(APQ_RECORD_QUANTISED, 7));
    add(records, example(APQ_RECORD_FLOAT, 8));
    apq_record *all = NULL;
    size_t n = 0;
    assert_int_equal(apq_records_all(records, APQ_RECORD_FLOAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, 2);
    apq_record first = example(APQ_RECORD_FLOAT, 7);
    expect_same(&all[0], &first);
    free(all);
    apq_records_close(records);
}

static void refuse(apq_records *records, apq_record record, apq_status why) {
    assert_int_equal(apq_records_add(records, &record), why);
    assert_int_equal(count(records, record.kind), 0);
}

static void illegal_values_are_refused(void **state) {
    apq_records *records = open_in(state);
    apq_record good = example(APQ_RECORD_FLOAT, 0), bad = good;
    bad.accuracy = (double)NAN;
    refuse(records, bad, APQ_ERR_NUMERIC);
    bad = good;
    bad.loss = (double)INFINITY;
    refuse(records, bad, APQ_ERR_NUMERIC);
    bad = good;
    bad.accuracy = 71.5; /* a percentage */
    refuse(records, bad, APQ_ERR_ARG);
    bad = good;
    bad.seq = -1;
    refuse(records, bad, APQ_ERR_ARG);
    bad = good;
    bad.count = 0;
    refuse(records, bad, APQ_ERR_ARG);
    bad = good;
    bad.policy = "[1, 2]";
    refuse(records, bad, APQ_ERR_ARG);
    bad.policy = "{\"depth\": [1,";
    refuse(records, bad, APQ_ERR_ARG);
    bad.policy = NULL;
    refuse(records, bad, APQ_ERR_ARG);
    bad = good;
    (void)snprintf(bad.weights_hash, sizeof bad.weights_hash, "a\"b");
    refuse(records, bad, APQ_ERR_ARG);
    apq_records_close(records);
}

static void empty_time_becomes_now(void **state) {
    apq_records *records = open_in(state);
    apq_record record = example(APQ_RECORD_FLOAT, 0);
    record.created[0] = '\0';
    add(records, record);
    apq_record *all = NULL;
    size_t n = 0;
    assert_int_equal(apq_records_all(records, APQ_RECORD_FLOAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, 1);
    assert_int_equal(strlen(all[0].created), strlen("2024-01-31T12:00:00Z"));
    assert_int_equal(all[0].created[10], 'T');
    free(all);
    apq_records_close(records);
}

static void foreign_files_are_refused(void **state) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, *state, "run.db"), APQ_OK);
    static const char text[] = "this file is no database, whatever its name is,"
                               " and is long enough to look at";
    assert_int_equal(apq_file_write(path, text, sizeof text), APQ_OK);
    apq_records *records = NULL;
    assert_int_equal(apq_records_open(path, &records), APQ_ERR_FORMAT);
    assert_null(records);
    assert_non_null(strstr(apq_error_message(), path));

    assert_int_equal(apq_path_join(path, *state, "gone/run.db"), APQ_OK);
    assert_int_equal(apq_records_open(path, &records), APQ_ERR_IO);
}

typedef apq_status (*exporter)(apq_records *records, apq_record_kind kind,
                               FILE *file);

static void expect_export(apq_records *records, void **state, exporter call,
                          const char *expected) {
    char path[APQ_PATH_MAX], *text = NULL;
    size_t n = 0;
    assert_int_equal(apq_path_join(path, *state, "export"), APQ_OK);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(call(records, APQ_RECORD_QUANTISED, file), APQ_OK);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(apq_file_read(path, &text, &n), APQ_OK);
    assert_string_equal(text, expected);
    free(text);
}

static void exports_are_exact(void **state) {
    apq_records *records = open_in(state);
    apq_record record = example(APQ_RECORD_QUANTISED, 3);
    record.accuracy = 0.7312;
    add(records, record);
    add(records, example(APQ_RECORD_QAT, 3));
    expect_export(records, state, apq_records_export_jsonl,
                  "{\"id\":1,\"kind\":\"quantised\",\"seq\":3,"
                  "\"policy\":{\"space\":\"tiny\",\"depth\":[1,2]},"
                  "\"policy_hash\":\"fedcba9876543213\",\"accuracy\":0.7312,"
                  "\"loss\":0.3333333333333333,\"count\":5000,\"seconds\":2.5,"
                  "\"weights_hash\":\"0123456789abcdef\","
                  "\"created\":\"2024-01-31T12:00:00Z\",\"loss_sd\":0.25}\n");
    expect_export(
        records, state, apq_records_export_csv,
        "id,kind,seq,policy,policy_hash,accuracy,loss,count,seconds,"
        "weights_hash,created,loss_sd\n"
        "1,quantised,3,\"{\"\"space\"\": \"\"tiny\"\",\n \"\"depth\"\": "
        "[1, 2]}\",fedcba9876543213,0.7312,0.3333333333333333,5000,2.5,"
        "0123456789abcdef,2024-01-31T12:00:00Z,0.25\n");
    FILE *full = fopen("/dev/full", "w");
    if (full != NULL) { /* Linux only */
        assert_int_equal(
            apq_records_export_csv(records, APQ_RECORD_N_KINDS, full),
            APQ_ERR_WRITE);
        (void)fclose(full);
    }
    apq_records_close(records);
}

/* Not known is not 0. */
static void unknown_deviation_stays_unknown(void **state) {
    apq_records *records = open_in(state);
    apq_record record = example(APQ_RECORD_FLOAT, 0), *all = NULL;
    size_t n = 0;
    record.loss_sd = (double)NAN;
    add(records, record);
    record.seq = 1;
    record.loss_sd = -1;
    assert_int_equal(apq_records_add(records, &record), APQ_ERR_ARG);
    assert_int_equal(apq_records_all(records, APQ_RECORD_FLOAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, 1);
    assert_true(isnan(all[0].loss_sd));
    free(all);
    apq_records_close(records);
}

static void merging_takes_all_or_none(void **state) {
    apq_records *records = open_in(state);
    add(records, example(APQ_RECORD_FLOAT, 1));
    apq_record rows[3] = {example(APQ_RECORD_FLOAT, 0),
                          example(APQ_RECORD_FLOAT, 1),
                          example(APQ_RECORD_FLOAT, 2)};
    size_t n_new = 9;
    rows[1].accuracy += 0.1;
    assert_int_equal(apq_records_try_merge(records, rows, 3), APQ_ERR_MISMATCH);
    assert_int_equal(apq_records_merge(records, rows, 3, &n_new),
                     APQ_ERR_MISMATCH);
    assert_int_equal(count(records, APQ_RECORD_FLOAT), 1);
    rows[1].accuracy -= 0.1;
    rows[1] = example(APQ_RECORD_FLOAT, 1);
    rows[2].count++;
    assert_int_equal(apq_records_try_merge(records, rows, 3), APQ_ERR_MISMATCH);
    rows[2].count--;
    assert_int_equal(apq_records_try_merge(records, rows, 3), APQ_OK);
    assert_int_equal(count(records, APQ_RECORD_FLOAT), 1);
    assert_int_equal(apq_records_merge(records, rows, 3, &n_new), APQ_OK);
    assert_int_equal(n_new, 2);
    assert_int_equal(count(records, APQ_RECORD_FLOAT), 3);
    /* The hash is that of the content, in whatever order it came. */
    char hash[APQ_RECORD_TEXT_MAX], other[APQ_RECORD_TEXT_MAX];
    assert_int_equal(apq_records_hash(records, hash), APQ_OK);
    apq_records_close(records);
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, *state, "other.db"), APQ_OK);
    assert_int_equal(apq_records_open(path, &records), APQ_OK);
    assert_int_equal(apq_records_merge(records, rows, 2, &n_new), APQ_OK);
    assert_int_equal(apq_records_hash(records, other), APQ_OK);
    assert_string_not_equal(hash, other);
    assert_int_equal(apq_records_merge(records, rows, 3, &n_new), APQ_OK);
    assert_int_equal(apq_records_hash(records, other), APQ_OK);
    assert_string_equal(hash, other);
    apq_records_close(records);
}

static void merging_wants_labels_alike(void **state) {
    apq_records *records = open_in(state);
    apq_record rows[2] = {example(APQ_RECORD_FLOAT, 0),
                          example(APQ_RECORD_QAT, 0)};
    size_t n_new;
    rows[1].count = rows[0].count + 1; /* another kind, another number */
    assert_int_equal(apq_records_merge(records, rows, 2, &n_new), APQ_OK);
    rows[0] = example(APQ_RECORD_QUANTISED, 1);
    rows[0].count = rows[1].count;
    assert_int_equal(apq_records_merge(records, rows, 1, &n_new),
                     APQ_ERR_MISMATCH);
    rows[0].kind = APQ_RECORD_QAT;
    assert_int_equal(apq_records_merge(records, rows, 1, &n_new), APQ_OK);
    apq_records_close(records);
}

static apq_status stop_at_second(const apq_record *record, void *ctx) {
    int *n_seen = ctx;
    (void)record;
    *n_seen += 1;
    return *n_seen == 2 ? APQ_ERR_INTERRUPTED : APQ_OK;
}

static void visit_can_stop(void **state) {
    apq_records *records = open_in(state);
    for (int i = 0; i < 4; i++) {
        add(records, example(APQ_RECORD_FLOAT, i));
    }
    int n_seen = 0;
    assert_int_equal(
        apq_records_each(records, APQ_RECORD_FLOAT, stop_at_second, &n_seen),
        APQ_ERR_INTERRUPTED);
    assert_int_equal(n_seen, 2);
    apq_records_close(records);
}

/* Reading leaves the file as it is, also one of a WAL, and makes
 * none. */
static void reading_changes_nothing(void **state) {
    char path[APQ_PATH_MAX], before[APQ_HASH_MAX], after[APQ_HASH_MAX];
    apq_records *records = open_in(state);
    assert_int_equal(apq_path_join(path, *state, "run.db"), APQ_OK);
    add(records, example(APQ_RECORD_FLOAT, 0));
    apq_records_close(records);
    for (int is_wal = 0; is_wal < 2; is_wal++) {
        if (is_wal == 1) {
            /* Versions 18 and 19 of the header: 2 is WAL, 1 is not. */
            char *bytes;
            size_t n;
            assert_int_equal(apq_file_read(path, &bytes, &n), APQ_OK);
            assert_int_equal(bytes[18], 1);
            bytes[18] = bytes[19] = 2;
            assert_int_equal(apq_file_write(path, bytes, n), APQ_OK);
            free(bytes);
        }
        assert_int_equal(apq_file_hash(path, before), APQ_OK);
        assert_int_equal(apq_records_open_read(path, &records), APQ_OK);
        assert_int_equal(count(records, APQ_RECORD_FLOAT), 1);
        apq_records_close(records);
        assert_int_equal(apq_file_hash(path, after), APQ_OK);
        assert_string_equal(before, after);
    }
    assert_int_equal(apq_path_join(path, *state, "none.db"), APQ_OK);
    assert_int_equal(apq_records_open_read(path, &records), APQ_ERR_IO);
    assert_false(apq_file_exists(path));
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)
    const struct CMUnitTest tests[] = {
        CASE(reopening_keeps_all),
        CASE(many_rows_come_back),
        CASE(duplicate_seq_is_refused),
        CASE(illegal_values_are_refused),
        CASE(empty_time_becomes_now),
        CASE(foreign_files_are_refused),
        CASE(exports_are_exact),
        CASE(visit_can_stop),
        CASE(unknown_deviation_stays_unknown),
        CASE(merging_takes_all_or_none),
        CASE(merging_wants_labels_alike),
        CASE(reading_changes_nothing),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
