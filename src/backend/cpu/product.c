/* Walks the register tiles of a product: panels of up to three vectors of b,
 * in each the rows of a, the last ones by fours and singly. */
#include "backend/cpu/product.h"

#include <string.h>

/* Vectors [first, first + count) of panel i; panels are of about equal
 * width, so that none is left with a single vector. */
static void panel(int64_t n_vectors, int64_t i, int64_t *first, int *count) {
    int64_t n = (n_vectors + APQ_PRODUCT_VECTORS - 1) / APQ_PRODUCT_VECTORS;
    *first = n_vectors * i / n;
    *count = (int)(n_vectors * (i + 1) / n - *first);
}

static void run_panel(const apq_cpu_kernels *kernels, const apq_product *p,
                      apq_product_args *args, int n_vectors) {
    const apq_product_kernel *k =
        kernels->product[p->is_bf16][p->is_a_transposed][n_vectors - 1];
    const int sizes[3] = {1, 4, kernels->product_rows[n_vectors - 1]};
    int64_t row = p->is_a_transposed ? 1 : p->a_step;
    int64_t i = 0;
    for (int s = 2; s >= 0; s--) {
        for (; i + sizes[s] <= p->m; i += sizes[s]) {
            k[s](args);
            args->a += sizes[s] * row;
            args->c += sizes[s] * p->c_step;
        }
    }
}

void apq_product_run(const apq_cpu_kernels *kernels, const apq_product *p) {
    int64_t lanes = kernels->lanes;
    int64_t n_vectors = (p->n + lanes - 1) / lanes;
    int64_t first = 0;
    int count = 0;
    for (int64_t i = 0; first + count < n_vectors; i++) {
        panel(n_vectors, i, &first, &count);
        int64_t left = p->n - first * lanes;
        apq_product_args args = {
            .depth = p->depth,
            .a = p->a,
            .a_step = p->a_step,
            .b = p->b + first * lanes * (p->is_b_packed ? p->depth : 1),
            .b_step = p->is_b_packed ? count * lanes : p->b_step,
            .c = p->c + first * lanes,
            .c_step = p->c_step,
            .n_valid = (int)(left < count * lanes ? left : count * lanes),
            .is_added = p->is_added,
        };
        run_panel(kernels, p, &args, count);
    }
}

/* The upper half of a value, rounded half to even; a NaN stays one. */
static uint32_t rounded(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffU) > 0x7f800000U) {
        return (bits | 0x400000U) >> 16;
    }
    return (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
}

static float slot(float first, float second) {
    uint32_t bits = rounded(first) | rounded(second) << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* One column of a panel `width` wide. */
static void pack_column(bool is_bf16, int64_t depth, const float *src,
                        int64_t step, float *dst, int64_t width) {
    int64_t steps = apq_steps(is_bf16, depth);
    for (int64_t l = 0; l < steps; l++) {
        float *out = dst + l * width;
        if (is_bf16) {
            const float *first = src + 2 * l * step;
            *out = slot(*first, 2 * l + 1 < depth ? first[step] : 0.0F);
        } else {
            *out = src[l * step];
        }
    }
}

void apq_product_pack(const apq_cpu_kernels *kernels, bool is_bf16,
                      int64_t depth, int64_t n, const float *src,
                      int64_t step_l, int64_t step_j, float *dst) {
    static const float k_zero = 0.0F;
    int64_t lanes = kernels->lanes;
    int64_t n_vectors = (n + lanes - 1) / lanes;
    int64_t first = 0;
    int count = 0;
    for (int64_t i = 0; first + count < n_vectors; i++) {
        panel(n_vectors, i, &first, &count);
        int64_t width = count * lanes;
        float *out = dst + first * lanes * apq_steps(is_bf16, depth);
        for (int64_t j = 0; j < width; j++) {
            int64_t column = first * lanes + j;
            bool is_valid = column < n;
            pack_column(is_bf16, depth,
                        is_valid ? src + column * step_j : &k_zero,
                        is_valid ? step_l : 0, out + j, width);
        }
    }
}
