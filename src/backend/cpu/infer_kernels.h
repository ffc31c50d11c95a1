#ifndef APQ_BACKEND_CPU_INFER_KERNELS_H
#define APQ_BACKEND_CPU_INFER_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* The inner loops of evaluation, compiled once per instruction set. Tensors
 * are "blocked": (blocks of `lanes` channels, pixels, lanes), zero in the lanes
 * beyond the channels. Operands of products are counted in words of 4 bytes:
 * a float, or two neighbouring channels in bfloat16. */

/* For the M pixels of a tile and N vectors of output channels:
 *   c[place[i] + j*c_block + lane] =
 *       clamp(bias + from + sum over l < depth of a(i, l) * b[l][j][lane])
 * a(i, l) = a[i*a_step + l/segment*a_segment + l%segment]. */
typedef struct apq_infer_product {
    const float *a; /* words */
    int64_t a_step, segment, a_segment;
    int64_t depth;        /* words */
    const float *b;       /* words (depth, N*lanes) */
    const float *bias;    /* (N*lanes), or NULL */
    const float *from;    /* laid out as c, may be c; or NULL */
    float clip;           /* <= 0: none */
    float *c;             /* floats */
    int64_t c_block;      /* floats */
    const int32_t *place; /* (M), floats */
} apq_infer_product;
typedef void (*apq_infer_product_kernel)(const apq_infer_product *args);

/* One output row of a depthwise convolution of one channel block:
 *   out[t] = clamp(bias + sum over u < n_rows, v < KX of
 *       in[u*in_row + (t*STRIDE + v)*lanes] * w[(u*KX + v)*lanes])
 * for t < n_out; out as an operand of products. */
typedef struct apq_infer_row {
    const float *in;
    int64_t in_row; /* floats */
    const float *w;
    const float *bias; /* (lanes) */
    float clip;
    int n_rows;
    float *out; /* words */
    int n_out;
} apq_infer_row;
typedef void (*apq_infer_row_kernel)(const apq_infer_row *args);

enum { APQ_INFER_VECTORS = 3, APQ_INFER_TILES = 3, APQ_INFER_MAX_KX = 7 };

typedef struct apq_infer_kernels {
    int lanes;
    int block_words; /* of one pixel of one channel block as an operand */
    bool is_bfloat16;
    int tiles[APQ_INFER_VECTORS][APQ_INFER_TILES]; /* M, falling, the last 1 */
    /* [N - 1][tile]; a_step is block_words in `blocked`, any in `strided`,
     * which is float only. */
    apq_infer_product_kernel blocked[APQ_INFER_VECTORS][APQ_INFER_TILES];
    apq_infer_product_kernel strided[APQ_INFER_VECTORS][APQ_INFER_TILES];
    /* [STRIDE - 1][KX], NULL where unused. */
    apq_infer_row_kernel row[2][APQ_INFER_MAX_KX + 1];
    /* dst = n_vectors vectors of src as operands; NULL: floats as they are. */
    void (*round)(const float *src, int64_t n_vectors, float *dst);
    /* mean (lanes) of n vectors. */
    void (*average)(const float *src, int n, float *mean);
} apq_infer_kernels;

extern const apq_infer_kernels apq_infer_portable;
extern const apq_infer_kernels apq_infer_avx2;
extern const apq_infer_kernels apq_infer_avx512;
extern const apq_infer_kernels apq_infer_bfloat16;

/* Within apq_backend_limit_isa(); bfloat16: NULL where the machine has no
 * products of that type. */
const apq_infer_kernels *apq_infer_kernels_float(void);
const apq_infer_kernels *apq_infer_kernels_bfloat16(void);

#endif
