#ifndef APQ_BACKEND_CPU_SUMS_H
#define APQ_BACKEND_CPU_SUMS_H

#include "backend/cpu/kernels.h"

/* Sums per channel over tiles as threads make them: in float within a tile,
 * in double over tiles, threads joined in their order, so that results repeat
 * for a given thread count. */
typedef struct apq_sums {
    const apq_cpu_kernels *kernels;
    int n_threads, channels;
    int64_t per_thread; /* floats */
    float *memory;
} apq_sums;

/* Floats of 64-byte aligned workspace, and its use; zeroes it. */
int64_t apq_sums_floats(int n_threads, int channels);
apq_sums apq_sums_make(const apq_cpu_kernels *kernels, int n_threads,
                       int channels, float *memory);

/* Adds the values of a tile of channels [first, first + tile->channels). */
void apq_sums_add(const apq_sums *sums, int thread, const apq_tile *tile,
                  int first, const float *x);
/* Masks g as mask_reduce() does and adds its sums; x, g and the vectors of
 * norm begin at channel `first`. */
void apq_sums_mask(const apq_sums *sums, int thread, const apq_tile *tile,
                   int first, const void *x, float *g, int64_t g_step,
                   const apq_norm *norm);

/* Biased mean and variance of all that was added. */
void apq_sums_statistics(const apq_sums *sums, float *mean, float *variance);
/* The sums of bn_backward_reduce. */
void apq_sums_gradient(const apq_sums *sums, const float *inv_std, float *sum_g,
                       float *sum_gx, double *clip_grad);

#endif
