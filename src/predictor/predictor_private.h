#ifndef APQ_PREDICTOR_PREDICTOR_PRIVATE_H
#define APQ_PREDICTOR_PREDICTOR_PRIVATE_H

#include "predictor/predictor.h"

#include "base/file.h"

/* H = hidden, A = float inputs, Q = bit inputs. Parameters lie in one array
 * in this order. The one-hot layers are stored by input: a prediction adds
 * the rows of the active inputs. */
typedef enum apq_predictor_part {
    APQ_PART_W0, /* (A, H) */
    APQ_PART_B0, /* (H) */
    APQ_PART_WQ, /* (Q, H) */
    APQ_PART_BQ, /* (H) */
    APQ_PART_W1, /* (H, H), [out][in] */
    APQ_PART_B1, /* (H) */
    APQ_PART_W2, /* (H, H), [out][in] */
    APQ_PART_B2, /* (H) */
    APQ_PART_W,  /* (H) regressor */
    APQ_PART_B,  /* (1) */
    APQ_N_PARTS,
} apq_predictor_part;

struct apq_mlp_kernels;

struct apq_predictor {
    const struct apq_mlp_kernels *kernels; /* of this processor */
    apq_space space;
    int n_arch, n_bits, hidden; /* A, Q, H */
    bool is_fitted;             /* predicts accuracies, not random numbers */
    size_t begin[APQ_N_PARTS + 1];
    float *params;            /* (begin[APQ_N_PARTS]) */
    float *packed1, *packed2; /* W1^T, W2^T packed for apq_gemm */
    /* (2, n_blocks, bits, bits, H) sums of two rows of Wq: the weight and
     * activation bits of a block's pointwise, then depthwise layers. */
    float *bit_pairs;
    /* Working memory of the last prediction, kept for the next. */
    struct apq_predictor_spare *spare;
    struct apq_predictor **others; /* (n_others) members beside this one */
    int n_others;
    char supernet_hash[APQ_HASH_MAX], records_hash[APQ_HASH_MAX];
};

static inline float *apq_part(const apq_predictor *p, float *base,
                              apq_predictor_part part) {
    return base + p->begin[part];
}

/* All weights zero. Errors: ARG, NOMEM. */
APQ_NODISCARD apq_status apq_predictor_new(const apq_space *space, int hidden,
                                           apq_predictor **out);
/* Makes the same with n_members, all weights zero. Errors: ARG, NOMEM. */
APQ_NODISCARD apq_status apq_predictor_new_members(const apq_space *space,
                                                   int hidden, int n_members,
                                                   apq_predictor **out);
/* Member 0 is the predictor itself. */
static inline apq_predictor *apq_predictor_member(apq_predictor *p, int i) {
    return i == 0 ? p : p->others[i - 1];
}
/* The prediction of this one alone. */
APQ_NODISCARD apq_status apq_predictor_predict_member(
    const apq_predictor *predictor, const apq_policy *policies, size_t n,
    bool with_bits, double *accuracy);
/* To be called after params change, before predicting. */
void apq_predictor_repack(apq_predictor *predictor);

/* Encoded policies: sample i has ones at active[i * stride + 0..count[i]),
 * ascending; indices >= A are bit inputs. */
typedef struct apq_encoded {
    int *active;
    int *count;
    size_t n, stride;
} apq_encoded;

APQ_NODISCARD apq_status apq_encoded_create(const apq_space *space, size_t n,
                                            apq_encoded *out);
void apq_encoded_release(apq_encoded *encoded);
void apq_encoded_set(apq_encoded *encoded, const apq_space *space, size_t i,
                     const apq_policy *policy, bool with_bits);

/* out (H) = relu part and h1 of one encoded sample; relu_part may be NULL. */
void apq_predictor_first(const apq_predictor *predictor, const int *active,
                         int count, bool with_bits, float *relu_part,
                         float *h1);

/* Scratch of one training step of at most `batch` samples. */
typedef struct apq_predictor_step {
    int batch;
    float *relu0, *h1, *h2, *h3; /* (batch, H) */
    float *d3, *d2, *d1, *d0;    /* (batch, H) gradients of the same */
    float *output;               /* (batch) */
    float *packed;               /* of one product */
    float *slope;                /* (batch) gradient of output */
    apq_predictor_loss loss;     /* set by the caller */
} apq_predictor_step;

APQ_NODISCARD apq_status apq_predictor_step_create(const apq_predictor *p,
                                                   int batch,
                                                   apq_predictor_step *out);
void apq_predictor_step_release(apq_predictor_step *step);

/* step->output[i] of samples rows[0..m), m <= step->batch; needs no repack. */
void apq_predictor_forward(const apq_predictor *predictor,
                           const apq_encoded *encoded, const uint32_t *rows,
                           int m, bool with_bits, apq_predictor_step *step);

/* step->loss of samples rows[0..m) against targets[rows[i]], and its
 * gradient (same layout as params; overwritten). m <= step->batch. */
double apq_predictor_gradient(const apq_predictor *predictor,
                              const apq_encoded *encoded, const uint32_t *rows,
                              int m, const double *targets, bool with_bits,
                              apq_predictor_step *step, float *gradient);

/* The channel inputs' rows of an array laid out as params, e.g. W0 or its
 * gradient. Steps from sums: row k becomes row k less row k - 1 of the same
 * block. Sums from steps: its inverse. Gradient of the steps: row k becomes
 * the sum of the rows from k on. Scaled: 1/sqrt(number of widths) times, so
 * that sums of random steps are no larger than random rows. */
void apq_width_steps(const apq_predictor *p, float *params);
void apq_width_sums(const apq_predictor *p, float *params);
void apq_width_gradient(const apq_predictor *p, float *gradient);
void apq_width_scale(const apq_predictor *p, float *params);

/* Of an array laid out as params: gradients of the bit inputs that share a
 * weight become their sum. */
void apq_bit_share(const apq_predictor *p, apq_bit_code code, float *gradient);

/* One member's fit, the member-th of an ensemble; on failure its weights are
 * undefined. */
APQ_NODISCARD apq_status apq_predictor_fit_member(
    apq_predictor *member, int index, const apq_predictor_sample *samples,
    size_t n, const apq_predictor_fit_options *options,
    apq_predictor_report *report);

#endif
