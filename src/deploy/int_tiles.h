#ifndef APQ_DEPLOY_INT_TILES_H
#define APQ_DEPLOY_INT_TILES_H

#include <stdbool.h>
#include <stdint.h>

/* The inner loops of the fused integer evaluation, compiled once per
 * instruction set. Activations are rows of u8 codes, (pixels, step); a word is
 * four of them, or of s8 weights, that one instruction multiplies and adds up.
 * Sums are exact, so results are the bits of int_kernels.h. */

/* From the sum of an output to its code, see apq_int_layer; the pointers are
 * at the first output. */
typedef struct apq_int_finish {
    const float *scale, *shift;
    float clip, code_scale, code_low, code_high;
    int code_zero;
} apq_int_finish;

/* M pixels of a tile by N vectors of outputs. */
typedef struct apq_int_product {
    const uint8_t *a; /* (M, a_step) */
    int64_t a_step;   /* codes */
    int64_t depth;    /* words */
    const int32_t *b; /* words (depth, N*lanes) */
    const int32_t *init;
    apq_int_finish finish;
    int64_t step;   /* of the three below, elements a pixel */
    uint8_t *codes; /* or NULL */
    float *values;  /* or NULL */
    const float *residual;
} apq_int_product;
typedef void (*apq_int_product_kernel)(const apq_int_product *args);

/* The same of a dense convolution of float pixels: rows of `taps` floats. */
typedef struct apq_int_dense {
    const float *a;
    int64_t a_step, a_row; /* floats */
    int n_rows, taps;
    const float *b; /* (n_rows*taps, lanes) */
    apq_int_finish finish;
    int64_t step;
    uint8_t *codes;
} apq_int_dense;
typedef void (*apq_int_dense_kernel)(const apq_int_dense *args);

enum {
    APQ_INT_VECTORS = 3,
    APQ_INT_TILES = 3,
    APQ_INT_MAX_KX = 7,
    APQ_INT_WORD = 4, /* codes a word */
};

/* One input row of a depthwise convolution, spread out: word i of dst holds
 * pixels i - pad .. i - pad + 3 of every lane, `zero` outside of the row. */
typedef struct apq_int_spread {
    const uint8_t *x; /* (n_in, step) */
    int64_t step;
    int n_in, pad, zero;
    int32_t *dst; /* (n_words, lanes) */
    int n_words;
} apq_int_spread;

/* One output row of such a convolution, a vector of channels. */
typedef struct apq_int_row {
    const int32_t *rows[APQ_INT_MAX_KX]; /* spread */
    int n_rows;
    const int32_t *w;    /* words (n_rows, words of KX taps, lanes) */
    const int32_t *init; /* (lanes) */
    apq_int_finish finish;
    uint8_t *codes; /* (n_out, step) */
    int64_t step;
    int n_out;
} apq_int_row;
typedef void (*apq_int_row_kernel)(const apq_int_row *args);

typedef struct apq_int_tiles {
    const char *name;
    int lanes;
    int sizes[APQ_INT_VECTORS][APQ_INT_TILES]; /* M, falling, the last 1 */
    /* [N - 1][tile]. `plain`: codes alone leave, unsigned, with code_scale 1.
     */
    apq_int_product_kernel plain[APQ_INT_VECTORS][APQ_INT_TILES];
    apq_int_product_kernel full[APQ_INT_VECTORS][APQ_INT_TILES];
    apq_int_dense_kernel dense[APQ_INT_TILES]; /* tiles of one vector */
    void (*spread)(const apq_int_spread *args);
    /* [stride - 1][KX], NULL where unused. */
    apq_int_row_kernel row[2][APQ_INT_MAX_KX + 1];
    /* Products a second in registers, one thread, over n_rounds rounds of
     * peak_products; for apq bench. */
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
