/* The 7->5 and 5->3 kernel transforms and their gradients. Kernels are small,
 * so plain loops over channels are fast enough. */
#include "supernet/kernel.h"

/* Row of the large kernel that is tap u of its centre. */
static int centre_tap(int large_side, int u) {
    int side = large_side - 2;
    return (u / side + 1) * large_side + u % side + 1;
}

void apq_kernel_shrink(const float *large, int64_t ldl, int large_side,
                       int channels, const float *matrix, float *small) {
    int taps = (large_side - 2) * (large_side - 2);
    for (int t = 0; t < taps; t++) {
        float *out = small + (int64_t)t * channels;
        for (int c = 0; c < channels; c++) {
            out[c] = 0.0F;
        }
        for (int u = 0; u < taps; u++) {
            const float *in = large + centre_tap(large_side, u) * ldl;
            float m = matrix[t * taps + u];
            for (int c = 0; c < channels; c++) {
                out[c] += m * in[c];
            }
        }
    }
}

void apq_kernel_shrink_backward(const float *large, int64_t ldl, int large_side,
                                int channels, const float *matrix,
                                const float *dsmall, float *dmatrix,
                                float *dlarge, int64_t lddl) {
    int taps = (large_side - 2) * (large_side - 2);
    for (int t = 0; t < taps; t++) {
        const float *g = dsmall + (int64_t)t * channels;
        for (int u = 0; u < taps; u++) {
            int tap = centre_tap(large_side, u);
            const float *in = large + tap * ldl;
            float *out = dlarge + tap * lddl;
            float m = matrix[t * taps + u];
            float sum = 0.0F;
            for (int c = 0; c < channels; c++) {
                sum += g[c] * in[c];
                out[c] += m * g[c];
            }
            dmatrix[t * taps + u] += sum;
        }
    }
}
