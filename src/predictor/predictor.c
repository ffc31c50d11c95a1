/* Creation and prediction. The first layer is a sum of weight rows picked by
 * the one-hot input; the other two are small products over blocks of
 * policies. Source: APQ, CVPR 2020, section 3.3. */
#include "predictor/predictor.h"

#include "base/memory.h"
#include "base/rng.h"
#include "base/simd.h"
#include "predictor/gemm.h"
#include "predictor/predictor_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 48,          /* policies whose activations share the caches */
    PARALLEL_BLOCKS = 8, /* below, waking threads costs more than it saves */
    INDICES_PER_BLOCK = 2 + APQ_N_BIT_GENES,
};

static void lay_out(apq_predictor *p) {
    size_t h = (size_t)p->hidden;
    const size_t sizes[APQ_N_PARTS] = {
        [APQ_PART_W0] = (size_t)p->n_arch * h,
        [APQ_PART_B0] = h,
        [APQ_PART_WQ] = (size_t)p->n_bits * h,
        [APQ_PART_BQ] = h,
        [APQ_PART_W1] = h * h,
        [APQ_PART_B1] = h,
        [APQ_PART_W2] = h * h,
        [APQ_PART_B2] = h,
        [APQ_PART_W] = h,
        [APQ_PART_B] = 1,
    };
    for (int i = 0; i < APQ_N_PARTS; i++) {
        p->begin[i + 1] = p->begin[i] + sizes[i];
    }
}

apq_status apq_predictor_new(const apq_space *space, int hidden,
                             apq_predictor **out) {
    if (hidden < 1 || hidden > APQ_PREDICTOR_MAX_HIDDEN) {
        APQ_FAIL(APQ_ERR_ARG, "predictor: %d hidden units are not within 1..%d",
                 hidden, APQ_PREDICTOR_MAX_HIDDEN);
    }
    apq_predictor *p = calloc(1, sizeof *p);
    if (p == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "predictor: out of memory");
    }
    p->space = *space;
    p->hidden = hidden;
    p->n_arch = apq_encode_float_dim(space);
    p->n_bits = apq_encode_dim(space) - p->n_arch;
    lay_out(p);
    size_t n_packed = apq_gemm_packed_size(hidden, hidden);
    p->params = apq_calloc(p->begin[APQ_N_PARTS], sizeof(float));
    p->packed1 = apq_calloc(n_packed, sizeof(float));
    p->packed2 = apq_calloc(n_packed, sizeof(float));
    if (p->params == NULL || p->packed1 == NULL || p->packed2 == NULL) {
        apq_predictor_destroy(p);
        APQ_FAIL(APQ_ERR_NOMEM, "predictor: no memory for %d hidden units",
                 hidden);
    }
    *out = p;
    return APQ_OK;
}

void apq_predictor_destroy(apq_predictor *predictor) {
    if (predictor != NULL) {
        free(predictor->params);
        free(predictor->packed1);
        free(predictor->packed2);
        free(predictor);
    }
}

void apq_predictor_repack(apq_predictor *predictor) {
    int h = predictor->hidden;
    apq_gemm_pack(h, h, apq_part(predictor, predictor->params, APQ_PART_W1), 1,
                  (size_t)h, predictor->packed1);
    apq_gemm_pack(h, h, apq_part(predictor, predictor->params, APQ_PART_W2), 1,
                  (size_t)h, predictor->packed2);
}

static void fill_normal(apq_predictor *p, apq_predictor_part part,
                        uint64_t seed, double sigma) {
    apq_rng rng = apq_rng_make(seed, APQ_RNG_INIT, (uint64_t)part);
    for (size_t i = p->begin[part]; i < p->begin[part + 1]; i++) {
        p->params[i] = (float)(sigma * apq_rng_normal(&rng));
    }
}

apq_status apq_predictor_create_random(const apq_space *space, int hidden,
                                       uint64_t seed, apq_predictor **out) {
    apq_predictor *p = NULL;
    APQ_TRY(apq_predictor_new(space, hidden, &p));
    /* The first layer sees two ones a block, whatever its width. */
    fill_normal(p, APQ_PART_W0, seed, sqrt(1.0 / (2 * space->n_blocks)));
    fill_normal(p, APQ_PART_W1, seed, sqrt(2.0 / hidden));
    fill_normal(p, APQ_PART_W2, seed, sqrt(2.0 / hidden));
    fill_normal(p, APQ_PART_W, seed, sqrt(1.0 / hidden));
    apq_predictor_repack(p);
    *out = p;
    return APQ_OK;
}

const apq_space *apq_predictor_space(const apq_predictor *predictor) {
    return &predictor->space;
}

int apq_predictor_hidden(const apq_predictor *predictor) {
    return predictor->hidden;
}

apq_status apq_encoded_create(const apq_space *space, size_t n,
                              apq_encoded *out) {
    out->n = n;
    out->stride = INDICES_PER_BLOCK * (size_t)space->n_blocks;
    out->active = apq_calloc(n * out->stride, sizeof *out->active);
    out->count = apq_calloc(n, sizeof *out->count);
    if (out->active == NULL || out->count == NULL) {
        apq_encoded_release(out);
        APQ_FAIL(APQ_ERR_NOMEM, "predictor: no memory for %zu policies", n);
    }
    return APQ_OK;
}

void apq_encoded_release(apq_encoded *encoded) {
    free(encoded->active);
    free(encoded->count);
    encoded->active = NULL;
    encoded->count = NULL;
}

void apq_encoded_set(apq_encoded *encoded, const apq_space *space, size_t i,
                     const apq_policy *policy, bool with_bits) {
    encoded->count[i] = (int)apq_encode(space, policy, with_bits,
                                        encoded->active + i * encoded->stride);
}

/* Four rows at a time: the sum is read and written a quarter as often. */
APQ_SIMD_CLONES
static void add_rows(const float *weights, const int *active, int count,
                     int base, size_t h, float *sum) {
    const float *rows[4];
    int k = 0;
    for (; k + 4 <= count; k += 4) {
        for (int r = 0; r < 4; r++) {
            rows[r] = weights + (size_t)(active[k + r] - base) * h;
        }
#pragma omp simd
        for (size_t j = 0; j < h; j++) {
            sum[j] += (rows[0][j] + rows[1][j]) + (rows[2][j] + rows[3][j]);
        }
    }
    for (; k < count; k++) {
        rows[0] = weights + (size_t)(active[k] - base) * h;
#pragma omp simd
        for (size_t j = 0; j < h; j++) {
            sum[j] += rows[0][j];
        }
    }
}

void apq_predictor_first(const apq_predictor *predictor, const int *active,
                         int count, bool with_bits, float *relu_part,
                         float *h1) {
    const apq_predictor *p = predictor;
    size_t h = (size_t)p->hidden;
    int n_arch = 0;
    while (n_arch < count && active[n_arch] < p->n_arch) {
        n_arch++;
    }
    memcpy(h1, apq_part(p, p->params, APQ_PART_B0), h * sizeof *h1);
    add_rows(apq_part(p, p->params, APQ_PART_W0), active, n_arch, 0, h, h1);
    for (size_t j = 0; j < h; j++) {
        h1[j] = h1[j] > 0.0f ? h1[j] : 0.0f;
    }
    if (relu_part != NULL) {
        memcpy(relu_part, h1, h * sizeof *h1);
    }
    if (with_bits) {
        const float *bias = apq_part(p, p->params, APQ_PART_BQ);
        for (size_t j = 0; j < h; j++) {
            h1[j] += bias[j];
        }
        add_rows(apq_part(p, p->params, APQ_PART_WQ), active + n_arch,
                 count - n_arch, p->n_arch, h, h1);
    }
}

/* At most BLOCK policies; scratch holds 2 * BLOCK * H floats. */
static void predict_block(const apq_predictor *p, const apq_policy *policies,
                          int n, bool with_bits, float *scratch,
                          double *accuracy) {
    int active[INDICES_PER_BLOCK * APQ_MAX_BLOCKS];
    size_t h = (size_t)p->hidden;
    float *left = scratch, *right = scratch + BLOCK * h;
    for (int i = 0; i < n; i++) {
        int count = (int)apq_encode(&p->space, &policies[i], with_bits, active);
        apq_predictor_first(p, active, count, with_bits, NULL,
                            left + (size_t)i * h);
    }
    apq_gemm_job job = {.m = n,
                        .n = p->hidden,
                        .k = p->hidden,
                        .a = left,
                        .a_row = h,
                        .a_col = 1,
                        .packed = p->packed1,
                        .bias = apq_part(p, p->params, APQ_PART_B1),
                        .relu = true,
                        .c = right,
                        .c_row = h};
    apq_gemm(&job);
    job.a = right;
    job.packed = p->packed2;
    job.bias = apq_part(p, p->params, APQ_PART_B2);
    job.c = left;
    apq_gemm(&job);
    const float *w = apq_part(p, p->params, APQ_PART_W);
    for (int i = 0; i < n; i++) {
        double sum = (double)*apq_part(p, p->params, APQ_PART_B);
        for (size_t j = 0; j < h; j++) {
            sum += (double)w[j] * (double)left[(size_t)i * h + j];
        }
        accuracy[i] = sum;
    }
}

apq_status apq_predictor_predict(const apq_predictor *predictor,
                                 const apq_policy *policies, size_t n,
                                 bool with_bits, double *accuracy) {
    size_t n_blocks = (n + BLOCK - 1) / BLOCK;
    size_t n_scratch = 2 * BLOCK * (size_t)predictor->hidden;
    int failed = 0;
#pragma omp parallel if (n_blocks >= PARALLEL_BLOCKS)
    {
        float *scratch = apq_calloc(n_scratch, sizeof *scratch);
        if (scratch == NULL) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic)
        for (size_t b = 0; b < n_blocks; b++) {
            size_t first = b * BLOCK;
            int count = n - first < BLOCK ? (int)(n - first) : BLOCK;
            if (scratch != NULL) {
                predict_block(predictor, policies + first, count, with_bits,
                              scratch, accuracy + first);
            }
        }
        free(scratch);
    }
    if (failed) {
        APQ_FAIL(APQ_ERR_NOMEM, "predictor: no memory for %zu policies", n);
    }
    return APQ_OK;
}
