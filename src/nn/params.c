/* Named tensors in flat arrays, their initialisation, SGD and storage. */
#include "nn/params.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void apq_params_fini(apq_params *params) {
    free(params->items);
    free(params->value);
    free(params->grad);
    free(params->momentum);
    free(params->average);
    *params = (apq_params){0};
}

apq_status apq_params_add(apq_params *params, const char *name, int rank,
                          const int64_t *shape, bool has_decay, size_t *index) {
    APQ_ASSERT(params->value == NULL && rank >= 1 && rank <= 4);
    if (params->n_items == params->capacity) {
        size_t capacity = params->capacity == 0 ? 64 : 2 * params->capacity;
        apq_param *items = realloc(params->items, capacity * sizeof *items);
        if (items == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "parameters: out of memory");
        }
        params->items = items;
        params->capacity = capacity;
    }
    apq_param *p = &params->items[params->n_items];
    *p = (apq_param){.rank = rank,
                     .offset = params->n_values,
                     .n = 1,
                     .has_decay = has_decay,
                     .rate = 1.0F};
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    for (int d = 0; d < rank; d++) {
        APQ_ASSERT(shape[d] > 0);
        p->shape[d] = shape[d];
        p->n *= (size_t)shape[d];
    }
    /* 16 floats: every tensor starts on a cache line. */
    params->n_values += (p->n + 15) & ~(size_t)15;
    *index = params->n_items++;
    return APQ_OK;
}

apq_status apq_params_allocate(apq_params *params) {
    params->value = apq_calloc(params->n_values, sizeof(float));
    params->grad = apq_calloc(params->n_values, sizeof(float));
    params->momentum = apq_calloc(params->n_values, sizeof(float));
    if (params->value == NULL || params->grad == NULL ||
        params->momentum == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "parameters: out of memory for %zu values",
                 params->n_values);
    }
    return APQ_OK;
}

float *apq_params_value(const apq_params *params, size_t index) {
    return params->value + params->items[index].offset;
}

float *apq_params_grad(const apq_params *params, size_t index) {
    return params->grad + params->items[index].offset;
}

void apq_params_init_normal(apq_params *params, size_t index, uint64_t seed,
                            double fan) {
    apq_rng rng = apq_rng_make(seed, APQ_RNG_INIT, index);
    float *w = apq_params_value(params, index);
    double deviation = sqrt(2.0 / fan);
    for (size_t i = 0; i < params->items[index].n; i++) {
        w[i] = (float)(deviation * apq_rng_normal(&rng));
    }
}

void apq_params_init_constant(apq_params *params, size_t index, float value) {
    float *w = apq_params_value(params, index);
    for (size_t i = 0; i < params->items[index].n; i++) {
        w[i] = value;
    }
}

void apq_params_zero_grad(apq_params *params) {
    memset(params->grad, 0, params->n_values * sizeof(float));
}

void apq_params_step(apq_params *params, double learning_rate, double momentum,
                     double weight_decay) {
    float mu = (float)momentum;
    for (size_t t = 0; t < params->n_items; t++) {
        const apq_param *p = &params->items[t];
        float lr = (float)learning_rate * p->rate;
        float decay = p->has_decay ? (float)weight_decay : 0.0F;
        float *restrict w = params->value + p->offset;
        float *restrict m = params->momentum + p->offset;
        const float *restrict g = params->grad + p->offset;
        for (size_t i = 0; i < p->n; i++) {
            float gradient = g[i] + decay * w[i];
            m[i] = mu * m[i] + gradient;
            w[i] -= lr * (gradient + mu * m[i]);
        }
    }
}

apq_status apq_params_average_begin(apq_params *params) {
    if (params->average == NULL) {
        params->average = apq_calloc(params->n_values, sizeof(float));
    }
    if (params->average == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "parameters: out of memory for %zu averages",
                 params->n_values);
    }
    memcpy(params->average, params->value, params->n_values * sizeof(float));
    return APQ_OK;
}

void apq_params_average_step(apq_params *params, double decay) {
    float share = (float)(1.0 - decay);
    for (size_t i = 0; i < params->n_values; i++) {
        params->average[i] += share * (params->value[i] - params->average[i]);
    }
}

void apq_params_average_end(apq_params *params) {
    free(params->value);
    params->value = params->average;
    params->average = NULL;
}

void apq_params_clip_grad(apq_params *params, float limit) {
    for (size_t i = 0; i < params->n_values; i++) {
        float g = params->grad[i];
        params->grad[i] = g > limit ? limit : g < -limit ? -limit : g;
    }
}

bool apq_params_finite(const apq_params *params) {
    for (size_t i = 0; i < params->n_values; i++) {
        if (!isfinite(params->value[i])) {
            return false;
        }
    }
    return true;
}

/* An array of state under the name "KIND.NAME". */
static apq_status put_state(const apq_param *p, const char *kind,
                            const float *values, apq_tensor_file *file) {
    char name[APQ_PARAM_NAME_MAX + 16];
    (void)snprintf(name, sizeof name, "%s.%s", kind, p->name);
    return apq_tensor_file_put(file, name, APQ_F32, p->rank, p->shape,
                               values + p->offset);
}

apq_status apq_params_put(const apq_params *params, bool with_state,
                          apq_tensor_file *file) {
    for (size_t t = 0; t < params->n_items; t++) {
        const apq_param *p = &params->items[t];
        APQ_TRY(apq_tensor_file_put(file, p->name, APQ_F32, p->rank, p->shape,
                                    params->value + p->offset));
        if (with_state) {
            APQ_TRY(put_state(p, "momentum", params->momentum, file));
        }
        if (with_state && params->average != NULL) {
            APQ_TRY(put_state(p, "average", params->average, file));
        }
    }
    return APQ_OK;
}

static apq_status get_state(const apq_param *p, const char *kind,
                            const apq_tensor_file *file, float *values) {
    char name[APQ_PARAM_NAME_MAX + 16];
    const void *data;
    (void)snprintf(name, sizeof name, "%s.%s", kind, p->name);
    APQ_TRY(apq_tensor_file_get(file, name, APQ_F32, p->rank, p->shape, &data));
    memcpy(values + p->offset, data, p->n * sizeof(float));
    return APQ_OK;
}

apq_status apq_params_get(apq_params *params, bool with_state,
                          const apq_tensor_file *file) {
    for (size_t t = 0; t < params->n_items; t++) {
        const apq_param *p = &params->items[t];
        const void *data;
        APQ_TRY(apq_tensor_file_get(file, p->name, APQ_F32, p->rank, p->shape,
                                    &data));
        memcpy(params->value + p->offset, data, p->n * sizeof(float));
        if (with_state) {
            APQ_TRY(get_state(p, "momentum", file, params->momentum));
        }
        if (with_state && params->average != NULL) {
            APQ_TRY(get_state(p, "average", file, params->average));
        }
    }
    return APQ_OK;
}
