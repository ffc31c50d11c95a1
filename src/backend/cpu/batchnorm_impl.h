/* Batch-normalisation passes for one instruction set; included by
 * kernels_impl.h. Data are rows of `length` floats with parameters of the same
 * length, so that channel counts that are no multiple of the vector cost
 * nothing (batchnorm.c joins several pixels to one row). */

/* The first n lanes; n == VL is the common case and a plain access. */
APQ_INLINE vec load_part(const float *p, int n) {
    return n == VL ? v_load(p) : v_load_n(p, n);
}

APQ_INLINE void store_part(float *p, int n, vec a) {
    if (n == VL) {
        v_store(p, a);
    } else {
        v_store_n(p, n, a);
    }
}

/* Calls body(i, n) for whole vectors, then once for the tail. */
#define FOR_VECTORS(length, body)                                              \
    do {                                                                       \
        int i_ = 0;                                                            \
        for (; i_ + VL <= (length); i_ += VL) {                                \
            body(i_, VL);                                                      \
        }                                                                      \
        if (i_ < (length)) {                                                   \
            body(i_, (length)-i_);                                             \
        }                                                                      \
    } while (0)

/* Which parts of bn_apply are present: constants in the loops below. */
enum {
    HAS_RESIDUAL = 1,
    HAS_CLIP = 2,
    HAS_STEP = 4,
};

APQ_INLINE void apply_any(const float *x, const float *residual, int64_t rows,
                          int length, const apq_bn_params *params, float *y,
                          const int PARTS) {
    vec clip = v_set(params->clip);
    vec step = v_set(params->step);
    for (int64_t r = 0; r < rows; r++) {
#define APPLY_BODY(i, n)                                                       \
    do {                                                                       \
        vec v = v_fma(load_part(params->scale + (i), (n)),                     \
                      load_part(x + (i), (n)),                                 \
                      load_part(params->shift + (i), (n)));                    \
        if ((PARTS & HAS_RESIDUAL) != 0) {                                     \
            v = v_add(v, load_part(residual + (i), (n)));                      \
        }                                                                      \
        if ((PARTS & HAS_CLIP) != 0) {                                         \
            /* Operands in this order keep a NaN. */                           \
            v = v_min(clip, v_max(v_zero(), v));                               \
        }                                                                      \
        if ((PARTS & HAS_STEP) != 0) {                                         \
            v = v_mul(step, v_round(v_div(v, step)));                          \
        }                                                                      \
        store_part(y + (i), (n), v);                                           \
    } while (0)
        FOR_VECTORS(length, APPLY_BODY);
#undef APPLY_BODY
        x += length;
        y += length;
        if ((PARTS & HAS_RESIDUAL) != 0) {
            residual += length;
        }
    }
}

static void bn_apply(const float *x, const float *residual, int64_t rows,
                     int length, const apq_bn_params *params, float *y) {
    int parts = residual != NULL ? HAS_RESIDUAL : 0;
    if (params->clip > 0.0F) {
        parts |= HAS_CLIP | (params->step > 0.0F ? HAS_STEP : 0);
    }
    switch (parts) {
    case 0:
        apply_any(x, residual, rows, length, params, y, 0);
        break;
    case HAS_RESIDUAL:
        apply_any(x, residual, rows, length, params, y, HAS_RESIDUAL);
        break;
    case HAS_CLIP:
        apply_any(x, residual, rows, length, params, y, HAS_CLIP);
        break;
    case HAS_CLIP | HAS_STEP:
        apply_any(x, residual, rows, length, params, y, HAS_CLIP | HAS_STEP);
        break;
    case HAS_CLIP | HAS_RESIDUAL:
        apply_any(x, residual, rows, length, params, y,
                  HAS_CLIP | HAS_RESIDUAL);
        break;
    default:
        apply_any(x, residual, rows, length, params, y,
                  HAS_CLIP | HAS_STEP | HAS_RESIDUAL);
        break;
    }
}

/* sum_g, sum_gx and over are accumulated. */
APQ_INLINE vec reduce_rows(const float *x, const float *dy, int length,
                           const apq_bn_params *params, float *sum_g,
                           float *sum_gx, vec over, const int ROWS,
                           const int CLIPPED) {
    vec clip = v_set(params->clip);
#define REDUCE_BODY(i, n)                                                      \
    do {                                                                       \
        vec sg = load_part(sum_g + (i), (n));                                  \
        vec sgx = load_part(sum_gx + (i), (n));                                \
        vec mean = load_part(params->mean + (i), (n));                         \
        vec scale = load_part(params->scale + (i), (n));                       \
        vec shift = load_part(params->shift + (i), (n));                       \
        for (int r = 0; r < ROWS; r++) {                                       \
            int64_t at = (int64_t)r * length + (i);                            \
            vec g = load_part(dy + at, (n));                                   \
            vec xi = load_part(x + at, (n));                                   \
            if (CLIPPED) {                                                     \
                vec v = v_fma(scale, xi, shift);                               \
                over = v_add(over, v_and_ge(g, v, clip));                      \
                g = v_and_between(g, v, v_zero(), clip);                       \
            }                                                                  \
            sg = v_add(sg, g);                                                 \
            sgx = v_fma(g, v_sub(xi, mean), sgx);                              \
        }                                                                      \
        store_part(sum_g + (i), (n), sg);                                      \
        store_part(sum_gx + (i), (n), sgx);                                    \
    } while (0)
    FOR_VECTORS(length, REDUCE_BODY);
#undef REDUCE_BODY
    return over;
}

APQ_INLINE double reduce_any(const float *x, const float *dy, int64_t rows,
                             int length, const apq_bn_params *params,
                             float *sum_g, float *sum_gx, const int CLIPPED) {
    memset(sum_g, 0, (size_t)length * sizeof(*sum_g));
    memset(sum_gx, 0, (size_t)length * sizeof(*sum_gx));
    vec over = v_zero();
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        over = reduce_rows(x + i * length, dy + i * length, length, params,
                           sum_g, sum_gx, over, 4, CLIPPED);
    }
    for (; i < rows; i++) {
        over = reduce_rows(x + i * length, dy + i * length, length, params,
                           sum_g, sum_gx, over, 1, CLIPPED);
    }
    return (double)v_sum(over);
}

static double bn_reduce(const float *x, const float *dy, int64_t rows,
                        int length, const apq_bn_params *params, float *sum_g,
                        float *sum_gx) {
    if (params->clip > 0.0F) {
        return reduce_any(x, dy, rows, length, params, sum_g, sum_gx, 1);
    }
    return reduce_any(x, dy, rows, length, params, sum_g, sum_gx, 0);
}

APQ_INLINE void backward_any(const float *x, const float *dy, int64_t rows,
                             int length, const apq_bn_params *params, float *dx,
                             const int CLIPPED) {
    vec clip = v_set(params->clip);
    for (int64_t r = 0; r < rows; r++) {
#define BACKWARD_BODY(i, n)                                                    \
    do {                                                                       \
        vec xi = load_part(x + (i), (n));                                      \
        vec g = load_part(dy + (i), (n));                                      \
        vec scale = load_part(params->scale + (i), (n));                       \
        if (CLIPPED) {                                                         \
            vec v = v_fma(scale, xi, load_part(params->shift + (i), (n)));     \
            g = v_and_between(g, v, v_zero(), clip);                           \
        }                                                                      \
        vec d = v_sub(xi, load_part(params->mean + (i), (n)));                 \
        vec s = v_fma(d, load_part(params->slope + (i), (n)),                  \
                      load_part(params->offset + (i), (n)));                   \
        store_part(dx + (i), (n), v_sub(v_mul(scale, g), s));                  \
    } while (0)
        FOR_VECTORS(length, BACKWARD_BODY);
#undef BACKWARD_BODY
        x += length;
        dy += length;
        dx += length;
    }
}

static void bn_backward(const float *x, const float *dy, int64_t rows,
                        int length, const apq_bn_params *params, float *dx) {
    if (params->clip > 0.0F) {
        backward_any(x, dy, rows, length, params, dx, 1);
    } else {
        backward_any(x, dy, rows, length, params, dx, 0);
    }
}
