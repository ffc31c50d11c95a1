#ifndef APQ_PREDICTOR_PREDICTOR_H
#define APQ_PREDICTOR_PREDICTOR_H

#include <apq/predictor.h>

#include "base/log.h"
#include "base/status.h"
#include "space/space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* apq_predictor, public, is a small perceptron on a policy's one-hot encoding:
 *   h1 = relu(W0 x_arch + b0) + (Wq x_bits + bq)
 *   h2 = relu(W1 h1 + b1), h3 = relu(W2 h2 + b2), accuracy = w h3 + b
 * The bit branch enters linearly, so that a predictor of float accuracy is
 * carried over to quantised networks with Wq = 0, bq = 0.
 * Source: APQ, CVPR 2020, section 3.2; files: docs/formats/predictor.md. */
enum { APQ_PREDICTOR_MAX_HIDDEN = 65536, APQ_PREDICTOR_MAX_MEMBERS = 64 };

/* Random weights (seeded); the bit branch is zero. hidden >= 1 units in each
 * of three layers (the authors': 400). The space is copied.
 * Errors: ARG, NOMEM. */
APQ_NODISCARD apq_status apq_predictor_create_random(const apq_space *space,
                                                     int hidden, uint64_t seed,
                                                     apq_predictor **out);
/* n_members of them, 1..APQ_PREDICTOR_MAX_MEMBERS: a predictor whose
 * predictions are the members' mean. The first is the one above; no two begin
 * alike, of whatever seeds. */
APQ_NODISCARD apq_status apq_predictor_create_ensemble(const apq_space *space,
                                                       int hidden,
                                                       int n_members,
                                                       uint64_t seed,
                                                       apq_predictor **out);
/* With all members. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_predictor_copy(const apq_predictor *predictor,
                                            apq_predictor **out);

/* Reads a file. space NULL: the one named in the file's metadata, with its
 * number of classes. A file without quantize_fc (a float predictor) gets a zero
 * bit branch.
 * Errors: IO, FORMAT; MISMATCH when the file was made for another space. */
APQ_NODISCARD apq_status apq_predictor_load(const char *path,
                                            const apq_space *space,
                                            apq_predictor **out);

typedef struct apq_predictor_meta {
    const char *key, *value;
} apq_predictor_meta;

/* Atomic. The space's name and hash are added to the metadata given. */
APQ_NODISCARD apq_status apq_predictor_save(const apq_predictor *predictor,
                                            const char *path,
                                            const apq_predictor_meta *metas,
                                            size_t n_metas);

const apq_space *apq_predictor_space(const apq_predictor *predictor);
int apq_predictor_members(const apq_predictor *predictor);
/* "supernet_hash" and "records_hash" of the file that it was loaded from: what
 * it was fitted to. Empty where not known. */
const char *apq_predictor_supernet_hash(const apq_predictor *predictor);
const char *apq_predictor_records_hash(const apq_predictor *predictor);

/* accuracy[i], a fraction, of policies[i]; the policies must be legal (see
 * apq_policy_check). with_bits false: accuracy without quantisation, the bit
 * branch is left out. Safe from several threads; a result does not depend on
 * n, its place or the number of threads. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_predictor_predict(const apq_predictor *predictor,
                                               const apq_policy *policies,
                                               size_t n, bool with_bits,
                                               double *accuracy);

/* The same with the members' standard deviation beside their mean (n - 1 in
 * the denominator; 0 for one member). */
APQ_NODISCARD apq_status apq_predictor_spread(const apq_predictor *predictor,
                                              const apq_policy *policies,
                                              size_t n, bool with_bits,
                                              double *accuracy,
                                              double *deviation);

typedef struct apq_predictor_sample {
    apq_policy policy;
    double accuracy; /* fraction */
    int64_t count;   /* images it was measured on; 0: not known */
} apq_predictor_sample;

/* What a step of the fit minimises, on standardised targets. */
typedef enum apq_predictor_loss {
    APQ_LOSS_SQUARED, /* mean squared error */
    /* Mean over the batch's pairs of log(1 + exp(-(difference of predictions
     * in the order of the targets))). The scale is then set by least squares.
     * Source: RankNet, Burges et al. 2005. */
    APQ_LOSS_PAIRWISE,
} apq_predictor_loss;

typedef enum apq_bit_code {
    APQ_BITS_ONEHOT, /* each layer's bit-widths by themselves */
    APQ_BITS_SHARED, /* all layers alike: how many have which bit-width */
} apq_bit_code;

typedef struct apq_predictor_fit_options {
    int epochs;   /* at most; 0 leaves the weights and only reports */
    int batch;    /* samples a step */
    int patience; /* epochs without a better validation; 0: never stop early */
    double learning_rate; /* Adam's; falls to 0 as a cosine over the epochs */
    double weight_decay;  /* decoupled, times the rate; not on biases */
    uint64_t seed;        /* split and order */
    /* Shares never trained on: one picks the epoch, the other is only
     * reported. Each is rounded to the nearest whole number of samples. A first
     * share of fewer than 20 samples is trained on and the last epoch kept. */
    double validation_fraction, test_fraction;
    bool with_bits; /* false: samples are of float networks */
    apq_predictor_loss loss;
    /* Channel inputs are trained as steps: input k says that the width is the
     * k-th or above, so that neighbouring widths share what is learnt. It is
     * folded into the one-hot weights. */
    bool has_width_steps;
    apq_bit_code bit_code;
    /* Of a predictor that is fitted already, with_bits: only the weights of
     * the bit inputs are trained, so that it predicts float networks as before
     * (but for the scale that a ranking loss sets). */
    bool is_frozen;
    /* Samples of one architecture are on one side of the split, which makes the
     * shares a little larger: else one in other bits tells of it. */
    bool keeps_architectures;
    const apq_progress *progress;
} apq_predictor_fit_options;

/* 150 epochs of 32, patience 40, rate 2e-3, decay 0.5 (the inputs are sparse
 * and the samples few: without a strong decay it overfits), 10 % validation,
 * 10 % test, squared error, one-hot widths and bits, nothing frozen. */
apq_predictor_fit_options apq_predictor_fit_defaults(void);

typedef struct apq_predictor_parts {
    size_t n_train, n_validation, n_test;
} apq_predictor_parts;

/* How a fit divides n samples: rows (n) are the indices of the training, then
 * the validation (none or at least 20), then the test samples, which are of
 * `space`. Errors: ARG none left to train on; NOMEM. */
APQ_NODISCARD apq_status
apq_predictor_split(const apq_predictor_fit_options *options,
                    const apq_space *space, const apq_predictor_sample *samples,
                    size_t n, uint32_t *rows, apq_predictor_parts *out);
/* Which of these rows a report is on: see apq_predictor_report. */
typedef struct apq_predictor_rows {
    size_t first, n;
} apq_predictor_rows;
apq_predictor_rows apq_predictor_judged(const apq_predictor_parts *parts);

typedef struct apq_predictor_report {
    size_t n_train, n_validation, n_test;
    int epochs; /* run, by the first member */
    int best_epoch;
    /* On the test samples; on the validation samples when there are none, on
     * the training samples when there are none of these either. */
    double pairwise_accuracy, kendall_tau, rmse;
} apq_predictor_report;

/* Trains on from the present weights (transfer: fit float samples, then
 * quantised ones). Targets are standardised inside; the weights kept are those
 * of the epoch with the least error on the validation samples, with a ranking
 * loss the best Kendall tau, or of the last where these are too few. Members
 * divide the samples alike and differ in their order. The same seed gives the
 * same weights on one machine at any number of threads. On failure the weights
 * are as before. Errors: ARG (option or sample out of range), NOMEM, NUMERIC
 * (diverged), INTERRUPTED. */
APQ_NODISCARD apq_status apq_predictor_fit(
    apq_predictor *predictor, const apq_predictor_sample *samples, size_t n,
    const apq_predictor_fit_options *options, apq_predictor_report *report);

#endif
