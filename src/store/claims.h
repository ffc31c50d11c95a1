#ifndef APQ_STORE_CLAIMS_H
#define APQ_STORE_CLAIMS_H

#include "store/records.h"

/* Work that several processes share through one file of records: who measures
 * what. A process claims a piece before it measures it; what it finds goes in
 * together with the end of the claim. A claim ends by itself when its owner's
 * process, if on this machine, is gone, and at a time that its owner moves on
 * while it works, so what a killed process had claimed is done by another. The
 * claims decide only who works: two who do the same, after a claim ended too
 * early, still leave one record. */

typedef enum apq_task {
    APQ_TASK_RECORD, /* measure it */
    APQ_TASK_REPEAT, /* measure it once more */
    APQ_TASK_CHOICE, /* choose its policy */
} apq_task;

typedef enum apq_claim_state {
    APQ_CLAIM_MINE, /* to be done, by the caller */
    APQ_CLAIM_BUSY, /* all that is missing is being done by others */
    APQ_CLAIM_DONE, /* nothing is missing */
} apq_claim_state;

typedef struct apq_claim {
    apq_task task;
    apq_record_kind kind;
    int64_t seq;
} apq_claim;

/* Claims the first of begin .. end - 1 that is neither there nor claimed, for
 * lease_s seconds from now, and moves *begin to the first that is not there.
 * *claim is set when the state is MINE. Policies are chosen for the whole range
 * at once, so one process claims the CHOICE of it, by the first that is not
 * there, and the others are BUSY. */
APQ_NODISCARD apq_status apq_claims_take(apq_records *records, apq_task task,
                                         apq_record_kind kind, int64_t *begin,
                                         int64_t end, double lease_s,
                                         apq_claim_state *state,
                                         apq_claim *claim);
/* Moves *begin to the first record below end that is not there. */
APQ_NODISCARD apq_status apq_records_first_missing(apq_records *records,
                                                   apq_record_kind kind,
                                                   int64_t *begin, int64_t end);
/* All claims of this process last lease_s from now. */
APQ_NODISCARD apq_status apq_claims_renew(apq_records *records, double lease_s);
/* Gives a claim back without a result. */
APQ_NODISCARD apq_status apq_claims_drop(apq_records *records,
                                         const apq_claim *claim);

/* The measured record, or its repeat, and the end of the claim in one
 * transaction. One that another process has added meanwhile stays. Errors: as
 * of apq_records_add(). */
APQ_NODISCARD apq_status apq_claims_finish(apq_records *records,
                                           const apq_claim *claim,
                                           const apq_record *record);
/* The same for n policies (JSON) chosen for begin, begin + 1, ... */
APQ_NODISCARD apq_status apq_claims_finish_choice(apq_records *records,
                                                  const apq_claim *claim,
                                                  int64_t begin,
                                                  char *const *policies,
                                                  size_t n);
/* The policy chosen for a record, malloc'd. APQ_ERR_ARG: none. */
APQ_NODISCARD apq_status apq_choice_get(apq_records *records,
                                        apq_record_kind kind, int64_t seq,
                                        char **policy);
/* The policy that was measured, malloc'd. APQ_ERR_ARG: none. */
APQ_NODISCARD apq_status apq_record_policy(apq_records *records,
                                           apq_record_kind kind, int64_t seq,
                                           char **policy);

#endif
