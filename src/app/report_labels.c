/* How good the labels of a run's records are, for the report. */
#include "app/report.h"

#include "app/noise.h"

static apq_status kinds_json(apq_records *records, json_t *out) {
    for (int i = 0; i < APQ_RECORD_N_KINDS; i++) {
        apq_record_kind kind = (apq_record_kind)i;
        apq_noise noise;
        APQ_TRY(apq_noise_of(records, kind, &noise));
        (void)json_object_set_new(out, apq_record_kind_name(kind),
                                  apq_noise_json(&noise));
    }
    return APQ_OK;
}

apq_status apq_report_labels_json(const apq_report_source *source,
                                  json_t **out) {
    char path[APQ_PATH_MAX];
    *out = json_null();
    APQ_TRY(apq_path_join(path, source->dir, "run.db"));
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    apq_records *records;
    apq_status st = apq_records_open_read(path, &records);
    if (st == APQ_ERR_IO) {
        /* Such as one of version 1 in a folder that cannot be written: SQLite
         * reads no write-ahead log there. */
        return apq_report_leave_out(source, st);
    }
    APQ_TRY(st);
    json_t *kinds = json_object();
    st = kinds_json(records, kinds);
    apq_records_close(records);
    if (st != APQ_OK) {
        json_decref(kinds);
        return st;
    }
    *out = kinds;
    return APQ_OK;
}
