/* The expansion inside the depthwise operators: its products on one image, and
 * what follows from the sums over all of them (see expand.h; ours, from the
 * gradient of batch norm and z = w x). */
#include "backend/cpu/expand.h"

#include "backend/cpu/product.h"

#include <omp.h>
#include <string.h>

/* Channels of the group that begins at channel `first`. */
static int width_of(const apq_expansion *e, int first) {
    int left = e->channels - first;
    return left < e->group_width ? left : e->group_width;
}

static apq_status open_backward(apq_expansion *e, int n_threads,
                                apq_arena *arena) {
    const apq_expand *a = e->args;
    int64_t whole_c = apq_whole(e->kernels, a->in_channels);
    e->gradient = a->in_channels * apq_whole(e->kernels, e->channels);
    float *scaled;
    APQ_TRY(apq_cpu_take(arena, e->channels * whole_c, &e->w_back));
    APQ_TRY(apq_cpu_take(arena, n_threads * e->gradient, &e->gradients));
    APQ_TRY(
        apq_cpu_take(arena, (int64_t)e->channels * a->in_channels, &scaled));
    memset(e->gradients, 0, (size_t)(n_threads * e->gradient) * sizeof(float));
    for (int k = 0; k < e->channels; k++) {
        for (int c = 0; c < a->in_channels; c++) {
            scaled[k * a->in_channels + c] =
                e->norm->scale[k] * a->w[k * a->ldw + c];
        }
    }
    for (int k = 0; k < e->channels; k += e->group_width) {
        apq_product_pack(e->kernels, e->is_bf16, width_of(e, k), a->in_channels,
                         scaled + (int64_t)k * a->in_channels, a->in_channels,
                         1, e->w_back + apq_steps(e->is_bf16, k) * whole_c);
    }
    return APQ_OK;
}

apq_status apq_expansion_open(apq_expansion *e, bool is_backward, int n_threads,
                              apq_arena *arena) {
    const apq_expand *a = e->args;
    if (a->x == NULL) {
        return APQ_OK;
    }
    APQ_TRY(apq_cpu_take(
        arena, a->in_channels * apq_whole(e->kernels, e->channels), &e->w));
    for (int k = 0; k < e->channels; k += e->group_width) {
        apq_product_pack(e->kernels, e->is_bf16, a->in_channels, width_of(e, k),
                         a->w + k * a->ldw, 1, a->ldw,
                         e->w + k * apq_steps(e->is_bf16, a->in_channels));
    }
    if (e->is_bf16) {
        /* By row and by pair, the pixels rounded up to pairs. */
        e->x_slots = (e->pixels + 1) * apq_whole(e->kernels, a->in_channels);
        e->g_slots = is_backward ? (e->pixels + 1) * e->group_width : 0;
        APQ_TRY(apq_cpu_take(arena, n_threads * (e->x_slots + e->g_slots),
                             &e->slots));
    }
    return is_backward ? open_backward(e, n_threads, arena) : APQ_OK;
}

/* Both forms of a tile of slots, `whole` channels wide. */
static apq_slots slots_at(const apq_expansion *e, float *memory,
                          int64_t whole) {
    return (apq_slots){memory, memory + e->pixels * whole / 2, whole};
}

static apq_slots input_slots(const apq_expansion *e, int thread) {
    return slots_at(e, e->slots + thread * (e->x_slots + e->g_slots),
                    apq_whole(e->kernels, e->args->in_channels));
}

void apq_expansion_make(const apq_expansion *e, int thread, int image,
                        int first, float *tile) {
    int channels = e->args->in_channels;
    const float *x = e->args->x + image * e->pixels * channels;
    apq_product product = {
        .is_bf16 = e->is_bf16,
        .is_b_packed = true,
        .m = e->pixels,
        .n = width_of(e, first),
        .depth = apq_steps(e->is_bf16, channels),
        .a = x,
        .a_step = channels,
        .b = e->w + first * apq_steps(e->is_bf16, channels),
        .c = tile,
        .c_step = e->group_width,
    };
    if (e->is_bf16) {
        apq_slots slots = input_slots(e, thread);
        if (first == 0) {
            apq_tile rows = {e->pixels, channels, channels, false};
            e->kernels->norm_slots(&rows, x, &(apq_norm){0}, &slots);
        }
        product.a = slots.by_row;
        product.a_step = slots.whole / 2;
    }
    apq_product_run(e->kernels, &product);
}

void apq_expansion_back(const apq_expansion *e, int thread, int image,
                        int first, const float *g, float *dx) {
    int channels = e->args->in_channels;
    int width = width_of(e, first);
    int64_t whole_k = apq_whole(e->kernels, e->channels);
    int64_t offset = image * e->pixels * channels;
    apq_product to_dx = {
        .is_bf16 = e->is_bf16,
        .is_b_packed = true,
        .is_added = first > 0,
        .m = e->pixels,
        .n = channels,
        .depth = apq_steps(e->is_bf16, width),
        .a = g,
        .a_step = e->group_width,
        .b = e->w_back +
             apq_steps(e->is_bf16, first) * apq_whole(e->kernels, channels),
        .c = dx + offset,
        .c_step = channels,
    };
    apq_product to_dw = {
        .is_bf16 = e->is_bf16,
        .is_a_transposed = true,
        .is_added = true,
        .m = channels,
        .n = width,
        .depth = apq_steps(e->is_bf16, e->pixels),
        .a = e->args->x + offset,
        .a_step = channels,
        .b = g,
        .b_step = e->group_width,
        .c = e->gradients + thread * e->gradient + first,
        .c_step = whole_k,
    };
    if (e->is_bf16) {
        apq_slots x = input_slots(e, thread);
        apq_slots gradient = slots_at(e, x.by_row + e->x_slots, e->group_width);
        apq_tile rows = {e->pixels, width, e->group_width, false};
        e->kernels->norm_slots(&rows, g, &(apq_norm){0}, &gradient);
        to_dx.a = gradient.by_row;
        to_dx.a_step = gradient.whole / 2;
        to_dw.a = x.by_pair;
        to_dw.a_step = x.whole;
        to_dw.b = gradient.by_pair;
    }
    apq_product_run(e->kernels, &to_dx);
    apq_product_run(e->kernels, &to_dw);
}

/* The remaining terms: dz = a*g + b*(z - mean) + c. */
typedef struct rest {
    float *b, *c;       /* (K) */
    float *covariances; /* (C): w times the covariance of x, one row */
    float *matrix;      /* (C, whole C): w^T diag(b) w */
    float *vector;      /* (C): added to every row of dx */
} rest;

static void find_rest(const apq_expansion *e, int64_t rows, const float *sum_g,
                      const float *sum_gx, const rest *r) {
    const apq_expand *a = e->args;
    int n = a->in_channels;
    int64_t whole = apq_whole(e->kernels, n);
    const float *mean = a->moments;
    for (int k = 0; k < e->channels; k++) {
        double scale = (double)e->norm->scale[k] / (double)rows;
        r->b[k] =
            (float)(-scale * (double)sum_gx[k] * (double)e->norm->inv_std[k]);
        r->c[k] = (float)(-scale * (double)sum_g[k]);
    }
    memset(r->matrix, 0, (size_t)(n * whole) * sizeof(float));
    memset(r->vector, 0, (size_t)n * sizeof(float));
    for (int k = 0; k < e->channels; k++) {
        const float *w = a->w + k * a->ldw;
        for (int i = 0; i < n; i++) {
            float left = r->b[k] * w[i];
            for (int j = 0; j < n; j++) {
                r->matrix[i * whole + j] += left * w[j];
            }
            r->vector[i] += r->c[k] * w[i];
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            r->vector[j] -= mean[i] * r->matrix[i * whole + j];
        }
    }
}

/* dx += x matrix + vector. */
static void complete_input(const apq_expansion *e, int64_t rows, const rest *r,
                           const float *packed, float *dx) {
    enum { BLOCK = 192 };
    int n = e->args->in_channels;
    int64_t n_blocks = (rows + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n_blocks; i++) {
        int64_t first = i * BLOCK;
        int64_t count = rows - first < BLOCK ? rows - first : BLOCK;
        float *out = dx + first * n;
        apq_product_run(e->kernels, &(apq_product){
                                        .is_b_packed = true,
                                        .is_added = true,
                                        .m = count,
                                        .n = n,
                                        .depth = n,
                                        .a = e->args->x + first * n,
                                        .a_step = n,
                                        .b = packed,
                                        .c = out,
                                        .c_step = n,
                                    });
        for (int64_t p = 0; p < count; p++, out += n) {
            for (int c = 0; c < n; c++) {
                out[c] += r->vector[c];
            }
        }
    }
}

/* dw += a * (sum of g x^T) + rows * (b * (w covariance) + c * mean). */
static void add_weight_gradient(const apq_expansion *e, int64_t rows,
                                int n_threads, const rest *r) {
    const apq_expand *a = e->args;
    int n = a->in_channels;
    int64_t whole_k = apq_whole(e->kernels, e->channels);
    const float *covariance = a->moments + n;
    float count = (float)rows;
    for (int k = 0; k < e->channels; k++) {
        float *dw = a->dw + k * a->lddw;
        float *row = r->covariances;
        memset(row, 0, (size_t)n * sizeof(float));
        for (int i = 0; i < n; i++) {
            float w = a->w[k * a->ldw + i];
            for (int c = 0; c < n; c++) {
                row[c] += w * covariance[i * n + c];
            }
        }
        for (int c = 0; c < n; c++) {
            float sum = 0.0F;
            for (int t = 0; t < n_threads; t++) {
                sum += e->gradients[t * e->gradient + c * whole_k + k];
            }
            dw[c] += e->norm->scale[k] * sum +
                     count * (r->b[k] * row[c] + r->c[k] * a->moments[c]);
        }
    }
}

apq_status apq_expansion_close(const apq_expansion *e, int64_t rows,
                               int n_threads, const float *sum_g,
                               const float *sum_gx, float *dx,
                               apq_arena *arena) {
    int n = e->args->in_channels;
    int64_t whole = apq_whole(e->kernels, n);
    rest r;
    float *packed;
    APQ_TRY(apq_cpu_take(arena, e->channels, &r.b));
    APQ_TRY(apq_cpu_take(arena, e->channels, &r.c));
    APQ_TRY(apq_cpu_take(arena, n, &r.covariances));
    APQ_TRY(apq_cpu_take(arena, n * whole, &r.matrix));
    APQ_TRY(apq_cpu_take(arena, n, &r.vector));
    APQ_TRY(apq_cpu_take(arena, n * whole, &packed));
    find_rest(e, rows, sum_g, sum_gx, &r);
    if (e->args->dw != NULL) {
        add_weight_gradient(e, rows, n_threads, &r);
    }
    apq_product_pack(e->kernels, false, n, n, r.matrix, whole, 1, packed);
    complete_input(e, rows, &r, packed, dx);
    return APQ_OK;
}
