#ifndef APQ_BACKEND_CPU_DEPTHWISE_H
#define APQ_BACKEND_CPU_DEPTHWISE_H

#include "backend/cpu/kernels.h"

/* Depthwise convolution forward and its data gradient: both are correlations
 * of zero-padded images, so one plan runs them; at stride 2 the data gradient
 * is split by the parity of its rows and columns into four dense correlations
 * with every second tap. */

/* Output columns of one parity. */
typedef struct apq_column_phase {
    int kx;    /* taps */
    int tap0;  /* column of the kernel's first tap (lowest source index) */
    int in_x;  /* packed column of the first tap of the first output */
    int out_x; /* first output column */
    int n_out; /* outputs */
    int64_t w; /* offset into the packed weights of a block */
} apq_column_phase;

/* Output rows of one parity. */
typedef struct apq_row_class {
    int ky;
    int tap0;
    int base; /* input row of the first tap of the first row */
    apq_column_phase phase[2];
} apq_row_class;

typedef struct apq_depthwise_plan {
    const apq_cpu_kernels *kernels;
    int channels, kernel;
    int in_h, in_w, out_h, out_w;
    int stride;   /* between inputs of neighbouring outputs */
    int n_parity; /* 1, or 2 for the data gradient at stride 2 */
    bool is_flipped;
    apq_row_class rows[2];
    int left, packed_w; /* margin and width of a packed row, pixels */
    int n_blocks;       /* of `lanes` channels */
    const float *w;     /* packed */
} apq_depthwise_plan;

/* The forward correlation, or the one of the data gradient. */
apq_depthwise_plan apq_depthwise_plan_make(const apq_cpu_kernels *kernels,
                                           const apq_depthwise_shape *shape,
                                           bool is_gradient);
/* Floats of the packed weights, (n_blocks, R*R, lanes), and their packing. */
int64_t apq_depthwise_weight_floats(const apq_depthwise_plan *plan);
void apq_depthwise_pack_weights(apq_depthwise_plan *plan, const float *w,
                                int64_t ldw, float *packed);
/* All outputs of channel block `block` of one image: packed (in_h, packed_w,
 * lanes) with zero margins; out (out_h, out_w) pixels out_step floats apart,
 * at the first channel of the block. */
void apq_depthwise_run_block(const apq_depthwise_plan *plan,
                             const float *packed, int block, float *out,
                             int64_t out_step);

/* Threads worth using: at most one an image, 0 for no images. */
int apq_depthwise_threads(const apq_depthwise_shape *shape);
/* Channel blocks of block_floats floats handled together: those of a pixel
 * are read in one run, and all fit half an L2 cache. */
int apq_depthwise_group(int n_blocks, int64_t block_floats);

#endif
