/* Sums per channel. Values are summed about a shift that each thread takes
 * from its first tile, so a large mean costs no digits; the threads' means and
 * squares are joined by the update of Chan, Golub & LeVeque 1979. */
#include "backend/cpu/sums.h"

#include <string.h>

/* A thread's part of the workspace. */
typedef struct part {
    double *total[2]; /* (C): of values and squares, or of g and g*x */
    double *count;    /* (C): values added */
    double *over;     /* (1) */
    float *shift;     /* (C) */
    float *tile[2];   /* (C): of the current tile */
} part;

static int64_t rounded(int channels) {
    return ((int64_t)channels + 15) / 16 * 16;
}

int64_t apq_sums_floats(int n_threads, int channels) {
    /* Three double rows, three float rows, one cache line. */
    return n_threads * (9 * rounded(channels) + 16);
}

apq_sums apq_sums_make(const apq_cpu_kernels *kernels, int n_threads,
                       int channels, float *memory) {
    apq_sums sums = {
        .kernels = kernels,
        .n_threads = n_threads,
        .channels = channels,
        .per_thread = apq_sums_floats(1, channels),
        .memory = memory,
    };
    memset(memory, 0, (size_t)(n_threads * sums.per_thread) * sizeof(*memory));
    return sums;
}

static part part_of(const apq_sums *sums, int thread) {
    int64_t c = rounded(sums->channels);
    void *memory = sums->memory + thread * sums->per_thread;
    double *doubles = memory;
    void *rest = doubles + 3 * c + 8;
    float *floats = rest;
    return (part){
        .total = {doubles, doubles + c},
        .count = doubles + 2 * c,
        .over = doubles + 3 * c,
        .shift = floats,
        .tile = {floats + c, floats + 2 * c},
    };
}

static void add_tile(const part *p, const apq_tile *tile, int first) {
    for (int c = first; c < first + tile->channels; c++) {
        p->total[0][c] += (double)p->tile[0][c];
        p->total[1][c] += (double)p->tile[1][c];
    }
}

void apq_sums_add(const apq_sums *sums, int thread, const apq_tile *tile,
                  int first, const float *x) {
    part p = part_of(sums, thread);
    float *sum = p.tile[0] + first;
    float *square = p.tile[1] + first;
    float *shift = p.shift + first;
    if (p.count[first] <= 0.0) {
        sums->kernels->column_sums(tile, x, shift, sum, square);
        for (int c = 0; c < tile->channels; c++) {
            shift[c] = sum[c] / (float)tile->rows;
        }
    }
    sums->kernels->column_sums(tile, x, shift, sum, square);
    add_tile(&p, tile, first);
    for (int c = first; c < first + tile->channels; c++) {
        p.count[c] += (double)tile->rows;
    }
}

void apq_sums_mask(const apq_sums *sums, int thread, const apq_tile *tile,
                   int first, const void *x, float *g, int64_t g_step,
                   const apq_norm *norm) {
    part p = part_of(sums, thread);
    *p.over += sums->kernels->mask_reduce(tile, x, g, g_step, norm,
                                          p.tile[0] + first, p.tile[1] + first);
    add_tile(&p, tile, first);
}

void apq_sums_statistics(const apq_sums *sums, float *mean, float *variance) {
    for (int c = 0; c < sums->channels; c++) {
        double n = 0.0;
        double m = 0.0;
        double squares = 0.0;
        for (int t = 0; t < sums->n_threads; t++) {
            part p = part_of(sums, t);
            double more = p.count[c];
            if (more <= 0.0) {
                continue;
            }
            double d = p.total[0][c] / more;
            double delta = (double)p.shift[c] + d - m;
            squares += p.total[1][c] - more * d * d +
                       delta * delta * n * more / (n + more);
            m += delta * more / (n + more);
            n += more;
        }
        mean[c] = (float)m;
        /* Written so that a NaN stays one. */
        variance[c] = squares < 0.0 ? 0.0F : (float)(squares / n);
    }
}

void apq_sums_gradient(const apq_sums *sums, const float *inv_std, float *sum_g,
                       float *sum_gx, double *clip_grad) {
    *clip_grad = 0.0;
    for (int t = 0; t < sums->n_threads; t++) {
        *clip_grad += *part_of(sums, t).over;
    }
    for (int c = 0; c < sums->channels; c++) {
        double g = 0.0;
        double gx = 0.0;
        for (int t = 0; t < sums->n_threads; t++) {
            part p = part_of(sums, t);
            g += p.total[0][c];
            gx += p.total[1][c];
        }
        sum_g[c] = (float)g;
        sum_gx[c] = (float)(gx * (double)inv_std[c]);
    }
}
