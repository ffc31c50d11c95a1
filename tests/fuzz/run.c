/* A run directory. The first byte of an input says which of its files the rest
 * is: records to import, the manifest, the records' own file, the costs. */
#include "fuzz/fuzz.h"

#include "app/records_io.h"
#include "base/file.h"
#include "space/space.h"
#include "store/effort.h"
#include "store/records.h"
#include "store/rundir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMPORTED, MANIFEST, RECORDS, COSTS, N_FILES };
static const char sound_manifest[] =
    "{\"version\": 1, \"bound\": {\"space\": \"tiny\"}, \"steps\": {\"train\": "
    "{\"input\": \"0123\", \"artefact\": \"4567\"}}}\n";

static const char sound_cost[] =
    "{\"step\":\"train\",\"input\":\"0123\",\"wall_s\":60.5,\"core_s\":118.7,"
    "\"gpu_s\":0.0,\"energy_j\":null,\"flop\":null,\"threads\":2,"
    "\"version\":\"0.1.0\",\"cpu\":\"any\",\"ended\":"
    "\"2024-01-31T12:00:00Z\"}\n";

static void write_in(const char *folder, const char *name, const void *bytes,
                     size_t n_bytes) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    fuzz_write(path, bytes, n_bytes);
}

static void import_records(const char *run, const char *path) {
    size_t n_read = 0, n_new = 0;
    if (fuzz_took(apq_app_records_import(
            &(apq_records_import){run, "tiny", path}, &n_read, &n_new))) {
        FUZZ_CHECK(n_new <= n_read);
        /* All of it is there now. */
        FUZZ_CHECK(
            apq_app_records_import(&(apq_records_import){run, "tiny", path},
                                   &n_read, &n_new) == APQ_OK);
        FUZZ_CHECK(n_new == 0);
    }
}

static void read_manifest(const char *run) {
    apq_rundir *dir;
    if (fuzz_took(apq_rundir_open_read(run, &dir))) {
        const char *artefact = apq_rundir_step_artefact(dir, "train");
        FUZZ_CHECK(artefact != NULL ||
                   !apq_rundir_step_done(dir, "train", "0123"));
        (void)fuzz_took(apq_rundir_bind(dir, "space", "tiny"));
        apq_rundir_close(dir);
    }
}

static void export_records(const char *run) {
    static const char *const formats[] = {"jsonl", "csv", "authors"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char *text = NULL;
        size_t n_bytes;
        if (fuzz_took(apq_app_records_export(
                &(apq_records_export){run, "tiny", formats[i], NULL}, &text,
                &n_bytes))) {
            FUZZ_CHECK(text[n_bytes] == '\0');
        }
        free(text);
    }
}

/* A line that is added is there, after what was taken before. */
static void read_costs(const char *run) {
    static const apq_effort effort = {.step = "train", .wall_s = 2};
    char path[512];
    apq_effort *lines;
    size_t n, n_after;
    (void)snprintf(path, sizeof path, "%s/cost.jsonl", run);
    if (!fuzz_took(apq_effort_read(path, &lines, &n))) {
        return;
    }
    free(lines);
    FUZZ_CHECK(apq_effort_append(path, &effort) == APQ_OK);
    FUZZ_CHECK(apq_effort_read(path, &lines, &n_after) == APQ_OK);
    FUZZ_CHECK(n_after == n + 1 && strcmp(lines[n].step, "train") == 0);
    free(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int file = size == 0 ? IMPORTED : data[0] % N_FILES;
    data += size > 0 ? 1 : 0;
    size -= size > 0 ? 1 : 0;
    const char *run = fuzz_fresh_folder("run");
    write_in(run, "manifest.json", sound_manifest, strlen(sound_manifest));
    if (file == IMPORTED) {
        const char *path = fuzz_path("records.jsonl");
        fuzz_write(path, data, size);
        import_records(run, path);
    } else if (file == MANIFEST) {
        write_in(run, "manifest.json", data, size);
        read_manifest(run);
    } else if (file == RECORDS) {
        write_in(run, "run.db", data, size);
        export_records(run);
    } else {
        write_in(run, "cost.jsonl", data, size);
        read_costs(run);
    }
    return 0;
}

static void give_as(uint8_t file, const char *bytes, size_t n_bytes,
                    fuzz_give *give, void *ctx) {
    char *all = malloc(n_bytes + 1);
    FUZZ_CHECK(all != NULL);
    all[0] = (char)file;
    memcpy(all + 1, bytes, n_bytes);
    give(ctx, all, n_bytes + 1);
    free(all);
}

/* Two records in the file `path`. */
static void make_records(const char *path) {
    apq_space space;
    apq_policy policy;
    apq_records *records;
    FUZZ_CHECK(apq_space_load("tiny", &space) == APQ_OK);
    FUZZ_CHECK(apq_records_open(path, &records) == APQ_OK);
    for (int i = 0; i < 2; i++) {
        apq_policy_largest(&space, 4 + 4 * i, &policy);
        char *text = apq_policy_to_json(&space, &policy);
        apq_record record = {.policy = text,
                             .policy_hash = apq_policy_hash(&space, &policy),
                             .kind = APQ_RECORD_QUANTISED,
                             .seq = i,
                             .accuracy = 0.5,
                             .loss = 1.25,
                             .loss_sd = 0.5,
                             .count = 20,
                             .seconds = 0.1,
                             .weights_hash = "89ab",
                             .created = "2024-01-31T12:00:00Z"};
        FUZZ_CHECK(apq_records_add(records, &record) == APQ_OK);
        free(text);
    }
    apq_records_close(records);
}

static void give_file_as(uint8_t file, const char *path, fuzz_give *give,
                         void *ctx) {
    char *bytes;
    size_t n_bytes;
    FUZZ_CHECK(apq_file_read(path, &bytes, &n_bytes) == APQ_OK);
    give_as(file, bytes, n_bytes, give, ctx);
    free(bytes);
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    const char *run = fuzz_fresh_folder("run");
    char path[512];
    char *text = NULL;
    size_t n_bytes;
    write_in(run, "manifest.json", sound_manifest, strlen(sound_manifest));
    (void)snprintf(path, sizeof path, "%s/run.db", run);
    make_records(path);
    give_file_as(RECORDS, path, give, ctx);
    FUZZ_CHECK(apq_app_records_export(
                   &(apq_records_export){run, "tiny", "jsonl", NULL}, &text,
                   &n_bytes) == APQ_OK);
    give_as(IMPORTED, text, n_bytes, give, ctx);
    free(text);
    give_as(MANIFEST, sound_manifest, strlen(sound_manifest), give, ctx);
    give_as(COSTS, sound_cost, strlen(sound_cost), give, ctx);
}
