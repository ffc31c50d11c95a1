#ifndef APQ_NN_PARAMS_H
#define APQ_NN_PARAMS_H

#include "base/rng.h"
#include "base/status.h"
#include "tensor/safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Trainable tensors in three parallel flat arrays: value, gradient, momentum.
 * Tensors are added while building, then the arrays are allocated once. */
enum { APQ_PARAM_NAME_MAX = 64 };

typedef struct apq_param {
    char name[APQ_PARAM_NAME_MAX];
    int rank;
    int64_t shape[4];
    size_t offset, n; /* floats */
    bool has_decay;   /* weight decay applies */
    float rate;       /* multiplies the learning rate; 1 when added */
} apq_param;

typedef struct apq_params {
    apq_param *items;
    size_t n_items, capacity;
    size_t n_values;
    float *value, *grad, *momentum; /* NULL until apq_params_allocate */
    float *average; /* NULL but between apq_params_average_begin and _end */
} apq_params;

void apq_params_fini(apq_params *params);
/* Adds a tensor and gives its index. */
APQ_NODISCARD apq_status apq_params_add(apq_params *params, const char *name,
                                        int rank, const int64_t *shape,
                                        bool has_decay, size_t *index);
APQ_NODISCARD apq_status apq_params_allocate(apq_params *params);
float *apq_params_value(const apq_params *params, size_t index);
float *apq_params_grad(const apq_params *params, size_t index);

/* Normal with standard deviation sqrt(2 / fan): He initialisation; the
 * stream is (seed, APQ_RNG_INIT, index). */
void apq_params_init_normal(apq_params *params, size_t index, uint64_t seed,
                            double fan);
void apq_params_init_constant(apq_params *params, size_t index, float value);

void apq_params_zero_grad(apq_params *params);
/* SGD with Nesterov momentum: g += wd*w; m = mu*m + g;
 * w -= lr*rate*(g + mu*m). */
void apq_params_step(apq_params *params, double learning_rate, double momentum,
                     double weight_decay);

/* A running average kept beside the values, which it starts from, anew if it is
 * kept already. */
APQ_NODISCARD apq_status apq_params_average_begin(apq_params *params);
/* average += (1 - decay) * (value - average), 0 <= decay < 1. */
void apq_params_average_step(apq_params *params, double decay);
/* The values become the average, which is no longer kept. */
void apq_params_average_end(apq_params *params);

/* Gradients into -limit ... limit, one by one. */
void apq_params_clip_grad(apq_params *params, float limit);

bool apq_params_finite(const apq_params *params);

/* Values to and from a file and, when asked, what a training needs to go on:
 * momenta as "momentum.NAME", averages if kept as "average.NAME". */
APQ_NODISCARD apq_status apq_params_put(const apq_params *params,
                                        bool with_state, apq_tensor_file *file);
APQ_NODISCARD apq_status apq_params_get(apq_params *params, bool with_state,
                                        const apq_tensor_file *file);

#endif
