/* All kernels of the fused integer evaluation for one instruction set. An
 * int_tiles_<isa>.c file defines INT_SYMBOL and INT_NAME and includes this
 * once. */
#include "deploy/int_tiles.h"

#include "deploy/int_vec.h"

#include <stddef.h>

/* To codes ---------------------------------------------------------------- */

/* Of four pixels. */
typedef struct quad {
    ivec of[4];
} quad;

APQ_INLINE ivec code_of(fvec scale, ivec sum) {
    return f_round(f_mul(f_from(sum), scale));
}

APQ_INLINE void store_unsigned(uint8_t *p, const quad *q, bvec high) {
    b_store(p, b_min(high, b_unsigned(q->of[0], q->of[1], q->of[2], q->of[3])));
}

APQ_INLINE void store_signed(uint8_t *p, const quad *q,
                             const uint8_t *residual) {
    bvec codes = b_signed(q->of[0], q->of[1], q->of[2], q->of[3]);
    b_store(p, residual == NULL ? codes : b_add(codes, b_load(residual)));
}

/* Products ---------------------------------------------------------------- */

enum {
    /* Pixels for 1, 2 and 3 vectors: M * N sums, the vectors of b and one of
     * a fit the registers. */
    TILE_1 = VL == 16 ? 16 : 8,
    TILE_2 = VL == 16 ? 8 : 4,
    TILE_3 = VL == 16 ? 8 : 4,
};

APQ_INLINE ivec word_at(const uint8_t *p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return i_set(word);
}

APQ_INLINE void product_any(const apq_int_product *args, const int M,
                            const int N, const int IS_SIGNED) {
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
            ivec value = word_at(a + i / 4 * step + i % 4 * APQ_INT_WORD);
#pragma GCC unroll 3
            for (int j = 0; j < N; j++) {
                acc[i * N + j] = i_dot(value, line[j], acc[i * N + j]);
            }
        }
        a += APQ_INT_QUAD;
        b += (ptrdiff_t)N * VL;
    }
    uint8_t *codes = args->codes;
    const uint8_t *residual = args->residual;
    const int64_t codes_step = args->codes_step;
    const bvec high = b_set(args->high);
#pragma GCC unroll 3
    for (int j = 0; j < N; j++) {
        const fvec scale = f_load(args->scale + j * VL);
#pragma GCC unroll 4
        for (int i = 0; i < M; i += 4) {
            const int64_t at = i / 4 * codes_step + j * VL * 4;
            quad q;
#pragma GCC unroll 4
            for (int t = 0; t < 4; t++) {
                q.of[t] = code_of(scale, acc[(i + t) * N + j]);
            }
            if (IS_SIGNED) {
                store_signed(codes + at, &q,
                             residual == NULL ? NULL : residual + at);
            } else {
                store_unsigned(codes + at, &q, high);
            }
        }
    }
}

#define PRODUCT_KERNEL(kind, is_signed, m, n)                                  \
    static void kind##_##m##_##n(const apq_int_product *args) {                \
        product_any(args, m, n, is_signed);                                    \
    }
#define PRODUCT_KERNELS(kind, is_signed, n)                                    \
    PRODUCT_KERNEL(kind, is_signed, 4, n)                                      \
    PRODUCT_KERNEL(kind, is_signed, TILE_##n, n)
#define PRODUCT_TABLE(kind)                                                    \
    {                                                                          \
        {kind##_TILE_1_1, kind##_4_1}, {kind##_TILE_2_2, kind##_4_2}, {        \
            kind##_TILE_3_3, kind##_4_3                                        \
        }                                                                      \
    }
PRODUCT_KERNELS(to_unsigned, 0, 1)
PRODUCT_KERNELS(to_unsigned, 0, 2)
PRODUCT_KERNELS(to_unsigned, 0, 3)
PRODUCT_KERNELS(to_signed, 1, 1)
PRODUCT_KERNELS(to_signed, 1, 2)
PRODUCT_KERNELS(to_signed, 1, 3)

APQ_INLINE void dense_any(const apq_int_dense *args, const int M) {
    ivec acc[16];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        acc[i] = i_load(args->init);
    }
    const int32_t *b = args->b;
    for (int u = 0; u < args->n_rows; u++) {
        const int32_t *a = args->a + u * args->a_row;
        for (int l = 0; l < args->taps; l++) {
            ivec line = i_load(b);
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                acc[i] = i_dot(i_set(a[i * args->a_step + l]), line, acc[i]);
            }
            b += VL;
        }
    }
    const fvec scale = f_load(args->scale);
    const bvec high = b_set(args->high);
    uint8_t *codes = args->codes;
    const int64_t codes_step = args->codes_step;
#pragma GCC unroll 4
    for (int i = 0; i < M; i += 4) {
        quad q;
#pragma GCC unroll 4
        for (int t = 0; t < 4; t++) {
            q.of[t] = code_of(scale, acc[i + t]);
        }
        store_unsigned(codes + i / 4 * codes_step, &q, high);
    }
}

#define DENSE_KERNEL(m)                                                        \
    static void dense_##m(const apq_int_dense *args) {                         \
        dense_any(args, m);                                                    \
    }
DENSE_KERNEL(TILE_1)
DENSE_KERNEL(4)

/* Depthwise convolutions -------------------------------------------------- */

/* The words of a quad of pixels, `left` of them inside of the image. */
APQ_INLINE ivec words_at(const uint8_t *quad_or_null, int left, ivec zero) {
    if (left <= 0) {
        return zero;
    }
    ivec words = i_words(quad_or_null);
    if (left < APQ_INT_WORD) {
        ivec outside = i_set((int32_t)(UINT32_MAX << 8 * left));
        words = (words & ~outside) | (zero & outside);
    }
    return words;
}

/* One row; of stride 2 only the words of pixels x that are odd or even. */
APQ_INLINE void spread_row(const apq_int_depthwise_args *args, const uint8_t *x,
                           int32_t *dst, const int STRIDE, const int IS_ODD) {
    ivec zero = i_set((int32_t)((uint32_t)args->zero * 0x01010101U));
    ivec words = zero;
    int left = args->in_size;
    for (int i = 0; i < args->n_quads; i++) {
        ivec next = words_at(x, left, zero);
        if (STRIDE == 1) {
            i_store(dst, words);
            i_store(dst + VL, i_window(words, next, 1));
            i_store(dst + 2 * VL, i_window(words, next, 2));
            i_store(dst + 3 * VL, i_window(words, next, 3));
        } else if (IS_ODD) {
            i_store(dst, i_window(words, next, 1));
            i_store(dst + VL, i_window(words, next, 3));
        } else {
            i_store(dst, words);
            i_store(dst + VL, i_window(words, next, 2));
        }
        dst += APQ_INT_WORD / STRIDE * VL;
        x += args->x_step;
        left -= APQ_INT_WORD;
        words = next;
    }
}

enum { LONG_TILE = VL == 16 ? 16 : 8 };

/* T outputs in registers, of n_rows rows of `in`; a word is loaded once for all
 * that read it. */
APQ_INLINE void row_tile(const apq_int_depthwise_args *args, const int32_t *in,
                         int64_t in_row, const int32_t *w, int n_rows,
                         uint8_t *codes, const int T, const int KX,
                         const int STRIDE) {
    const int WORDS = (KX + APQ_INT_WORD - 1) / APQ_INT_WORD;
    const int NEXT = APQ_INT_WORD / STRIDE; /* to an output's second word */
    ivec acc[LONG_TILE];
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) {
        acc[t] = i_load(args->init);
    }
    for (int u = 0; u < n_rows; u++) {
        ivec taps[2];
#pragma GCC unroll 2
        for (int v = 0; v < WORDS; v++) {
            taps[v] = i_load(w + v * VL);
        }
#pragma GCC unroll 20
        for (int p = 0; p < T + (WORDS - 1) * NEXT; p++) {
            ivec word = i_load(in + p * VL);
            if (p < T) {
                acc[p] = i_dot(word, taps[0], acc[p]);
            }
            if (WORDS == 2 && p >= NEXT) {
                acc[p - NEXT] = i_dot(word, taps[1], acc[p - NEXT]);
            }
        }
        in += in_row;
        w += (ptrdiff_t)WORDS * VL;
    }
    const fvec scale = f_load(args->scale);
    const bvec high = b_set(args->high);
    const int64_t codes_step = args->codes_step;
#pragma GCC unroll 4
    for (int t = 0; t < T; t += 4) {
        quad q;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            q.of[i] = code_of(scale, acc[t + i]);
        }
        store_unsigned(codes + t / 4 * codes_step, &q, high);
    }
}

APQ_INLINE void depthwise_any(const apq_int_depthwise_args *args, const int KX,
                              const int STRIDE) {
    const int PAD = KX / 2;
    const int WORDS = (KX + APQ_INT_WORD - 1) / APQ_INT_WORD;
    const int64_t row = (int64_t)args->n_quads * (APQ_INT_WORD / STRIDE) * VL;
    const int64_t x_row = apq_int_pitch(args->in_size) / 4 * args->x_step;
    for (int y = 0; y < args->in_size; y++) {
        spread_row(args, args->x + y * x_row, args->plane + y * row, STRIDE,
                   PAD % 2);
    }
    int pitch = apq_int_pitch(args->out_size);
    uint8_t *codes = args->codes;
    for (int y = 0; y < args->out_size; y++) {
        int first = y * STRIDE - PAD;
        int left = args->in_size - first;
        int skip = args->zero == 0 && first < 0 ? -first : 0;
        int end = args->zero == 0 && left < KX ? left : KX;
        const int32_t *w = args->w + skip * WORDS * VL;
        const int32_t *in = args->plane + (first + skip) * row +
                            (APQ_INT_WORD - PAD) / STRIDE * VL;
        int t = 0;
#define TILES(n)                                                               \
    for (; t + (n) <= pitch; t += (n)) {                                       \
        row_tile(args, in + t * VL, row, w, end - skip, codes, (n), KX,        \
                 STRIDE);                                                      \
        codes += (n) / 4 * args->codes_step;                                   \
    }
        TILES(LONG_TILE)
        TILES(8)
        TILES(4)
#undef TILES
    }
}

#define DEPTHWISE_KERNEL(kx, stride)                                           \
    static void depthwise_##kx##_##stride(                                     \
        const apq_int_depthwise_args *args) {                                  \
        depthwise_any(args, kx, stride);                                       \
    }
DEPTHWISE_KERNEL(3, 1)
DEPTHWISE_KERNEL(5, 1)
DEPTHWISE_KERNEL(7, 1)
DEPTHWISE_KERNEL(3, 2)
DEPTHWISE_KERNEL(5, 2)
DEPTHWISE_KERNEL(7, 2)

/* Rounding again ---------------------------------------------------------- */

static void reround(const uint8_t *table, const uint8_t *x, int64_t n,
                    uint8_t *y) {
    int64_t i = 0;
#ifdef HAS_LOOKUP
    for (; i + 4 * VL <= n; i += 4 * VL) {
        b_store(y + i, b_lookup(table, b_load(x + i)));
    }
#endif
    for (; i < n; i++) {
        y[i] = table[x[i]];
    }
}

/* The pool ---------------------------------------------------------------- */

static void add_up(const uint8_t *codes, int side, int64_t channels,
                   int32_t *totals) {
    const ivec zero = i_set(0), ones = i_set(0x01010101);
    const int row_quads = apq_int_pitch(side) / APQ_INT_WORD;
    for (int64_t c = 0; c < channels; c += VL) {
        ivec sum = zero;
        const uint8_t *x = codes + c * APQ_INT_WORD;
        for (int i = 0; i < side * row_quads; i++) {
            int left = side - i % row_quads * APQ_INT_WORD;
            sum = i_dot(words_at(x, left, zero), ones, sum);
            x += channels * APQ_INT_WORD;
        }
        i_store(totals + c, sum);
    }
}

/* The rate of products ---------------------------------------------------- */

enum { PEAK_SUMS = VL == 16 ? 16 : 8 };

static void peak(int64_t n_rounds, int32_t *sink) {
    ivec acc[PEAK_SUMS];
#pragma GCC unroll 16
    for (int i = 0; i < PEAK_SUMS; i++) {
        acc[i] = i_set(i);
    }
    for (int64_t round = 0; round < n_rounds; round++) {
        /* Other operands than a round before, or products could be kept. */
        const int32_t *a = sink + (round & 1) * VL, *b = sink + 5 * VL;
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_SUMS; i++) {
            acc[i] =
                i_dot(i_load(a + i / 4 * VL), i_load(b + i % 4 * VL), acc[i]);
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
    .sizes = {{TILE_1, 4}, {TILE_2, 4}, {TILE_3, 4}},
    .to_unsigned = PRODUCT_TABLE(to_unsigned),
    .to_signed = PRODUCT_TABLE(to_signed),
    .dense = {dense_TILE_1, dense_4},
    .depthwise =
        {
            {[3] = depthwise_3_1, [5] = depthwise_5_1, [7] = depthwise_7_1},
            {[3] = depthwise_3_2, [5] = depthwise_5_2, [7] = depthwise_7_2},
        },
    .reround = reround,
    .add_up = add_up,
    .peak = peak,
    .peak_products = PEAK_SUMS * VL * APQ_INT_WORD,
};
