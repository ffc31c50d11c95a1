/* Register tiles of the matrix product for one instruction set; included by
 * kernels_impl.h. M rows of a are broadcast against N vectors of b, so odd
 * row counts and lengths cost nothing and a needs no packing. */

enum {
    /* Rows for 1, 2 and 3 vectors: M * N accumulators, the vectors of b and
     * a broadcast fit the registers. */
    ROWS_1 = VL == 16 ? 12 : 8,
    ROWS_2 = VL == 16 ? 12 : 6,
    ROWS_3 = VL == 16 ? 8 : 4,
};

APQ_INLINE void product_any(const apq_product_args *args, const int M,
                            const int N, const int TRANSPOSED, const int BF16) {
    vec acc[24];
#pragma GCC unroll 24
    for (int i = 0; i < M * N; i++) {
        acc[i] = v_zero();
    }
    const int64_t row = TRANSPOSED ? 1 : args->a_step;
    const int64_t column = TRANSPOSED ? args->a_step : 1;
    /* Three bases: every row is one of them plus 0 to 3 steps. */
    const float *a[3] = {args->a, args->a + 4 * row, args->a + 8 * row};
    const float *b = args->b;
    for (int64_t l = 0; l < args->depth; l++) {
        vec line[3];
#pragma GCC unroll 3
        for (int j = 0; j < N; j++) {
            line[j] = v_load(b + j * VL);
        }
#pragma GCC unroll 12
        for (int i = 0; i < M; i++) {
            /* Copied: a slot is not a float. */
            float one;
            memcpy(&one, a[i / 4] + i % 4 * row, sizeof one);
            vec value = v_set(one);
#pragma GCC unroll 3
            for (int j = 0; j < N; j++) {
                acc[i * N + j] = BF16 ? v_dot(value, line[j], acc[i * N + j])
                                      : v_fma(value, line[j], acc[i * N + j]);
            }
        }
        a[0] += column;
        a[1] += column;
        a[2] += column;
        b += args->b_step;
    }
    const int last = args->n_valid - (N - 1) * VL;
#pragma GCC unroll 12
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 3
        for (int j = 0; j < N; j++) {
            float *c = args->c + i * args->c_step + j * VL;
            int n = j + 1 < N ? (int)VL : last;
            vec value = acc[i * N + j];
            if (args->is_added) {
                value = v_add(value, load_part(c, n));
            }
            store_part(c, n, value);
        }
    }
}

#define PRODUCT_KERNEL(m, n, transposed, bf16)                                 \
    static void product_##m##_##n##_##transposed##_##bf16(                     \
        const apq_product_args *args) {                                        \
        product_any(args, m, n, transposed, bf16);                             \
    }
#define PRODUCT_KERNELS(n, transposed, bf16)                                   \
    PRODUCT_KERNEL(1, n, transposed, bf16)                                     \
    PRODUCT_KERNEL(4, n, transposed, bf16)                                     \
    PRODUCT_KERNEL(ROWS_##n, n, transposed, bf16)
#define PRODUCT_SIZES(transposed, bf16)                                        \
    PRODUCT_KERNELS(1, transposed, bf16)                                       \
    PRODUCT_KERNELS(2, transposed, bf16)                                       \
    PRODUCT_KERNELS(3, transposed, bf16)
PRODUCT_SIZES(0, 0)
PRODUCT_SIZES(1, 0)
PRODUCT_SIZES(0, 1)
PRODUCT_SIZES(1, 1)
#undef PRODUCT_SIZES
#undef PRODUCT_KERNELS
#undef PRODUCT_KERNEL

/* The kernels as apq_cpu_kernels lists them. */
#define PRODUCT_ROW(n, transposed, bf16)                                       \
    {                                                                          \
        product_1_##n##_##transposed##_##bf16,                                 \
            product_4_##n##_##transposed##_##bf16,                             \
            product_ROWS_##n##_##n##_##transposed##_##bf16                     \
    }
#define PRODUCT_TABLE(transposed, bf16)                                        \
    {                                                                          \
        PRODUCT_ROW(1, transposed, bf16), PRODUCT_ROW(2, transposed, bf16),    \
            PRODUCT_ROW(3, transposed, bf16)                                   \
    }
