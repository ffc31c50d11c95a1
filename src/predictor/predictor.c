/* Creation and prediction. The first layer is a sum of weight rows picked by
 * the one-hot input; the other two are small products over blocks of
 * policies. Source: APQ, CVPR 2020, section 3.2. */
#include "predictor/predictor.h"

#include "base/memory.h"
#include "base/rng.h"
#include "predictor/gemm.h"
#include "predictor/kernels.h"
#include "predictor/predictor_private.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_BLOCK = 60, /* policies whose activations share the caches */
    MIN_BLOCK = 24, /* below, waking a thread costs more than it saves */
    TILE = 12,      /* rows of the largest tile; divides both */
    STRIP = 64,     /* columns */
    INDICES_PER_BLOCK = 2 + APQ_N_BIT_GENES,
    N_PAIRS = APQ_N_BIT_GENES / 2,
    ROWS_PER_BLOCK = 2 + N_PAIRS,
};

/* Working memory of one block of policies. */
typedef struct scratch {
    float *left, *right; /* (MAX_BLOCK, H) activations */
    int *rows;           /* (MAX_BLOCK, stride) of W0, then of bit_pairs */
    int *counts;         /* (MAX_BLOCK, 2) of these rows */
    size_t stride;
} scratch;

/* Fresh memory would cost a page fault every few policies. NULL while a
 * prediction uses it; others then make their own. */
struct apq_predictor_spare {
    _Atomic(scratch *) scratch;
};

static void scratch_destroy(scratch *s) {
    if (s != NULL) {
        free(s->left);
        free(s->right);
        free(s->rows);
        free(s->counts);
        free(s);
    }
}

/* NULL when memory is exhausted. */
static scratch *scratch_take(const apq_predictor *p) {
    scratch *s = atomic_exchange(&p->spare->scratch, NULL);
    if (s != NULL) {
        return s;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->stride = ROWS_PER_BLOCK * (size_t)p->space.n_blocks;
    s->left = apq_calloc(MAX_BLOCK * (size_t)p->hidden, sizeof *s->left);
    s->right = apq_calloc(MAX_BLOCK * (size_t)p->hidden, sizeof *s->right);
    s->rows = apq_calloc(MAX_BLOCK * s->stride, sizeof *s->rows);
    s->counts = apq_calloc(2 * MAX_BLOCK, sizeof *s->counts);
    if (s->left == NULL || s->right == NULL || s->rows == NULL ||
        s->counts == NULL) {
        scratch_destroy(s);
        return NULL;
    }
    return s;
}

static void scratch_give_back(const apq_predictor *p, scratch *s) {
    scratch_destroy(atomic_exchange(&p->spare->scratch, s));
}

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

/* Rows of bit_pairs. */
static size_t n_pairs(const apq_space *space) {
    return (size_t)(N_PAIRS * space->n_blocks * space->n_bits * space->n_bits);
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
    p->kernels = apq_mlp_kernels_find(NULL);
    p->space = *space;
    p->hidden = hidden;
    p->n_arch = apq_encode_float_dim(space);
    p->n_bits = apq_encode_dim(space) - p->n_arch;
    lay_out(p);
    size_t n_packed = apq_gemm_packed_size(hidden, hidden);
    p->params = apq_calloc(p->begin[APQ_N_PARTS], sizeof(float));
    p->packed1 = apq_calloc(n_packed, sizeof(float));
    p->packed2 = apq_calloc(n_packed, sizeof(float));
    p->bit_pairs = apq_calloc(n_pairs(space) * (size_t)hidden, sizeof(float));
    p->spare = calloc(1, sizeof *p->spare);
    if (p->params == NULL || p->packed1 == NULL || p->packed2 == NULL ||
        p->bit_pairs == NULL || p->spare == NULL) {
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
        free(predictor->bit_pairs);
        if (predictor->spare != NULL) {
            scratch_destroy(atomic_load(&predictor->spare->scratch));
        }
        free(predictor->spare);
        for (int i = 0; i < predictor->n_others; i++) {
            apq_predictor_destroy(predictor->others[i]);
        }
        free(predictor->others);
        free(predictor);
    }
}

/* Row (pair, block, k0, k1) is the sum of the inputs of the pair's two genes;
 * a prediction then adds half as many rows. */
static void sum_pairs(apq_predictor *p) {
    size_t h = (size_t)p->hidden;
    int n_bits = p->space.n_bits, n_gene = p->space.n_blocks * n_bits;
    const float *table = apq_part(p, p->params, APQ_PART_WQ);
    float *out = p->bit_pairs;
    for (int i = 0; i < N_PAIRS * n_gene; i++) {
        /* Inputs are ordered by gene, block, value. */
        int first = i / n_gene * 2 * n_gene + i % n_gene;
        int second = first + n_gene - i % n_bits;
        for (int k = 0; k < n_bits; k++) {
            const float *a = table + (size_t)first * h;
            const float *b = table + (size_t)(second + k) * h;
            for (size_t j = 0; j < h; j++) {
                out[j] = a[j] + b[j];
            }
            out += h;
        }
    }
}

void apq_predictor_repack(apq_predictor *predictor) {
    int h = predictor->hidden;
    sum_pairs(predictor);
    apq_gemm_pack(h, h, apq_part(predictor, predictor->params, APQ_PART_W1), 1,
                  (size_t)h, predictor->packed1);
    apq_gemm_pack(h, h, apq_part(predictor, predictor->params, APQ_PART_W2), 1,
                  (size_t)h, predictor->packed2);
}

/* Where the weights of a member come from. Not seed + member, which would be
 * those of another predictor's member. */
typedef struct start {
    uint64_t seed;
    int member;
} start;

static void fill_normal(apq_predictor *p, apq_predictor_part part, start from,
                        double sigma) {
    uint64_t index = ((uint64_t)from.member << 32) + (uint64_t)part;
    apq_rng rng = apq_rng_make(from.seed, APQ_RNG_INIT, index);
    for (size_t i = p->begin[part]; i < p->begin[part + 1]; i++) {
        p->params[i] = (float)(sigma * apq_rng_normal(&rng));
    }
}

static void fill_random(apq_predictor *p, start from) {
    /* The first layer sees two ones a block, whatever its width. */
    fill_normal(p, APQ_PART_W0, from, sqrt(1.0 / (2 * p->space.n_blocks)));
    fill_normal(p, APQ_PART_W1, from, sqrt(2.0 / p->hidden));
    fill_normal(p, APQ_PART_W2, from, sqrt(2.0 / p->hidden));
    fill_normal(p, APQ_PART_W, from, sqrt(1.0 / p->hidden));
    apq_predictor_repack(p);
}

apq_status apq_predictor_create_ensemble(const apq_space *space, int hidden,
                                         int n_members, uint64_t seed,
                                         apq_predictor **out) {
    APQ_TRY(apq_predictor_new_members(space, hidden, n_members, out));
    for (int i = 0; i < n_members; i++) {
        fill_random(apq_predictor_member(*out, i),
                    (start){.seed = seed, .member = i});
    }
    return APQ_OK;
}

apq_status apq_predictor_create_random(const apq_space *space, int hidden,
                                       uint64_t seed, apq_predictor **out) {
    return apq_predictor_create_ensemble(space, hidden, 1, seed, out);
}

const apq_space *apq_predictor_space(const apq_predictor *predictor) {
    return &predictor->space;
}

const char *apq_predictor_supernet_hash(const apq_predictor *predictor) {
    return predictor->supernet_hash;
}

const char *apq_predictor_records_hash(const apq_predictor *predictor) {
    return predictor->records_hash;
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

/* Columns [at, at + n) of the relu part of one sample. */
static void gather_arch(const apq_predictor *p, const int *active, int n_active,
                        size_t at, size_t n, float *out) {
    const float *table = apq_part(p, p->params, APQ_PART_W0);
    const float *bias = apq_part(p, p->params, APQ_PART_B0);
    p->kernels->gather(&(apq_gather_job){.table = table + at,
                                         .stride = (size_t)p->hidden,
                                         .rows = active,
                                         .n_rows = n_active,
                                         .start = bias + at,
                                         .n = n,
                                         .relu = true,
                                         .out = out});
}

/* The bit branch, from the rows of one of its tables, added to `out`. */
static void gather_bits(const apq_predictor *p, const float *table,
                        const int *rows, int n_rows, int first_row, size_t at,
                        size_t n, float *out) {
    const float *bias = apq_part(p, p->params, APQ_PART_BQ);
    p->kernels->gather(&(apq_gather_job){.table = table + at,
                                         .stride = (size_t)p->hidden,
                                         .rows = rows,
                                         .n_rows = n_rows,
                                         .first_row = first_row,
                                         .start = bias + at,
                                         .n = n,
                                         .is_added = true,
                                         .out = out});
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
    gather_arch(p, active, n_arch, 0, h, h1);
    if (relu_part != NULL) {
        memcpy(relu_part, h1, h * sizeof *h1);
    }
    if (with_bits) {
        gather_bits(p, apq_part(p, p->params, APQ_PART_WQ), active + n_arch,
                    count - n_arch, p->n_arch, 0, h, h1);
    }
}

/* Position of a bit-width among those of the space. */
static int rank_of(const apq_space *space, int bits) {
    int k = 0;
    while (k < space->n_bits - 1 && space->bits[k] != bits) {
        k++;
    }
    APQ_ASSERT(space->bits[k] == bits);
    return k;
}

/* Rows of bit_pairs for one policy; returns how many. */
static int pairs_of(const apq_space *space, const apq_policy *policy,
                    int *rows) {
    int n = 0;
    for (int pair = 0; pair < N_PAIRS; pair++) {
        for (int i = 0; i < space->n_blocks; i++) {
            if (apq_space_block_active(space, policy, i)) {
                int k0 = rank_of(space, policy->bits[2 * pair][i]);
                int k1 = rank_of(space, policy->bits[2 * pair + 1][i]);
                int row = pair * space->n_blocks + i;
                rows[n++] = (row * space->n_bits + k0) * space->n_bits + k1;
            }
        }
    }
    return n;
}

/* left (n, H) = h1. A narrow strip of columns at a time, whose table rows the
 * policies of a population share, stays in the nearest cache. */
static void first_layer(const apq_predictor *p, const apq_policy *policies,
                        int n, bool with_bits, const scratch *s) {
    size_t h = (size_t)p->hidden;
    for (int i = 0; i < n; i++) {
        int *rows = s->rows + (size_t)i * s->stride,
            *counts = s->counts + 2 * i;
        counts[0] = (int)apq_encode(&p->space, &policies[i], false, rows);
        counts[1] =
            with_bits ? pairs_of(&p->space, &policies[i], rows + counts[0]) : 0;
    }
    for (size_t at = 0; at < h; at += STRIP) {
        size_t width = h - at < STRIP ? h - at : STRIP;
        for (int i = 0; i < n; i++) {
            const int *rows = s->rows + (size_t)i * s->stride;
            const int *counts = s->counts + 2 * i;
            float *out = s->left + (size_t)i * h + at;
            gather_arch(p, rows, counts[0], at, width, out);
            if (with_bits) {
                gather_bits(p, p->bit_pairs, rows + counts[0], counts[1], 0, at,
                            width, out);
            }
        }
    }
}

static void predict_block(const apq_predictor *p, const apq_policy *policies,
                          int n, bool with_bits, const scratch *s,
                          double *accuracy) {
    size_t h = (size_t)p->hidden;
    first_layer(p, policies, n, with_bits, s);
    apq_gemm_job job = {.m = n,
                        .n = p->hidden,
                        .k = p->hidden,
                        .a = s->left,
                        .a_row = h,
                        .a_col = 1,
                        .packed = p->packed1,
                        .bias = apq_part(p, p->params, APQ_PART_B1),
                        .relu = true,
                        .c = s->right,
                        .c_row = h};
    apq_gemm(p->kernels, &job);
    job.a = s->right;
    job.packed = p->packed2;
    job.bias = apq_part(p, p->params, APQ_PART_B2);
    job.c = s->left;
    apq_gemm(p->kernels, &job);
    for (int i = 0; i < n; i++) {
        accuracy[i] = p->kernels->dot(
            (double)*apq_part(p, p->params, APQ_PART_B),
            apq_part(p, p->params, APQ_PART_W), s->left + (size_t)i * h, h);
    }
}

static size_t divide_up(size_t a, size_t b) {
    return (a + b - 1) / b;
}

/* Equal shares of the n policies: a number of blocks that the threads divide
 * among them, in whole tiles. */
static size_t block_size(size_t n, size_t n_threads) {
    size_t n_blocks = divide_up(divide_up(n, MAX_BLOCK), n_threads) * n_threads;
    size_t size = divide_up(divide_up(n, n_blocks), TILE) * TILE;
    return size < MIN_BLOCK ? MIN_BLOCK : size;
}

apq_status apq_predictor_predict_member(const apq_predictor *predictor,
                                        const apq_policy *policies, size_t n,
                                        bool with_bits, double *accuracy) {
    if (n == 0) {
        return APQ_OK;
    }
    size_t n_threads = (size_t)omp_get_max_threads();
    size_t size = block_size(n, n_threads);
    size_t n_blocks = divide_up(n, size);
    n_threads = n_blocks < n_threads ? n_blocks : n_threads;
    bool failed = false;
#pragma omp parallel num_threads((int)n_threads) if (n_threads > 1)
    {
        scratch *s = scratch_take(predictor);
        if (s == NULL) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(dynamic)
        for (size_t b = 0; b < n_blocks; b++) {
            size_t first = b * size;
            int count = (int)(n - first < size ? n - first : size);
            if (s != NULL) {
                predict_block(predictor, policies + first, count, with_bits, s,
                              accuracy + first);
            }
        }
        scratch_give_back(predictor, s);
    }
    if (failed) {
        APQ_FAIL(APQ_ERR_NOMEM, "predictor: no memory for %zu policies", n);
    }
    return APQ_OK;
}
