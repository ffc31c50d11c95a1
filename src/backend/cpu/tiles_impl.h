/* Sweeps over tiles for one instruction set; included by kernels_impl.h.
 * Those that read main memory go row by row; those over tiles that a product
 * just left in cache go column by column with the sums in registers. */

/* Values between what is prefetched and what is read: the rows come from main
 * memory and are too short for the hardware to run ahead. */
enum {
    AHEAD = 1536,
};

/* What is done to the rows as they are read: constants in the loops below. */
enum {
    TILE_SCALE = 1,
    TILE_CLIP = 2,
    TILE_STEP = 4,
    TILE_SLOPES = 8,
    TILE_BF16 = 16,
};

/* Rows of x, to be normalised, or of x = g and z, to be joined by slopes.
 * Copies of the vectors' addresses: the stores could be to the originals. */
typedef struct tile_source {
    const void *x, *z;
    apq_norm norm;
    apq_bn_slopes slopes;
} tile_source;

APQ_INLINE const void *value_at(const void *data, int64_t i, const int PARTS) {
    return apq_at(data, (PARTS & TILE_BF16) != 0, i);
}

/* n values, i the index of the first. */
APQ_INLINE vec load_values(const void *data, int64_t i, int n,
                           const int PARTS) {
    const void *p = value_at(data, i, PARTS);
    return (PARTS & TILE_BF16) != 0 ? v_load_bf16(p, n) : load_part(p, n);
}

/* Channels [c, c + n) of the row that begins at index `row`. */
APQ_INLINE vec form_vec(const tile_source *s, int64_t row, int c, int n,
                        const int PARTS) {
    vec v = load_values(s->x, row + c, n, PARTS);
    __builtin_prefetch(value_at(s->x, row + c + AHEAD, PARTS));
    if ((PARTS & TILE_SLOPES) != 0) {
        __builtin_prefetch(value_at(s->z, row + c + AHEAD, PARTS));
        vec z = v_fma(load_part(s->slopes.by_z + c, n),
                      load_values(s->z, row + c, n, PARTS),
                      load_part(s->slopes.constant + c, n));
        v = v_fma(load_part(s->slopes.by_g + c, n), v, z);
    }
    if ((PARTS & TILE_SCALE) != 0) {
        v = v_fma(load_part(s->norm.scale + c, n), v,
                  load_part(s->norm.shift + c, n));
    }
    if ((PARTS & TILE_CLIP) != 0) {
        v = v_min(v_set(s->norm.clip), v_max(v_zero(), v));
    }
    if ((PARTS & TILE_STEP) != 0) {
        vec step = v_set(s->norm.step);
        v = v_mul(step, v_round(v_div(v, step)));
    }
    return v;
}

APQ_INLINE void rows_any(const apq_tile *tile, const tile_source *s, float *dst,
                         int64_t dst_step, int64_t dst_block, const int PARTS) {
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    int64_t row = 0;
    for (int64_t r = 0; r < tile->rows; r++) {
        float *d = dst;
        for (int c = 0; c < whole; c += VL, d += dst_block) {
            v_store(d, form_vec(s, row, c, VL, PARTS));
        }
        if (tail > 0) {
            /* Lanes beyond the channels: 0 * 0 + 0, clamped, stays 0. */
            v_store(d, form_vec(s, row, whole, tail, PARTS));
        }
        row += tile->step;
        dst += dst_step;
    }
}

/* Channels [c, c + n) of row r and the next, which is zero where there is
 * none; `row` is the index of the first value. */
APQ_INLINE void slots_vec(const apq_tile *tile, const tile_source *s,
                          const apq_slots *dst, int64_t r, int64_t row, int c,
                          int n, const int PARTS) {
    bool is_pair = r + 1 < tile->rows;
    vec first = form_vec(s, row, c, n, PARTS);
    vec second =
        is_pair ? form_vec(s, row + tile->step, c, n, PARTS) : v_zero();
    if (dst->by_row != NULL) {
        void *slots = dst->by_row;
        uint16_t *out = (uint16_t *)slots + r * dst->whole + c;
        v_store_bf16(out, VL, first);
        if (is_pair) {
            v_store_bf16(out + dst->whole, VL, second);
        }
    }
    if (dst->by_pair != NULL) {
        v_store(dst->by_pair + r / 2 * dst->whole + c, v_slots(first, second));
    }
}

APQ_INLINE void slots_any(const apq_tile *tile, const tile_source *s,
                          const apq_slots *to, const int PARTS) {
    const apq_slots dst = *to;
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    int64_t row = 0;
    for (int64_t r = 0; r < tile->rows; r += 2) {
        for (int c = 0; c < whole; c += VL) {
            slots_vec(tile, s, &dst, r, row, c, VL, PARTS);
        }
        if (tail > 0) {
            slots_vec(tile, s, &dst, r, row, whole, tail, PARTS);
        }
        row += 2 * tile->step;
    }
}

static int norm_parts(const apq_norm *norm) {
    if (norm->scale == NULL) {
        return 0;
    }
    if (!(norm->clip > 0.0F)) {
        return TILE_SCALE;
    }
    return TILE_SCALE | TILE_CLIP | (norm->step > 0.0F ? TILE_STEP : 0);
}

/* Calls run(PARTS) with a constant. */
#define FOR_FORMAT(parts, run)                                                 \
    case (parts):                                                              \
        run(parts);                                                            \
        break;                                                                 \
    case (parts) | TILE_BF16:                                                  \
        run((parts) | TILE_BF16);                                              \
        break
#define FOR_PARTS(value, run)                                                  \
    switch (value) {                                                           \
        FOR_FORMAT(0, run);                                                    \
        FOR_FORMAT(TILE_SCALE, run);                                           \
        FOR_FORMAT(TILE_SCALE | TILE_CLIP, run);                               \
        FOR_FORMAT(TILE_SCALE | TILE_CLIP | TILE_STEP, run);                   \
        FOR_FORMAT(TILE_SLOPES, run);                                          \
    default:                                                                   \
        break;                                                                 \
    }

static void form_rows(const apq_tile *tile, const tile_source *s, int parts,
                      float *dst, int64_t dst_step, int64_t dst_block) {
#define RUN(PARTS) rows_any(tile, s, dst, dst_step, dst_block, PARTS)
    FOR_PARTS(parts | (tile->is_bf16 ? TILE_BF16 : 0), RUN)
#undef RUN
}

static void form_slots(const apq_tile *tile, const tile_source *s, int parts,
                       const apq_slots *dst) {
#define RUN(PARTS) slots_any(tile, s, dst, PARTS)
    FOR_PARTS(parts | (tile->is_bf16 ? TILE_BF16 : 0), RUN)
#undef RUN
}

#undef FOR_PARTS
#undef FOR_FORMAT

static void norm_rows(const apq_tile *tile, const void *src,
                      const apq_norm *norm, float *dst, int64_t dst_step,
                      int64_t dst_block) {
    tile_source s = {.x = src, .norm = *norm};
    form_rows(tile, &s, norm_parts(norm), dst, dst_step, dst_block);
}

static void slope_rows(const apq_tile *tile, const void *g, const void *z,
                       const apq_bn_slopes *slopes, float *dst,
                       int64_t dst_step, int64_t dst_block) {
    tile_source s = {.x = g, .z = z, .slopes = *slopes};
    form_rows(tile, &s, slopes->by_g != NULL ? TILE_SLOPES : 0, dst, dst_step,
              dst_block);
}

static void norm_slots(const apq_tile *tile, const void *src,
                       const apq_norm *norm, const apq_slots *dst) {
    tile_source s = {.x = src, .norm = *norm};
    form_slots(tile, &s, norm_parts(norm), dst);
}

static void slope_slots(const apq_tile *tile, const void *g, const void *z,
                        const apq_bn_slopes *slopes, const apq_slots *dst) {
    tile_source s = {.x = g, .z = z, .slopes = *slopes};
    form_slots(tile, &s, slopes->by_g != NULL ? TILE_SLOPES : 0, dst);
}

static void round_rows(const apq_tile *tile, const float *src, uint16_t *dst,
                       int64_t dst_step) {
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    for (int64_t r = 0; r < tile->rows; r++) {
        for (int c = 0; c < whole; c += VL) {
            v_store_bf16(dst + c, VL, v_load(src + c));
        }
        if (tail > 0) {
            v_store_bf16(dst + whole, tail, v_load_n(src + whole, tail));
        }
        src += tile->step;
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

/* Returns the updated sum of what lies at or above the clip. PARTS: TILE_CLIP
 * and TILE_BF16. */
APQ_INLINE vec mask_column(const apq_tile *tile, const void *x, float *p,
                           int64_t step, int c, int n, const apq_norm *norm,
                           float *sum_g, float *sum_gx, vec over,
                           const int PARTS) {
    vec clip = v_set(norm->clip);
    vec scale = load_part(norm->scale + c, n);
    vec shift = load_part(norm->shift + c, n);
    vec mean = load_part(norm->mean + c, n);
    vec sg[2] = {v_zero(), v_zero()};
    vec sgx[2] = {v_zero(), v_zero()};
    int64_t at = c;
    p += c;
    for (int64_t r = 0; r < tile->rows; r += 2) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            if (r + i == tile->rows) {
                break;
            }
            vec g = load_part(p, n);
            vec xi = load_values(x, at, n, PARTS);
            if ((PARTS & TILE_CLIP) != 0) {
                vec v = v_fma(scale, xi, shift);
                over = v_add(over, v_and_ge(g, v, clip));
                g = v_and_between(g, v, v_zero(), clip);
                store_part(p, n, g);
            }
            sg[i] = v_add(sg[i], g);
            sgx[i] = v_fma(g, v_sub(xi, mean), sgx[i]);
            p += step;
            at += tile->step;
        }
    }
    store_part(sum_g + c, n, v_add(sg[0], sg[1]));
    store_part(sum_gx + c, n, v_add(sgx[0], sgx[1]));
    return over;
}

APQ_INLINE double mask_any(const apq_tile *tile, const void *x, float *g,
                           int64_t g_step, const apq_norm *norm, float *sum_g,
                           float *sum_gx, const int PARTS) {
    vec over = v_zero();
    int tail = tile->channels % VL;
    int whole = tile->channels - tail;
    for (int c = 0; c < whole; c += VL) {
        over = mask_column(tile, x, g, g_step, c, VL, norm, sum_g, sum_gx, over,
                           PARTS);
    }
    if (tail > 0) {
        over = mask_column(tile, x, g, g_step, whole, tail, norm, sum_g, sum_gx,
                           over, PARTS);
    }
    return (double)v_sum(over);
}

static double mask_reduce(const apq_tile *tile, const void *x, float *g,
                          int64_t g_step, const apq_norm *norm, float *sum_g,
                          float *sum_gx) {
#define RUN(PARTS) mask_any(tile, x, g, g_step, norm, sum_g, sum_gx, PARTS)
    if (tile->is_bf16) {
        return norm->clip > 0.0F ? RUN(TILE_CLIP | TILE_BF16) : RUN(TILE_BF16);
    }
    return norm->clip > 0.0F ? RUN(TILE_CLIP) : RUN(0);
#undef RUN
}
