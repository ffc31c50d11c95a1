/* Sweeps over tiles for one instruction set; included by kernels_impl.h.
 * Those that read main memory go row by row; those over tiles that a product
 * just left in cache go column by column with the sums in registers. */

/* Floats between what is prefetched and what is read: the rows come from main
 * memory and are too short for the hardware to run ahead. */
enum {
    AHEAD = 768,
};

/* Which parts of a norm are present: constants in the loops below. */
enum {
    TILE_SCALE = 1,
    TILE_CLIP = 2,
    TILE_STEP = 4,
};

APQ_INLINE vec norm_vec(const float *x, int c, int n, const apq_norm *norm,
                        const int PARTS) {
    vec v = load_part(x + c, n);
    if ((PARTS & TILE_SCALE) != 0) {
        v = v_fma(load_part(norm->scale + c, n), v,
                  load_part(norm->shift + c, n));
    }
    if ((PARTS & TILE_CLIP) != 0) {
        v = v_min(v_set(norm->clip), v_max(v_zero(), v));
    }
    if ((PARTS & TILE_STEP) != 0) {
        vec step = v_set(norm->step);
        v = v_mul(step, v_round(v_div(v, step)));
    }
    return v;
}

APQ_INLINE void norm_any(const apq_tile *tile, const float *s,
                         const apq_norm *norm, float *dst, int64_t dst_step,
                         int64_t dst_block, const int PARTS) {
    /* Copies: the stores could be to the originals. */
    const apq_norm own = *norm;
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    for (int64_t r = 0; r < tile->rows; r++) {
        float *d = dst;
        for (int c = 0; c < whole; c += VL, d += dst_block) {
            __builtin_prefetch(s + c + AHEAD);
            v_store(d, norm_vec(s, c, VL, &own, PARTS));
        }
        if (tail > 0) {
            /* Lanes beyond the channels: 0 * 0 + 0, clamped, stays 0. */
            v_store(d, norm_vec(s, whole, tail, &own, PARTS));
        }
        s += tile->step;
        dst += dst_step;
    }
}

static void norm_rows(const apq_tile *tile, const float *src,
                      const apq_norm *norm, float *dst, int64_t dst_step,
                      int64_t dst_block) {
    if (norm->scale == NULL) {
        norm_any(tile, src, norm, dst, dst_step, dst_block, 0);
    } else if (!(norm->clip > 0.0F)) {
        norm_any(tile, src, norm, dst, dst_step, dst_block, TILE_SCALE);
    } else if (!(norm->step > 0.0F)) {
        norm_any(tile, src, norm, dst, dst_step, dst_block,
                 TILE_SCALE | TILE_CLIP);
    } else {
        norm_any(tile, src, norm, dst, dst_step, dst_block,
                 TILE_SCALE | TILE_CLIP | TILE_STEP);
    }
}

APQ_INLINE vec slope_vec(const float *g, const float *z, int c, int n,
                         const apq_bn_slopes *slopes) {
    vec s = v_fma(load_part(slopes->by_z + c, n), load_part(z + c, n),
                  load_part(slopes->constant + c, n));
    return v_fma(load_part(slopes->by_g + c, n), load_part(g + c, n), s);
}

static void slope_rows(const apq_tile *tile, const float *g, const float *z,
                       const apq_bn_slopes *slopes, float *dst,
                       int64_t dst_step, int64_t dst_block) {
    const apq_bn_slopes own = *slopes;
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    for (int64_t r = 0; r < tile->rows; r++) {
        float *d = dst;
        for (int c = 0; c < whole; c += VL, d += dst_block) {
            __builtin_prefetch(g + c + AHEAD);
            __builtin_prefetch(z + c + AHEAD);
            v_store(d, slope_vec(g, z, c, VL, &own));
        }
        if (tail > 0) {
            v_store(d, slope_vec(g, z, whole, tail, &own));
        }
        g += tile->step;
        z += tile->step;
        dst += dst_step;
    }
}

APQ_INLINE void sums_column(const apq_tile *tile, const float *p, int c, int n,
                            const float *shift, float *sum, float *square) {
    vec s[2] = {v_zero(), v_zero()};
    vec q[2] = {v_zero(), v_zero()};
    vec k = load_part(shift + c, n);
    int64_t r = 0;
    p += c;
    for (; r + 2 <= tile->rows; r += 2) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            vec d = v_sub(load_part(p, n), k);
            s[i] = v_add(s[i], d);
            q[i] = v_fma(d, d, q[i]);
            p += tile->step;
        }
    }
    if (r < tile->rows) {
        vec d = v_sub(load_part(p, n), k);
        s[0] = v_add(s[0], d);
        q[0] = v_fma(d, d, q[0]);
    }
    store_part(sum + c, n, v_add(s[0], s[1]));
    store_part(square + c, n, v_add(q[0], q[1]));
}

static void column_sums(const apq_tile *tile, const float *x,
                        const float *shift, float *sum, float *square) {
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    for (int c = 0; c < whole; c += VL) {
        sums_column(tile, x, c, VL, shift, sum, square);
    }
    if (tail > 0) {
        sums_column(tile, x, whole, tail, shift, sum, square);
    }
}

/* Returns the updated sum of what lies at or above the clip. */
APQ_INLINE vec mask_column(const apq_tile *tile, float *p, const float *x,
                           int c, int n, const apq_norm *norm, float *sum_g,
                           float *sum_gx, vec over, const int CLIPPED) {
    vec clip = v_set(norm->clip);
    vec scale = load_part(norm->scale + c, n);
    vec shift = load_part(norm->shift + c, n);
    vec mean = load_part(norm->mean + c, n);
    vec sg[2] = {v_zero(), v_zero()};
    vec sgx[2] = {v_zero(), v_zero()};
    p += c;
    x += c;
    for (int64_t r = 0; r < tile->rows; r += 2) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            if (r + i == tile->rows) {
                break;
            }
            vec g = load_part(p, n);
            vec xi = load_part(x, n);
            if (CLIPPED) {
                vec v = v_fma(scale, xi, shift);
                over = v_add(over, v_and_ge(g, v, clip));
                g = v_and_between(g, v, v_zero(), clip);
                store_part(p, n, g);
            }
            sg[i] = v_add(sg[i], g);
            sgx[i] = v_fma(g, v_sub(xi, mean), sgx[i]);
            p += tile->step;
            x += tile->step;
        }
    }
    store_part(sum_g + c, n, v_add(sg[0], sg[1]));
    store_part(sum_gx + c, n, v_add(sgx[0], sgx[1]));
    return over;
}

APQ_INLINE double mask_any(const apq_tile *tile, float *g, const float *x,
                           const apq_norm *norm, float *sum_g, float *sum_gx,
                           const int CLIPPED) {
    vec over = v_zero();
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    for (int c = 0; c < whole; c += VL) {
        over =
            mask_column(tile, g, x, c, VL, norm, sum_g, sum_gx, over, CLIPPED);
    }
    if (tail > 0) {
        over = mask_column(tile, g, x, whole, tail, norm, sum_g, sum_gx, over,
                           CLIPPED);
    }
    return (double)v_sum(over);
}

static double mask_reduce(const apq_tile *tile, float *g, const float *x,
                          const apq_norm *norm, float *sum_g, float *sum_gx) {
    return norm->clip > 0.0F ? mask_any(tile, g, x, norm, sum_g, sum_gx, 1)
                             : mask_any(tile, g, x, norm, sum_g, sum_gx, 0);
}
