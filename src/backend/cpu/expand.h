#ifndef APQ_BACKEND_CPU_EXPAND_H
#define APQ_BACKEND_CPU_EXPAND_H

#include "backend/cpu/kernels.h"

/* The expansion inside the depthwise operators. Its output is made for one
 * image and one group of channels at a time, in cache. Backward needs sums
 * over the whole batch before the gradient dz of that output is known, but
 *   dz = a*g + b*(z - mean) + c   per channel, z = w x,
 * is linear: the part of g goes through both products image by image, with a
 * = norm.scale known before; the rest follows from the covariance of x. */
typedef struct apq_expansion {
    const apq_cpu_kernels *kernels;
    const apq_expand *args; /* x NULL: no expansion */
    const apq_norm *norm;
    bool is_bf16;     /* precision of the products */
    int channels;     /* K */
    int group_width;  /* channels of a group, whole vectors */
    int64_t pixels;   /* of an image */
    float *w;         /* packed for z, a group after the other */
    float *w_back;    /* packed a*w for dx, likewise; backward only */
    int64_t gradient; /* floats of one thread's gradients */
    float *gradients; /* (threads, C, whole K): of w, transposed, by g */
    /* bfloat16: slots of an image's input and of a group's gradient. */
    int64_t x_slots, g_slots; /* floats of one thread */
    float *slots;             /* (threads, x_slots + g_slots) */
} apq_expansion;

/* Packs the weights; backward also those of dx and makes room for the
 * gradients of n_threads. Without an expansion nothing is done. */
APQ_NODISCARD apq_status apq_expansion_open(apq_expansion *e, bool is_backward,
                                            int n_threads, apq_arena *arena);

/* tile (pixels, group_width) = what is made of an image for the group that
 * begins at channel `first`; the groups of an image in their order. */
void apq_expansion_make(const apq_expansion *e, int thread, int image,
                        int first, float *tile);
/* Passes g (pixels, group_width), masked, of that group through the products:
 * dx of the image and the thread's gradients. */
void apq_expansion_back(const apq_expansion *e, int thread, int image,
                        int first, const float *g, float *dx);
/* What needs the sums over all rows: completes dx (rows, C) and adds to
 * args->dw. */
APQ_NODISCARD apq_status apq_expansion_close(const apq_expansion *e,
                                             int64_t rows, int n_threads,
                                             const float *sum_g,
                                             const float *sum_gx, float *dx,
                                             apq_arena *arena);

#endif
