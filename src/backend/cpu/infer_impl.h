/* All evaluation kernels of one instruction set and operand type. An
 * infer_<isa>.c file defines INFER_SYMBOL and INFER_BFLOAT16 (0 or 1) and
 * includes this once. */
#include "backend/cpu/infer_kernels.h"

#include "backend/cpu/vec.h"

#include <stddef.h>
#include <string.h>

/* Operands: `word` is a vector of them, v_dot adds their products. */
#if INFER_BFLOAT16
enum { BLOCK = VL / 2 };
typedef __m512bh word;

APQ_INLINE word word_load(const float *p) {
    return (word)_mm512_loadu_ps(p);
}
APQ_INLINE word word_set(const float *p) {
    return (word)_mm512_set1_ps(*p);
}
APQ_INLINE vec v_dot(word a, word b, vec sum) {
    return _mm512_dpbf16_ps(sum, a, b);
}
APQ_INLINE void operand_store(float *p, vec a) {
    __m256i narrow = (__m256i)_mm512_cvtneps_pbh(a);
    memcpy(p, &narrow, sizeof narrow);
}
#else
enum { BLOCK = VL };
typedef vec word;

APQ_INLINE word word_load(const float *p) {
    return v_load(p);
}
APQ_INLINE word word_set(const float *p) {
    return v_set(*p);
}
APQ_INLINE vec v_dot(word a, word b, vec sum) {
    return v_fma(a, b, sum);
}
APQ_INLINE void operand_store(float *p, vec a) {
    v_store(p, a);
}
#endif

APQ_INLINE vec clamp(vec v, float clip) {
    return v_min(v_set(clip), v_max(v_zero(), v));
}

/* Products ---------------------------------------------------------------- */

enum {
    /* Pixels for 1, 2 and 3 vectors: M * N sums, the vectors of b and one of
     * a fit the registers. */
    TILE_1 = VL == 16 ? 16 : 8,
    TILE_2 = VL == 16 ? 8 : 6,
    TILE_3 = VL == 16 ? 8 : 4,
};

APQ_INLINE void product_any(const apq_infer_product *args, const int M,
                            const int N, const int STEP) {
    vec acc[24];
#pragma GCC unroll 24
    for (int i = 0; i < M * N; i++) {
        acc[i] =
            args->bias != NULL ? v_load(args->bias + i % N * VL) : v_zero();
    }
    const int64_t step = STEP > 0 ? STEP : args->a_step;
    const float *b = args->b;
    const float *block = args->a;
    for (int64_t left = args->depth; left > 0; left -= args->segment) {
        const float *a = block;
        const float *end = a + (left < args->segment ? left : args->segment);
        for (; a < end; a++, b += (ptrdiff_t)N * VL) {
            word line[3];
#pragma GCC unroll 3
            for (int j = 0; j < N; j++) {
                line[j] = word_load(b + j * VL);
            }
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                word value = word_set(a + i * step);
#pragma GCC unroll 3
                for (int j = 0; j < N; j++) {
                    acc[i * N + j] = v_dot(value, line[j], acc[i * N + j]);
                }
            }
        }
        block += args->a_segment;
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 3
        for (int j = 0; j < N; j++) {
            int64_t at = args->place[i] + j * args->c_block;
            vec sum = acc[i * N + j];
            if (args->from != NULL) {
                sum = v_add(sum, v_load(args->from + at));
            }
            if (args->clip > 0.0F) {
                sum = clamp(sum, args->clip);
            }
            v_store(args->c + at, sum);
        }
    }
}

#define PRODUCT_KERNEL(kind, step, m, n)                                       \
    static void kind##_##m##_##n(const apq_infer_product *args) {              \
        product_any(args, m, n, step);                                         \
    }
#define PRODUCT_KERNELS(kind, step, n)                                         \
    PRODUCT_KERNEL(kind, step, 1, n)                                           \
    PRODUCT_KERNEL(kind, step, 4, n)                                           \
    PRODUCT_KERNEL(kind, step, TILE_##n, n)
#define PRODUCT_TABLE(kind)                                                    \
    {                                                                          \
        {kind##_TILE_1_1, kind##_4_1, kind##_1_1},                             \
            {kind##_TILE_2_2, kind##_4_2, kind##_1_2}, {                       \
            kind##_TILE_3_3, kind##_4_3, kind##_1_3                            \
        }                                                                      \
    }
PRODUCT_KERNELS(blocked, BLOCK, 1)
PRODUCT_KERNELS(blocked, BLOCK, 2)
PRODUCT_KERNELS(blocked, BLOCK, 3)
#if !INFER_BFLOAT16
PRODUCT_KERNELS(strided, 0, 1)
PRODUCT_KERNELS(strided, 0, 2)
PRODUCT_KERNELS(strided, 0, 3)
#endif

/* Depthwise rows ---------------------------------------------------------- */

enum { LONG_TILE = VL == 16 ? 16 : 8 };

/* T outputs in registers; a pixel is loaded once for all that read it. Where T
 * is short, SETS sums an output hide the latency of the additions. WHOLE: the
 * row is this tile, and what lies left and right of its pixels is zero. */
APQ_INLINE void row_tile(const apq_infer_row *args, int t0, const int T,
                         const int KX, const int STRIDE, const int WHOLE) {
    const int SETS = T >= 8 ? 1 : (T == 4 ? 2 : 4 / T);
    const int BEGIN = WHOLE ? KX / 2 : 0;
    const int END = WHOLE ? KX / 2 + T * STRIDE : (T - 1) * STRIDE + KX;
    vec acc[LONG_TILE];
#pragma GCC unroll 16
    for (int i = 0; i < T * SETS; i++) {
        acc[i] = i < T ? v_load(args->bias) : v_zero();
    }
    const float *in = args->in + (int64_t)t0 * STRIDE * VL;
    const float *w = args->w;
    for (int u = 0; u < args->n_rows; u++) {
        vec taps[APQ_INFER_MAX_KX];
#pragma GCC unroll 7
        for (int v = 0; v < KX; v++) {
            taps[v] = v_load(w + v * VL);
        }
#pragma GCC unroll 37
        for (int p = BEGIN; p < END; p++) {
            vec pixel = v_load(in + p * VL);
#pragma GCC unroll 7
            for (int v = 0; v < KX; v++) {
                int t = (p - v) / STRIDE;
                if (p >= v && t < T && (p - v) % STRIDE == 0) {
                    int i = v % SETS * T + t;
                    acc[i] = v_fma(pixel, taps[v], acc[i]);
                }
            }
        }
        in += args->in_row;
        w += (ptrdiff_t)KX * VL;
    }
    float *out = args->out + (int64_t)t0 * BLOCK;
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) {
        vec sum = acc[t];
#pragma GCC unroll 4
        for (int s = 1; s < SETS; s++) {
            sum = v_add(sum, acc[s * T + t]);
        }
        if (args->clip > 0.0F) {
            sum = clamp(sum, args->clip);
        }
        operand_store(out + t * BLOCK, sum);
    }
}

APQ_INLINE void row_any(const apq_infer_row *args, const int KX,
                        const int STRIDE) {
    if (args->n_out == LONG_TILE) {
        row_tile(args, 0, LONG_TILE, KX, STRIDE, 1);
        return;
    }
    if (args->n_out == 8) {
        row_tile(args, 0, 8, KX, STRIDE, 1);
        return;
    }
    if (args->n_out == 4) {
        row_tile(args, 0, 4, KX, STRIDE, 1);
        return;
    }
    int t = 0;
    for (; t + LONG_TILE <= args->n_out; t += LONG_TILE) {
        row_tile(args, t, LONG_TILE, KX, STRIDE, 0);
    }
    for (; t + 8 <= args->n_out; t += 8) {
        row_tile(args, t, 8, KX, STRIDE, 0);
    }
    for (; t + 4 <= args->n_out; t += 4) {
        row_tile(args, t, 4, KX, STRIDE, 0);
    }
    for (; t + 2 <= args->n_out; t += 2) {
        row_tile(args, t, 2, KX, STRIDE, 0);
    }
    if (t < args->n_out) {
        row_tile(args, t, 1, KX, STRIDE, 0);
    }
}

#define ROW_KERNEL(kx, stride)                                                 \
    static void row_##kx##_##stride(const apq_infer_row *args) {               \
        row_any(args, kx, stride);                                             \
    }
ROW_KERNEL(3, 1)
ROW_KERNEL(5, 1)
ROW_KERNEL(7, 1)
ROW_KERNEL(3, 2)
ROW_KERNEL(5, 2)
ROW_KERNEL(7, 2)
#undef ROW_KERNEL

/* Vectors ----------------------------------------------------------------- */

#if INFER_BFLOAT16
static void round_vectors(const float *src, int64_t n_vectors, float *dst) {
    for (int64_t i = 0; i < n_vectors; i++) {
        operand_store(dst + i * BLOCK, v_load(src + i * VL));
    }
}
#endif

static void average(const float *src, int n, float *mean) {
    vec sum = v_zero();
    for (int64_t i = 0; i < n; i++) {
        sum = v_add(sum, v_load(src + i * VL));
    }
    v_store(mean, v_mul(sum, v_set(1.0F / (float)n)));
}

const apq_infer_kernels INFER_SYMBOL = {
    .lanes = VL,
    .block_words = BLOCK,
    .is_bfloat16 = INFER_BFLOAT16,
    .tiles = {{TILE_1, 4, 1}, {TILE_2, 4, 1}, {TILE_3, 4, 1}},
    .blocked = PRODUCT_TABLE(blocked),
#if INFER_BFLOAT16
    .round = round_vectors,
#else
    .strided = PRODUCT_TABLE(strided),
#endif
    .row =
        {
            {[3] = row_3_1, [5] = row_5_1, [7] = row_7_1},
            {[3] = row_3_2, [5] = row_5_2, [7] = row_7_2},
        },
    .average = average,
};
