#ifndef APQ_TESTS_BACKEND_CONV_CASE_H
#define APQ_TESTS_BACKEND_CONV_CASE_H

#include "unit/backend/cases.h"

/* Convolutions as cases: shapes, guarded tensors and calls of a backend, for
 * comparisons with ref. */

/* What a case asks for. */
enum {
    WITH_NORM = 1,
    WITH_CLIP = 2,
    WITH_STEP = 4,
    WITH_SLOPES = 8,
    WITHOUT_DW = 16,
    WITHOUT_DX = 32,
};

/* One convolution: sizes, and its shape as either kind. */
typedef struct conv {
    bool is_depthwise;
    apq_pointwise_shape pointwise;
    apq_depthwise_shape depthwise;
    int64_t in_rows, out_rows, w_rows, ldw;
    int in_channels, out_channels;
    apq_format format; /* of every backend but ref */
} conv;

/* The tensors of a case; what is written has one copy a backend. */
typedef struct tensors {
    float *x, *w, *g, *z_given;
    float *in_vectors;  /* (4, C): scale, shift, mean, inv_std */
    float *out_vectors; /* (3, K): the slopes */
    float *z, *statistics;
    float *dw, *dx, *sums;
    double clip_grad;
} tensors;

/* What an expansion in front of a depthwise convolution adds to a case. */
typedef struct expansion {
    float *x, *w;
    float *statistics; /* (2, K) and (C + C*C) */
    float *dw, *dx;
} expansion;

/* `extra` floats between the weights' channels and their leading dimension. */
conv make_pointwise(int64_t rows, int in, int out, int64_t extra);
conv make_depthwise(int n, int height, int width, int channels, int kernel,
                    int stride, int64_t extra);

apq_norm norm_of(const conv *c, const tensors *t, int flags);
/* Tensors of a bfloat16 format are rounded for the call, and back after. */
apq_status run_forward(const apq_backend *b, const conv *c, const tensors *t,
                       int flags, bool with_sums);
apq_status run_backward(const apq_backend *b, const conv *c, tensors *t,
                        int flags);
/* Statistics, forward and backward behind an expansion from `in` channels; the
 * norm between the two convolutions is that of the statistics found. */
void run_expanded(const apq_backend *b, const conv *c, tensors *t, expansion *e,
                  int in, int64_t ldw);

void open_inputs(const conv *c, tensors *t);
void open_outputs(const conv *c, tensors *t);
void close_inputs(tensors *t);
void close_outputs(tensors *t);
expansion open_expansion(const conv *c, int in, int64_t ldw);
void close_expansion(expansion *e);

#endif
