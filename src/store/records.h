#ifndef APQ_STORE_RECORDS_H
#define APQ_STORE_RECORDS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Measured candidates of one run, a SQLite file (run.db). Every added record
 * is on disk when the call returns: a killed process loses none. The schema
 * is in docs/formats/records.md. One thread per handle; several processes may
 * have the file open. */

typedef enum apq_record_kind {
    APQ_RECORD_FLOAT,     /* evaluated without quantisation */
    APQ_RECORD_QUANTISED, /* quantised after training, not trained further */
    APQ_RECORD_QAT,       /* after quantisation-aware fine-tuning */
    APQ_RECORD_N_KINDS,
} apq_record_kind;

enum { APQ_RECORD_TEXT_MAX = 24 };

typedef struct apq_record {
    int64_t id;         /* given by the file; ignored by add */
    const char *policy; /* JSON object, see the policy format */
    uint64_t policy_hash;
    apq_record_kind kind;
    int64_t seq;     /* index in the collection plan, >= 0, once a kind */
    double accuracy; /* top-1, a fraction in [0, 1] */
    double loss;     /* mean cross entropy, nats */
    double loss_sd;  /* of the images' cross entropies; NaN: not known */
    int64_t count;   /* images evaluated, > 0 */
    double seconds;  /* wall-clock time of the measurement, >= 0 */
    bool is_chosen;  /* policy found by search, see claims.h; ignored by add */
    char weights_hash[APQ_RECORD_TEXT_MAX]; /* of the supernet, hexadecimal */
    /* UTC, "2024-01-31T12:00:00Z"; add writes the present when empty. */
    char created[APQ_RECORD_TEXT_MAX];
} apq_record;

typedef struct apq_records apq_records;

/* "float", "quantised", "qat"; static storage. */
const char *apq_record_kind_name(apq_record_kind kind);
APQ_NODISCARD apq_status apq_record_kind_parse(const char *name,
                                               apq_record_kind *out);

/* What a record must be to be added; where: "FILE:LINE", for the message.
 * Errors: ARG, NUMERIC, see apq_records_add(). */
APQ_NODISCARD apq_status apq_record_check(const char *where,
                                          const apq_record *record);

/* Opens or creates the file and brings an old one up to date. Errors:
 * APQ_ERR_IO; APQ_ERR_FORMAT when it is not SQLite or of a later schema
 * version. */
APQ_NODISCARD apq_status apq_records_open(const char *path, apq_records **out);
/* Opens an existing file, of an old version too, to read; its bytes stay as
 * they are. Adding to it is not allowed. Errors: as above; IO when it is
 * missing. */
APQ_NODISCARD apq_status apq_records_open_read(const char *path,
                                               apq_records **out);
/* NULL is fine. */
void apq_records_close(apq_records *records);

/* Durable on return. Errors: APQ_ERR_ARG for a value out of range, a policy
 * that is no JSON object, or a (kind, seq) that is there already;
 * APQ_ERR_NUMERIC for a non-finite accuracy, loss or time. */
APQ_NODISCARD apq_status apq_records_add(apq_records *records,
                                         const apq_record *record);

/* A record measured once more, with other random numbers: policy and hashes
 * are those of the record of that kind and seq, and not stored. Errors as of
 * apq_records_add(). */
APQ_NODISCARD apq_status apq_records_add_repeat(apq_records *records,
                                                const apq_record *record);
/* All or none of them; those that are there already with the same policy,
 * accuracy and loss count as added. Errors: as of apq_records_add();
 * APQ_ERR_MISMATCH one is there with others, or those of its kind are of
 * another number of images, or quantised ones are there with and without
 * training. */
APQ_NODISCARD apq_status apq_records_merge(apq_records *records,
                                           const apq_record *rows, size_t n,
                                           size_t *n_new);
/* Would they be merged? Adds none. Errors: as of apq_records_merge(). */
APQ_NODISCARD apq_status apq_records_try_merge(apq_records *records,
                                               const apq_record *rows,
                                               size_t n);

APQ_NODISCARD apq_status apq_records_count(apq_records *records,
                                           apq_record_kind kind, size_t *n);

/* Visits the records of one kind by rising seq. The record is valid during
 * the call. A status other than APQ_OK ends the visit and is returned. */
typedef apq_status (*apq_records_visit)(const apq_record *record, void *ctx);
APQ_NODISCARD apq_status apq_records_each(apq_records *records,
                                          apq_record_kind kind,
                                          apq_records_visit visit, void *ctx);

/* All records of one kind by rising seq. One free(*out) releases the array
 * and the policy texts in it; it is not NULL even for n == 0. */
APQ_NODISCARD apq_status apq_records_all(apq_records *records,
                                         apq_record_kind kind, apq_record **out,
                                         size_t *n);

/* Visits what was measured twice, by rising seq; the repeat's policy and hashes
 * are empty. */
typedef apq_status (*apq_repeats_visit)(const apq_record *record,
                                        const apq_record *repeat, void *ctx);
APQ_NODISCARD apq_status apq_repeats_each(apq_records *records,
                                          apq_record_kind kind,
                                          apq_repeats_visit visit, void *ctx);

/* Hash of all records, the same in whatever order and by how many processes
 * they were added. */
APQ_NODISCARD apq_status apq_records_hash(apq_records *records,
                                          char out[APQ_RECORD_TEXT_MAX]);

/* The records of a kind, or of all with APQ_RECORD_N_KINDS, by rising id: one
 * JSON object a line, or CSV with a header (RFC 4180, LF). Numbers read back to
 * the same double. */
APQ_NODISCARD apq_status apq_records_export_jsonl(apq_records *records,
                                                  apq_record_kind kind,
                                                  FILE *file);
APQ_NODISCARD apq_status apq_records_export_csv(apq_records *records,
                                                apq_record_kind kind,
                                                FILE *file);

#endif
