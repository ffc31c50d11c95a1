/* All kernels of the fused integer evaluation for one instruction set. An
 * int_tiles_<isa>.c file defines INT_SYMBOL and INT_NAME and includes this
 * once. */
#include "deploy/int_tiles.h"

#include "deploy/int_vec.h"

#include <float.h>
#include <stddef.h>

/* To codes ---------------------------------------------------------------- */

/* Of one vector of outputs, read once: a store of codes may alias anything. */
typedef struct rounding {
    fvec scale, shift, code_scale, low, high;
    ivec zero;
} rounding;

APQ_INLINE rounding rounding_of(const apq_int_finish *f, int64_t k) {
    return (rounding){
        .scale = f_load(f->scale + k),
        .shift = f_load(f->shift + k),
        .code_scale = f_set(f->code_scale),
        .low = f_set(f->code_low),
        .high = f_set(f->code_high),
        .zero = i_set(f->code_zero),
    };
}

APQ_INLINE fvec scaled(const rounding *r, fvec sum) {
    return f_add(f_mul(sum, r->scale), r->shift);
}

/* NaN becomes low. */
APQ_INLINE ivec code_of(const rounding *r, fvec v) {
    return f_round(f_min(f_max(v, r->low), r->high));
}

APQ_INLINE ivec shifted_code_of(const rounding *r, fvec v) {
    return i_add(code_of(r, f_mul(v, r->code_scale)), r->zero);
}

/* Products ---------------------------------------------------------------- */

enum {
    /* Pixels for 1, 2 and 3 vectors: M * N sums, the vectors of b and one of
     * a fit the registers. */
    TILE_1 = VL == 16 ? 16 : 8,
    TILE_2 = VL == 16 ? 12 : 4,
    TILE_3 = VL == 16 ? 8 : 4,
};

APQ_INLINE ivec word_at(const uint8_t *p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return i_set(word);
}

APQ_INLINE void product_any(const apq_int_product *args, const int M,
                            const int N, const int IS_PLAIN) {
    ivec acc[24];
#pragma GCC unroll 24
    for (int i = 0; i < M * N; i++) {
        acc[i] = i_load(args->init + i % N * VL);
    }
    const uint8_t *a = args->a;
    const int32_t *b = args->b;
    const int64_t step = args->a_step;
    for (int64_t l = 0; l < args->depth; l++) {
        ivec line[3];
#pragma GCC unroll 3
        for (int j = 0; j < N; j++) {
            line[j] = i_load(b + j * VL);
        }
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            ivec value = word_at(a + i * step);
#pragma GCC unroll 3
            for (int j = 0; j < N; j++) {
                acc[i * N + j] = i_dot(value, line[j], acc[i * N + j]);
            }
        }
        a += APQ_INT_WORD;
        b += (ptrdiff_t)N * VL;
    }
    const int64_t c_step = args->step;
    uint8_t *codes = args->codes;
    float *values = args->values;
    const float *residual = args->residual;
    float clip = args->finish.clip;
    fvec low = f_set(clip > 0.0F ? 0.0F : -FLT_MAX);
    fvec high = f_set(clip > 0.0F ? clip : FLT_MAX);
#pragma GCC unroll 3
    for (int j = 0; j < N; j++) {
        const rounding r = rounding_of(&args->finish, j * VL);
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            int64_t at = i * c_step + j * VL;
            fvec v = scaled(&r, f_from(acc[i * N + j]));
            if (IS_PLAIN) {
                i_store_codes(codes + at, code_of(&r, v));
                continue;
            }
            if (residual != NULL) {
                v = f_add(v, f_load(residual + at));
            }
            if (values != NULL) {
                f_store(values + at, f_min(high, f_max(low, v)));
            }
            if (codes != NULL) {
                i_store_codes(codes + at, shifted_code_of(&r, v));
            }
        }
    }
}

#define PRODUCT_KERNEL(kind, is_plain, m, n)                                   \
    static void kind##_##m##_##n(const apq_int_product *args) {                \
        product_any(args, m, n, is_plain);                                     \
    }
#define PRODUCT_KERNELS(kind, is_plain, n)                                     \
    PRODUCT_KERNEL(kind, is_plain, 1, n)                                       \
    PRODUCT_KERNEL(kind, is_plain, 4, n)                                       \
    PRODUCT_KERNEL(kind, is_plain, TILE_##n, n)
#define PRODUCT_TABLE(kind)                                                    \
    {                                                                          \
        {kind##_TILE_1_1, kind##_4_1, kind##_1_1},                             \
            {kind##_TILE_2_2, kind##_4_2, kind##_1_2}, {                       \
            kind##_TILE_3_3, kind##_4_3, kind##_1_3                            \
        }                                                                      \
    }
PRODUCT_KERNELS(plain, 1, 1)
PRODUCT_KERNELS(plain, 1, 2)
PRODUCT_KERNELS(plain, 1, 3)
PRODUCT_KERNELS(full, 0, 1)
PRODUCT_KERNELS(full, 0, 2)
PRODUCT_KERNELS(full, 0, 3)

/* Products and sums are rounded apart and in the order of the definition. */
APQ_INLINE void dense_any(const apq_int_dense *args, const int M) {
    fvec acc[16];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        acc[i] = f_set(0.0F);
    }
    const float *b = args->b;
    for (int u = 0; u < args->n_rows; u++) {
        const float *a = args->a + u * args->a_row;
        for (int l = 0; l < args->taps; l++) {
            fvec line = f_load(b);
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                fvec value = f_set(a[i * args->a_step + l]);
                acc[i] = f_add(acc[i], f_mul(value, line));
            }
            b += VL;
        }
    }
    const rounding r = rounding_of(&args->finish, 0);
    const int64_t step = args->step;
    uint8_t *codes = args->codes;
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        i_store_codes(codes + i * step,
                      shifted_code_of(&r, scaled(&r, acc[i])));
    }
}

#define DENSE_KERNEL(m)                                                        \
    static void dense_##m(const apq_int_dense *args) {                         \
        dense_any(args, m);                                                    \
    }
DENSE_KERNEL(TILE_1)
DENSE_KERNEL(4)
DENSE_KERNEL(1)

/* Depthwise rows ---------------------------------------------------------- */

APQ_INLINE ivec pushed(const apq_int_spread *args, int pixel, ivec word,
                       ivec zero) {
    bool is_inside = pixel < args->n_in;
    return i_push(word, is_inside ? i_load_codes(args->x + pixel * args->step)
                                  : zero);
}

static void spread(const apq_int_spread *args) {
    ivec zero = i_set(args->zero);
    ivec word = i_set(args->zero * 0x01010101);
    int first = APQ_INT_WORD - 1 - args->pad; /* the last pixel of word 0 */
    for (int i = 0; i < first; i++) {
        word = pushed(args, i, word, zero);
    }
    int32_t *dst = args->dst;
    int inside = args->n_in - first;
    inside = inside < args->n_words ? inside : args->n_words;
    const uint8_t *x = args->x + first * args->step;
    int i = 0;
    for (; i < inside; i++, x += args->step, dst += VL) {
        word = i_push(word, i_load_codes(x));
        i_store(dst, word);
    }
    for (; i < args->n_words; i++, dst += VL) {
        word = i_push(word, zero);
        i_store(dst, word);
    }
}

enum { LONG_TILE = VL == 16 ? 16 : 8 };

/* T outputs in registers; a word is loaded once for all that read it. */
APQ_INLINE void row_tile(const apq_int_row *args, int t0, const int T,
                         const int KX, const int STRIDE) {
    const int WORDS = (KX + APQ_INT_WORD - 1) / APQ_INT_WORD;
    const int END = (T - 1) * STRIDE + (WORDS - 1) * APQ_INT_WORD + 1;
    ivec acc[LONG_TILE];
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) {
        acc[t] = i_load(args->init);
    }
    const int32_t *w = args->w;
    for (int u = 0; u < args->n_rows; u++) {
        const int32_t *in = args->rows[u] + (int64_t)t0 * STRIDE * VL;
        ivec taps[2];
#pragma GCC unroll 2
        for (int v = 0; v < WORDS; v++) {
            taps[v] = i_load(w + v * VL);
        }
#pragma GCC unroll 37
        for (int p = 0; p < END; p++) {
#pragma GCC unroll 2
            for (int v = 0; v < WORDS; v++) {
                int from = p - v * APQ_INT_WORD;
                int t = from / STRIDE;
                if (from >= 0 && t < T && from % STRIDE == 0) {
                    acc[t] = i_dot(i_load(in + p * VL), taps[v], acc[t]);
                }
            }
        }
        w += (ptrdiff_t)WORDS * VL;
    }
    const rounding r = rounding_of(&args->finish, 0);
    const int64_t step = args->step;
    uint8_t *codes = args->codes + t0 * step;
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) {
        i_store_codes(codes + t * step,
                      code_of(&r, scaled(&r, f_from(acc[t]))));
    }
}

APQ_INLINE void row_any(const apq_int_row *args, const int KX,
                        const int STRIDE) {
    int t = 0;
    for (; t + LONG_TILE <= args->n_out; t += LONG_TILE) {
        row_tile(args, t, LONG_TILE, KX, STRIDE);
    }
    for (; t + 8 <= args->n_out; t += 8) {
        row_tile(args, t, 8, KX, STRIDE);
    }
    for (; t + 4 <= args->n_out; t += 4) {
        row_tile(args, t, 4, KX, STRIDE);
    }
    for (; t < args->n_out; t++) {
        row_tile(args, t, 1, KX, STRIDE);
    }
}

#define ROW_KERNEL(kx, stride)                                                 \
    static void row_##kx##_##stride(const apq_int_row *args) {                 \
        row_any(args, kx, stride);                                             \
    }
ROW_KERNEL(3, 1)
ROW_KERNEL(5, 1)
ROW_KERNEL(7, 1)
ROW_KERNEL(3, 2)
ROW_KERNEL(5, 2)
ROW_KERNEL(7, 2)

/* The rate of products ---------------------------------------------------- */

enum { PEAK_SUMS = VL == 16 ? 16 : 8 };

static void peak(int64_t n_rounds, int32_t *sink) {
    ivec acc[PEAK_SUMS];
    ivec a = i_load(sink), b = i_load(sink + VL);
#pragma GCC unroll 16
    for (int i = 0; i < PEAK_SUMS; i++) {
        acc[i] = i_set(i);
    }
    for (int64_t round = 0; round < n_rounds; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_SUMS; i++) {
            acc[i] = i_dot(a, b, acc[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 1; i < PEAK_SUMS; i++) {
        acc[0] = i_add(acc[0], acc[i]);
    }
    i_store(sink, acc[0]);
}

const apq_int_tiles INT_SYMBOL = {
    .name = INT_NAME,
    .lanes = VL,
    .sizes = {{TILE_1, 4, 1}, {TILE_2, 4, 1}, {TILE_3, 4, 1}},
    .plain = PRODUCT_TABLE(plain),
    .full = PRODUCT_TABLE(full),
    .dense = {dense_TILE_1, dense_4, dense_1},
    .spread = spread,
    .row =
        {
            {[3] = row_3_1, [5] = row_5_1, [7] = row_7_1},
            {[3] = row_3_2, [5] = row_5_2, [7] = row_7_2},
        },
    .peak = peak,
    .peak_products = PEAK_SUMS * VL * APQ_INT_WORD,
};
