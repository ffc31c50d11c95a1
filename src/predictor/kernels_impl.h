/* All kernels of one instruction set. A kernels_<isa>.c file defines
 * KERNELS_SYMBOL and KERNELS_ISA and includes this once. The product keeps a
 * tile of sums in registers over the whole inner dimension (Goto and van de
 * Geijn 2008); every sum runs over ascending l, whatever the tile, so that a
 * value does not depend on the rows beside it. */
#include "predictor/kernels.h"

#if defined(__AVX512F__)
enum { VL = 16, TILE_ROWS = 12 };
#elif defined(__AVX2__)
enum { VL = 8, TILE_ROWS = 6 };
#else
enum { VL = 4, TILE_ROWS = 6 };
#endif
enum { TILE_VECS = 2, TILE_WIDTH = TILE_VECS * VL, GATHER_VECS = 4, DOTS = 8 };

typedef float vec __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(VL * 4), aligned(4), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vec load(const float *p) {
    return *(const vec *)(const void *)p;
}

ALWAYS_INLINE void store(float *p, vec v) {
    *(vec *)(void *)p = v;
}

/* A value that is not a number stays so, and is reported by whoever reads the
 * result. */
ALWAYS_INLINE vec relu(vec v) {
    return (vec)((mask)v & ~(mask)(v < 0.0F));
}

/* sums (rows, n_vecs * VL) of one tile; b has APQ_GEMM_WIDTH columns. All
 * arguments but k and the pointers are constants where this is inlined. */
ALWAYS_INLINE void tile(int rows, int n_vecs, int k, const float *a,
                        size_t a_row, size_t a_col, const float *b,
                        float *sums) {
    vec s[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < n_vecs; v++) {
            s[i][v] = (vec){0.0F};
        }
    }
    for (int l = 0; l < k; l++) {
        vec bv[TILE_VECS];
#pragma GCC unroll 2
        for (int v = 0; v < n_vecs; v++) {
            bv[v] = load(b + v * VL);
        }
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            float x = a[(size_t)i * a_row];
#pragma GCC unroll 2
            for (int v = 0; v < n_vecs; v++) {
                s[i][v] += x * bv[v];
            }
        }
        a += a_col;
        b += APQ_GEMM_WIDTH;
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < n_vecs; v++) {
            store(sums + i * TILE_WIDTH + v * VL, s[i][v]);
        }
    }
}

/* The common layouts of a get code of their own: rows side by side, and the
 * transpose. */
ALWAYS_INLINE void tile_of(int rows, int n_vecs, const apq_gemm_job *job,
                           int row, const float *b, float *sums) {
    const float *a = job->a + (size_t)row * job->a_row;
    if (job->a_col == 1) {
        tile(rows, n_vecs, job->k, a, job->a_row, 1, b, sums);
    } else {
        tile(rows, n_vecs, job->k, a, job->a_row, job->a_col, b, sums);
    }
}

/* As many rows as are left, in steps that a tile is compiled for; returns the
 * rows of the tile. */
ALWAYS_INLINE int tile_rows(int n_vecs, const apq_gemm_job *job, int row,
                            const float *b, float *sums) {
    int left = job->m - row;
    if (left >= TILE_ROWS) {
        tile_of(TILE_ROWS, n_vecs, job, row, b, sums);
        return TILE_ROWS;
    }
    if (left >= 4) {
        tile_of(4, n_vecs, job, row, b, sums);
        return 4;
    }
    if (left >= 2) {
        tile_of(2, n_vecs, job, row, b, sums);
        return 2;
    }
    tile_of(1, n_vecs, job, row, b, sums);
    return 1;
}

static void store_tile(const apq_gemm_job *job, int row, int rows, int column,
                       const float *sums) {
    int left = job->n - column;
    int width = left < TILE_WIDTH ? left : TILE_WIDTH;
    for (int i = 0; i < rows; i++) {
        float *c = job->c + (size_t)(row + i) * job->c_row + column;
        for (int w = 0; w < width; w++) {
            float v = sums[i * TILE_WIDTH + w];
            v += job->bias == NULL ? 0.0F : job->bias[column + w];
            c[w] = job->relu && v < 0.0F ? 0.0F : v;
        }
    }
}

static void panel(const apq_gemm_job *job, int index) {
    _Alignas(64) float sums[TILE_ROWS * TILE_WIDTH];
    int begin = index * APQ_GEMM_WIDTH;
    int end = job->n - begin < APQ_GEMM_WIDTH ? job->n : begin + APQ_GEMM_WIDTH;
    const float *b =
        job->packed + (size_t)index * (size_t)job->k * APQ_GEMM_WIDTH;
    for (int column = begin; column < end; column += TILE_WIDTH) {
        bool is_half = end - column <= VL;
        const float *columns = b + (column - begin);
        for (int row = 0; row < job->m;) {
            int rows = is_half ? tile_rows(1, job, row, columns, sums)
                               : tile_rows(TILE_VECS, job, row, columns, sums);
            store_tile(job, row, rows, column, sums);
            row += rows;
        }
    }
}

/* n_vecs vectors of columns from `at`; even and odd rows are summed apart,
 * which halves the wait for sums to complete. */
ALWAYS_INLINE void gather_vecs(const apq_gather_job *job, size_t at,
                               int n_vecs) {
    vec even[GATHER_VECS], odd[GATHER_VECS];
    const float *table = job->table + at;
    const float *row;
#pragma GCC unroll 4
    for (int v = 0; v < n_vecs; v++) {
        even[v] = load(job->start + at + v * VL);
        odd[v] = (vec){0.0F};
    }
    int k = 0;
    for (; k + 2 <= job->n_rows; k += 2) {
        row = table + (size_t)(job->rows[k] - job->first_row) * job->stride;
#pragma GCC unroll 4
        for (int v = 0; v < n_vecs; v++) {
            even[v] += load(row + v * VL);
        }
        row = table + (size_t)(job->rows[k + 1] - job->first_row) * job->stride;
#pragma GCC unroll 4
        for (int v = 0; v < n_vecs; v++) {
            odd[v] += load(row + v * VL);
        }
    }
    if (k < job->n_rows) {
        row = table + (size_t)(job->rows[k] - job->first_row) * job->stride;
#pragma GCC unroll 4
        for (int v = 0; v < n_vecs; v++) {
            even[v] += load(row + v * VL);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < n_vecs; v++) {
        float *out = job->out + at + v * VL;
        vec sum = even[v] + odd[v];
        if (job->relu) {
            sum = relu(sum);
        }
        if (job->is_added) {
            sum += load(out);
        }
        store(out, sum);
    }
}

static void gather_column(const apq_gather_job *job, size_t at) {
    float sum[2] = {job->start[at], 0.0F};
    for (int k = 0; k < job->n_rows; k++) {
        size_t row = (size_t)(job->rows[k] - job->first_row);
        sum[k % 2] += job->table[row * job->stride + at];
    }
    float value = sum[0] + sum[1];
    value = job->relu && value < 0.0F ? 0.0F : value;
    job->out[at] = job->is_added ? job->out[at] + value : value;
}

static void gather(const apq_gather_job *job) {
    size_t at = 0;
    for (; at + GATHER_VECS * VL <= job->n; at += GATHER_VECS * VL) {
        gather_vecs(job, at, GATHER_VECS);
    }
    for (; at + VL <= job->n; at += VL) {
        gather_vecs(job, at, 1);
    }
    for (; at < job->n; at++) {
        gather_column(job, at);
    }
}

static double dot(double start, const float *a, const float *b, size_t n) {
    double sums[DOTS] = {0.0};
    size_t at = 0;
    for (; at + DOTS <= n; at += DOTS) {
        for (size_t i = 0; i < DOTS; i++) {
            sums[i] += (double)a[at + i] * (double)b[at + i];
        }
    }
    for (; at < n; at++) {
        sums[0] += (double)a[at] * (double)b[at];
    }
    for (size_t i = 0; i < DOTS; i++) {
        start += sums[i];
    }
    return start;
}

const apq_mlp_kernels KERNELS_SYMBOL = {
    .isa = KERNELS_ISA,
    .panel = panel,
    .gather = gather,
    .dot = dot,
};
