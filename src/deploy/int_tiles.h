#ifndef APQ_DEPLOY_INT_TILES_H
#define APQ_DEPLOY_INT_TILES_H

#include <stdbool.h>
#include <stdint.h>

/* The inner loops of the fused integer evaluation, compiled once per
 * instruction set. A word is four u8 codes, or s8 weights, that one instruction
 * multiplies and adds up. Codes lie in quads: (quads of pixels, channels / 4,
 * 4 pixels, 4 channels), rows of pixels filled up to whole quads by pixels that
 * are computed and never used. Codes are stored as int_kernels.h has them. The
 * code of a sum a is roundeven(scale[k] * (float)a), clamped; kernels want the
 * magnitude of that number below APQ_INT_MAX_CODE. Sums are exact, so results
 * are the bits of int_kernels.h. */

/* M pixels of a tile by N vectors of outputs; M is a multiple of 4. Steps are
 * bytes from quad to quad. */
typedef struct apq_int_product {
    const uint8_t *a;
    int64_t a_step;
    int64_t depth;    /* words */
    const int32_t *b; /* words (depth, N*lanes) */
    const int32_t *init;
    const float *scale;
    int high; /* of unsigned codes */
    uint8_t *codes;
    int64_t codes_step;
    const uint8_t *residual; /* as codes, of signed codes; or NULL */
} apq_int_product;
typedef void (*apq_int_product_kernel)(const apq_int_product *args);

/* The same of a dense convolution of words: M pixels by one vector of unsigned
 * codes. */
typedef struct apq_int_dense {
    const int32_t *a;
    int64_t a_step, a_row; /* words */
    int n_rows, taps;      /* taps words a row */
    const int32_t *b;      /* words (n_rows*taps, lanes) */
    const int32_t *init;
    const float *scale;
    int high;
    uint8_t *codes;
    int64_t codes_step; /* as above */
} apq_int_dense;
typedef void (*apq_int_dense_kernel)(const apq_int_dense *args);

enum {
    APQ_INT_VECTORS = 3,
    APQ_INT_TILES = 2,
    APQ_INT_MAX_KX = 7,
    APQ_INT_WORD = 4, /* codes a word, pixels a quad */
    APQ_INT_QUAD = APQ_INT_WORD * APQ_INT_WORD, /* bytes of a word's quad */
    APQ_INT_MAX_CODE = 1 << 30,
};

/* A depthwise convolution of one vector of channels. The image is first spread
 * out into `plane`, where a word holds pixels x .. x + 3 of a channel: rows of
 * n_quads * 4 / stride words for x = -4, -3, ... (of stride 2, those x that
 * are read); plane is row 0. Where `zero` is 0, rows outside of the image are
 * skipped, else they are in the plane before and after it. */
typedef struct apq_int_depthwise_args {
    const uint8_t *x;
    int64_t x_step; /* bytes from quad to quad */
    int in_size, out_size;
    int zero;         /* code that means 0 */
    int32_t *plane;   /* (rows, words of a row, lanes) */
    int n_quads;      /* apq_int_row_quads() */
    const int32_t *w; /* words (R, words of R taps, lanes) */
    const int32_t *init;
    const float *scale;
    int high;
    uint8_t *codes; /* unsigned */
    int64_t codes_step;
} apq_int_depthwise_args;
typedef void (*apq_int_depthwise_kernel)(const apq_int_depthwise_args *args);

/* n in whole quads: pixels of a stored row. */
static inline int apq_int_pitch(int n) {
    return (n + APQ_INT_WORD - 1) / APQ_INT_WORD * APQ_INT_WORD;
}
/* Pixels of an image of that side as stored. */
static inline int64_t apq_int_stored_pixels(int side) {
    return (int64_t)side * apq_int_pitch(side);
}
/* Quads of a spread row, up to the last word that is read. */
static inline int apq_int_row_quads(int kernel, int stride, int out_size) {
    int last = (apq_int_pitch(out_size) - 1) * stride - kernel / 2 +
               (kernel - 1) / APQ_INT_WORD * APQ_INT_WORD;
    return (last + APQ_INT_WORD) / APQ_INT_WORD + 1;
}

typedef struct apq_int_tiles {
    const char *name;
    int lanes;
    int sizes[APQ_INT_VECTORS][APQ_INT_TILES]; /* M, falling, the last 4 */
    /* [N - 1][tile], for unsigned codes 0..high or signed ones -128..127. */
    apq_int_product_kernel to_unsigned[APQ_INT_VECTORS][APQ_INT_TILES];
    apq_int_product_kernel to_signed[APQ_INT_VECTORS][APQ_INT_TILES];
    apq_int_dense_kernel dense[APQ_INT_TILES]; /* tiles of one vector */
    /* [stride - 1][R], NULL where unused. */
    apq_int_depthwise_kernel depthwise[2][APQ_INT_MAX_KX + 1];
    /* y[i] = table[x[i]], n a multiple of APQ_INT_QUAD. */
    void (*reround)(const uint8_t *table, const uint8_t *x, int64_t n,
                    uint8_t *y);
    /* totals (channels) of all pixels of codes, those left out that only fill
     * quads; channels is a multiple of APQ_INT_LANES. */
    void (*add_up)(const uint8_t *codes, int side, int64_t channels,
                   int32_t *totals);
    /* n_rounds times peak_products products, no faster than the processor
     * makes them; sink has 9 vectors, zeroed. For apq bench. */
    void (*peak)(int64_t n_rounds, int32_t *sink);
    int peak_products;
} apq_int_tiles;

extern const apq_int_tiles apq_int_tiles_portable;
extern const apq_int_tiles apq_int_tiles_avx2;
extern const apq_int_tiles apq_int_tiles_avxvnni;
extern const apq_int_tiles apq_int_tiles_avx512vnni;

/* Those that this machine runs, fastest first; NULL: no more. */
const apq_int_tiles *apq_int_tiles_get(int i);

#endif
