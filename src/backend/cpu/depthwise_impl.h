/* Depthwise inner loops for one instruction set; included by kernels_impl.h.
 * Every pixel is one vector, so the loops are plain one-channel correlations
 * with T output pixels kept in registers. */

/* SETS independent accumulators per pixel hide the latency of the additions
 * where T alone is too short: T * SETS = 8. */
APQ_INLINE void row_tile(const apq_row_args *args, int t0, const int T,
                         const int KX, const int STRIDE) {
    const int SETS = T >= 8 ? 1 : (T == 4 ? 2 : 4);
    vec acc[8];
#pragma GCC unroll 8
    for (int i = 0; i < T * SETS; i++) {
        acc[i] = v_zero();
    }
    const float *in = args->in + (int64_t)t0 * STRIDE * VL;
    const float *w = args->w;
    for (int u = 0; u < args->n_rows; u++) {
#pragma GCC unroll 7
        for (int v = 0; v < KX; v++) {
            vec tap = v_load(w + v * VL);
#pragma GCC unroll 8
            for (int t = 0; t < T; t++) {
                vec pixel = v_load(in + (t * STRIDE + v) * VL);
                int a = (v % SETS) * T + t;
                acc[a] = v_fma(pixel, tap, acc[a]);
            }
        }
        in += args->in_row;
        w += KX * VL;
    }
    float *out = args->out + t0 * args->out_step;
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        vec sum = acc[t];
#pragma GCC unroll 4
        for (int s = 1; s < SETS; s++) {
            sum = v_add(sum, acc[s * T + t]);
        }
        if (args->n_valid == VL) {
            v_store(out + t * args->out_step, sum);
        } else {
            v_store_n(out + t * args->out_step, args->n_valid, sum);
        }
    }
}

APQ_INLINE void row_any(const apq_row_args *args, const int KX,
                        const int STRIDE) {
    int t = 0;
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
    static void row_##kx##_##stride(const apq_row_args *args) {                \
        row_any(args, kx, stride);                                             \
    }
ROW_KERNEL(1, 1)
ROW_KERNEL(2, 1)
ROW_KERNEL(3, 1)
ROW_KERNEL(4, 1)
ROW_KERNEL(5, 1)
ROW_KERNEL(7, 1)
ROW_KERNEL(3, 2)
ROW_KERNEL(5, 2)
ROW_KERNEL(7, 2)
#undef ROW_KERNEL

/* SETS * KX accumulators; SETS divides APQ_WGRAD_UNROLL. */
APQ_INLINE void wgrad_any(const apq_wgrad_args *args, const int KX,
                          const int STRIDE) {
    const int SETS = KX == 3 ? 4 : (KX == 5 ? 2 : (VL == 16 ? 2 : 1));
    vec acc[14];
#pragma GCC unroll 14
    for (int i = 0; i < SETS * KX; i++) {
        acc[i] = v_zero();
    }
    for (int i = 0; i < args->n_rows; i++) {
        const float *x = args->x + i * args->x_row;
        const float *dy = args->dy + i * args->dy_row;
        for (int t = 0; t < args->n_out; t += SETS) {
#pragma GCC unroll 4
            for (int s = 0; s < SETS; s++) {
                vec d = v_load(dy + s * VL);
#pragma GCC unroll 7
                for (int v = 0; v < KX; v++) {
                    vec pixel = v_load(x + (s * STRIDE + v) * VL);
                    acc[s * KX + v] = v_fma(pixel, d, acc[s * KX + v]);
                }
            }
            x += SETS * STRIDE * VL;
            dy += SETS * VL;
        }
    }
#pragma GCC unroll 7
    for (int v = 0; v < KX; v++) {
        vec sum = v_load(args->acc + v * VL);
#pragma GCC unroll 4
        for (int s = 0; s < SETS; s++) {
            sum = v_add(sum, acc[s * KX + v]);
        }
        v_store(args->acc + v * VL, sum);
    }
}

#define WGRAD_KERNEL(kx, stride)                                               \
    static void wgrad_##kx##_##stride(const apq_wgrad_args *args) {            \
        wgrad_any(args, kx, stride);                                           \
    }
WGRAD_KERNEL(3, 1)
WGRAD_KERNEL(5, 1)
WGRAD_KERNEL(7, 1)
WGRAD_KERNEL(3, 2)
WGRAD_KERNEL(5, 2)
WGRAD_KERNEL(7, 2)
#undef WGRAD_KERNEL
