/* What the processes of a training tell each other: once a step two sums, of a
 * few numbers and of the gradients. The gradients wait for the last backward
 * pass of the step: each sub-network adds to all that it shares with another,
 * so none is complete before. */
#include "train/together.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* 64 bits that add up exactly as doubles, of up to 2^37 processes. */
enum { N_LIMBS = 4, LIMB_BITS = 16, N_WORDS = 9 + N_LIMBS };

apq_status apq_train_check_parts(const apq_comm *comm, int batch) {
    int n_parts = apq_comm_size(comm);
    if (batch % n_parts != 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "train.batch %d is not a multiple of the %d processes", batch,
                 n_parts);
    }
    return APQ_OK;
}

static void pack(const apq_train_outcome *o, double words[N_WORDS]) {
    const apq_train_sums *s = &o->sums;
    const double fixed[] = {
        o->status != APQ_OK,
        o->is_stopping,
        o->is_save_due,
        s->largest.loss,
        (double)s->largest.correct,
        (double)s->n_largest,
        s->others.loss,
        (double)s->others.correct,
        (double)s->n_others,
    };
    memcpy(words, fixed, sizeof fixed);
    for (int i = 0; i < N_LIMBS; i++) {
        words[9 + i] = (double)(s->decisions >> (LIMB_BITS * i) & 0xffff);
    }
}

static void unpack(const double words[N_WORDS], apq_train_outcome *o) {
    o->is_stopping = words[1] > 0;
    o->is_save_due = words[2] > 0;
    o->sums = (apq_train_sums){
        .largest = {.loss = words[3], .correct = (int64_t)words[4]},
        .n_largest = (int64_t)words[5],
        .others = {.loss = words[6], .correct = (int64_t)words[7]},
        .n_others = (int64_t)words[8],
    };
    for (int i = 0; i < N_LIMBS; i++) {
        o->sums.decisions += (uint64_t)words[9 + i] << (LIMB_BITS * i);
    }
}

apq_status apq_train_together(apq_comm *comm, apq_params *params,
                              apq_train_outcome *outcome) {
    if (comm == NULL) {
        return outcome->status;
    }
    outcome->is_save_due = outcome->is_save_due && apq_comm_rank(comm) == 0;
    double words[N_WORDS];
    pack(outcome, words);
    apq_comm_sum_doubles(comm, words, N_WORDS);
    if (words[0] > 0) {
        outcome->status = apq_comm_agree(comm, outcome->status);
        return outcome->status;
    }
    unpack(words, outcome);
    apq_comm_sum_floats(comm, params->grad, params->n_values);
    float share = 1.0F / (float)apq_comm_size(comm);
    for (size_t i = 0; i < params->n_values; i++) {
        params->grad[i] *= share;
    }
    return APQ_OK;
}

apq_status apq_train_share_file(apq_comm *comm, const char *path, char **bytes,
                                size_t *n_bytes) {
    bool is_first = apq_comm_rank(comm) == 0;
    apq_status st = APQ_OK;
    *bytes = NULL;
    *n_bytes = 0;
    if (is_first && path != NULL && apq_file_exists(path)) {
        st = apq_file_read(path, bytes, n_bytes);
    }
    APQ_TRY(apq_comm_agree(comm, st));
    bool has_file = *bytes != NULL;
    apq_comm_broadcast(comm, 0, &has_file, sizeof has_file);
    apq_comm_broadcast(comm, 0, n_bytes, sizeof *n_bytes);
    if (!has_file) {
        return APQ_OK;
    }
    if (!is_first && (*bytes = malloc(*n_bytes + 1)) == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "checkpoint: out of memory");
    }
    st = apq_comm_agree(comm, st);
    if (st != APQ_OK) {
        free(*bytes);
        *bytes = NULL;
        return st;
    }
    apq_comm_broadcast(comm, 0, *bytes, *n_bytes);
    return APQ_OK;
}

apq_status apq_train_check_same(apq_comm *comm, const apq_params *params) {
    if (comm == NULL) {
        return APQ_OK;
    }
    size_t n_bytes = params->n_values * sizeof(float);
    const uint64_t mine[] = {
        apq_hash64(params->value, n_bytes),
        apq_hash64(params->momentum, n_bytes),
        params->average == NULL ? 0 : apq_hash64(params->average, n_bytes),
    };
    uint64_t first[3];
    memcpy(first, mine, sizeof first);
    apq_comm_broadcast(comm, 0, first, sizeof first);
    apq_status st = APQ_OK;
    if (memcmp(first, mine, sizeof first) != 0) {
        st = APQ_ERROR(APQ_ERR_EXTERNAL, "training: the weights are not those "
                                         "of process 0; are the processors of "
                                         "one kind?");
    }
    return apq_comm_agree(comm, st);
}
