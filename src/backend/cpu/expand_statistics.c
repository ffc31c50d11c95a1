/* Statistics of an expansion's output from those of its narrower input:
 * mean = w mean(x), variance = diag(w cov(x) w^T). */
#include "backend/cpu/cpu.h"

#include "backend/check.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/product.h"

#include <omp.h>
#include <string.h>

enum {
    BLOCK = 192,       /* rows of a tile */
    SHIFT_ROWS = 64,   /* rows sampled for the shift */
    PARALLEL = 1 << 15 /* floats: below, waking threads costs more */
};

typedef struct moments {
    const apq_cpu_kernels *kernels;
    const float *x;
    int64_t rows;
    int n;         /* channels */
    int64_t whole; /* rounded up to whole vectors */
    int n_threads;
    float *shift;             /* (C): about which is summed */
    float *unit, *minus;      /* (C): 1 and -shift, a norm */
    float *zero;              /* (C) */
    float *tiles;             /* (threads, BLOCK + C + 1, whole C) */
    double *totals;           /* (threads, C + C*C): of x - shift */
    int64_t tile, per_thread; /* floats, doubles */
} moments;

/* A rough mean from rows spread over x: sums of x minus it lose no digits to
 * a large mean. */
static void sample_shift(const moments *m) {
    int64_t count = m->rows < SHIFT_ROWS ? m->rows : SHIFT_ROWS;
    memset(m->shift, 0, (size_t)m->n * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        const float *row = m->x + i * m->rows / count * m->n;
        for (int c = 0; c < m->n; c++) {
            m->shift[c] += row[c] / (float)count;
        }
    }
    for (int c = 0; c < m->n; c++) {
        m->unit[c] = 1.0F;
        m->minus[c] = -m->shift[c];
        m->zero[c] = 0.0F;
    }
}

static void add_block(const moments *m, int thread, int64_t first,
                      int64_t rows) {
    float *tile = m->tiles + thread * m->tile;
    float *products = tile + BLOCK * m->whole;
    double *total = m->totals + thread * m->per_thread;
    apq_tile in = {rows, m->n, m->n, false};
    apq_norm shifted = {.scale = m->unit, .shift = m->minus};
    m->kernels->norm_rows(&in, m->x + first * m->n, &shifted, tile, m->whole,
                          m->kernels->lanes);
    apq_product_run(m->kernels, &(apq_product){
                                    .is_a_transposed = true,
                                    .m = m->n,
                                    .n = m->n,
                                    .depth = rows,
                                    .a = tile,
                                    .a_step = m->whole,
                                    .b = tile,
                                    .b_step = m->whole,
                                    .c = products,
                                    .c_step = m->whole,
                                });
    for (int i = 0; i < m->n; i++) {
        for (int c = 0; c < m->n; c++) {
            total[m->n + i * m->n + c] += (double)products[i * m->whole + c];
        }
    }
    /* The squares, which the product has too, are not looked at. */
    apq_tile summed = {rows, m->n, m->whole, false};
    m->kernels->column_sums(&summed, tile, m->zero, products,
                            products + m->whole);
    for (int c = 0; c < m->n; c++) {
        total[c] += (double)products[c];
    }
}

/* out (C + C*C): mean and covariance. The totals of thread 0 become those of
 * all threads, added in their order. */
static void join(const moments *m, float *out) {
    for (int t = 1; t < m->n_threads; t++) {
        for (int64_t i = 0; i < m->n + (int64_t)m->n * m->n; i++) {
            m->totals[i] += m->totals[t * m->per_thread + i];
        }
    }
    double count = (double)m->rows;
    for (int i = 0; i < m->n; i++) {
        double d = m->totals[i] / count;
        out[i] = (float)((double)m->shift[i] + d);
        for (int c = 0; c < m->n; c++) {
            out[m->n + i * m->n + c] =
                (float)(m->totals[m->n + i * m->n + c] / count -
                        d * m->totals[c] / count);
        }
    }
}

static apq_status find_moments(moments *m, float *out, apq_arena *arena) {
    int64_t n_blocks = (m->rows + BLOCK - 1) / BLOCK;
    int64_t n_threads = m->rows * m->n < PARALLEL ? 1 : omp_get_max_threads();
    m->n_threads = (int)(n_blocks < n_threads ? n_blocks : n_threads);
    m->tile = (BLOCK + m->n + 1) * m->whole;
    m->per_thread = (m->n + (int64_t)m->n * m->n + 7) / 8 * 8;
    float *totals;
    APQ_TRY(apq_cpu_take(arena, m->n, &m->shift));
    APQ_TRY(apq_cpu_take(arena, m->n, &m->unit));
    APQ_TRY(apq_cpu_take(arena, m->n, &m->minus));
    APQ_TRY(apq_cpu_take(arena, m->n, &m->zero));
    APQ_TRY(apq_cpu_take(arena, m->n_threads * m->tile, &m->tiles));
    APQ_TRY(apq_cpu_take(arena, 2 * m->n_threads * m->per_thread, &totals));
    void *doubles = totals;
    m->totals = doubles;
    memset(totals, 0, (size_t)(m->n_threads * m->per_thread) * sizeof(double));
    sample_shift(m);
#pragma omp parallel num_threads(m->n_threads) if (m->n_threads > 1)
    {
        int thread = omp_get_thread_num();
        int granted = omp_get_num_threads();
        int64_t last = n_blocks * (thread + 1) / granted;
        for (int64_t i = n_blocks * thread / granted; i < last; i++) {
            int64_t left = m->rows - i * BLOCK;
            add_block(m, thread, i * BLOCK, left < BLOCK ? left : BLOCK);
        }
    }
    join(m, out);
    return APQ_OK;
}

static apq_status run(const apq_pointwise_shape *shape, const float *x,
                      const float *w, float *mean, float *variance, float *out,
                      apq_arena *arena) {
    moments m = {
        .kernels = apq_cpu_kernels_get(),
        .x = x,
        .rows = shape->rows,
        .n = shape->in_channels,
    };
    m.whole = apq_whole(m.kernels, m.n);
    APQ_TRY(find_moments(&m, out, arena));
    const float *covariance = out + m.n;
    float *row;
    APQ_TRY(apq_cpu_take(arena, m.n, &row));
    for (int k = 0; k < shape->out_channels; k++) {
        const float *wk = w + k * shape->ldw;
        memset(row, 0, (size_t)m.n * sizeof(float));
        double sum = 0.0;
        for (int i = 0; i < m.n; i++) {
            sum += (double)wk[i] * (double)out[i];
            for (int c = 0; c < m.n; c++) {
                row[c] += wk[i] * covariance[i * m.n + c];
            }
        }
        double square = 0.0;
        for (int c = 0; c < m.n; c++) {
            square += (double)row[c] * (double)wk[c];
        }
        mean[k] = (float)sum;
        /* Written so that a NaN stays one. */
        variance[k] = square < 0.0 ? 0.0F : (float)square;
    }
    return APQ_OK;
}

apq_status apq_cpu_expand_statistics(const apq_pointwise_shape *shape,
                                     const float *x, const float *w,
                                     float *mean, float *variance,
                                     float *moments_out, apq_arena *arena) {
    APQ_TRY(apq_check_pointwise(shape));
    APQ_TRY(apq_check_rows(shape->rows, shape->in_channels));
    apq_arena_mark mark = apq_arena_position(arena);
    apq_status st = run(shape, x, w, mean, variance, moments_out, arena);
    apq_arena_rewind(arena, mark);
    return st;
}
