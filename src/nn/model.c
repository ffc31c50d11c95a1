/* A stand-alone network: parameters named after the layers of its ir. */
#include "nn/model.h"

#include "nn/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static apq_status add(apq_params *params, const char *layer, const char *what,
                      int rank, const int64_t *shape, bool has_decay,
                      size_t *index) {
    char name[APQ_PARAM_NAME_MAX];
    (void)snprintf(name, sizeof name, "%.40s.%s", layer, what);
    return apq_params_add(params, name, rank, shape, has_decay, index);
}

static apq_status add_layer(apq_model *model, size_t i) {
    const apq_ir_layer *l = &model->ir.layers[i];
    apq_params *p = &model->params;
    int64_t taps = (int64_t)l->kernel * l->kernel;
    int64_t channels = l->out_channels;
    int64_t shape[2] = {l->out_channels, taps * l->in_channels};
    if (l->kind == APQ_IR_DEPTHWISE) {
        shape[0] = taps;
        shape[1] = l->in_channels;
    }
    APQ_TRY(add(p, l->name, "weight", 2, shape, true, &model->weight[i]));
    if (model->quantiser == APQ_QUANTISER_LSQ) {
        APQ_TRY(add(p, l->name, "weight_step", 1, &channels, false,
                    &model->weight_step[i]));
    }
    if (l->kind == APQ_IR_LINEAR) {
        return add(p, l->name, "bias", 1, &channels, false, &model->gamma[i]);
    }
    APQ_TRY(add(p, l->name, "gamma", 1, &channels, false, &model->gamma[i]));
    return add(p, l->name, "beta", 1, &channels, false, &model->beta[i]);
}

static apq_status build(apq_model *model) {
    for (size_t i = 0; i < model->ir.n_layers; i++) {
        APQ_TRY(add_layer(model, i));
    }
    int64_t n_layers = (int64_t)model->ir.n_layers;
    APQ_TRY(apq_params_add(&model->params, "act_range", 1, &n_layers, false,
                           &model->act_range));
    APQ_TRY(apq_params_allocate(&model->params));
    for (size_t i = 0; i < model->ir.n_layers; i++) {
        if (model->ir.layers[i].kind != APQ_IR_LINEAR) {
            apq_params_init_constant(&model->params, model->gamma[i], 1.0F);
        }
        if (model->quantiser == APQ_QUANTISER_LSQ) {
            apq_params_init_constant(&model->params, model->weight_step[i],
                                     1.0F);
        }
    }
    apq_params_init_constant(&model->params, model->act_range, 6.0F);
    return APQ_OK;
}

apq_status apq_model_create(const apq_ir_network *network, int image_channels,
                            apq_quantiser quantiser, apq_model **out) {
    apq_model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "model: out of memory");
    }
    model->ir = *network;
    model->image_channels = image_channels;
    model->quantiser = quantiser;
    apq_status st = build(model);
    if (st != APQ_OK) {
        apq_model_destroy(model);
        return st;
    }
    *out = model;
    return APQ_OK;
}

void apq_model_destroy(apq_model *model) {
    if (model != NULL) {
        apq_params_fini(&model->params);
        free(model);
    }
}

apq_status apq_model_bind(apq_model *model, const apq_backend *backend,
                          apq_arena *arena, apq_nn_net *net) {
    APQ_TRY(apq_nn_net_init(net, backend, arena, &model->ir,
                            model->image_channels));
    net->quantiser = model->quantiser;
    net->is_quantised = model->has_steps;
    net->has_float_streams = model->has_steps;
    const apq_params *p = &model->params;
    for (size_t i = 0; i < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        l->w = apq_params_value(p, model->weight[i]);
        l->dw = apq_params_grad(p, model->weight[i]);
        l->ldw = p->items[model->weight[i]].shape[1];
        if (l->ir.kind == APQ_IR_LINEAR) {
            l->bias = apq_params_value(p, model->gamma[i]);
            l->dbias = apq_params_grad(p, model->gamma[i]);
            continue;
        }
        l->gamma = apq_params_value(p, model->gamma[i]);
        l->dgamma = apq_params_grad(p, model->gamma[i]);
        l->beta = apq_params_value(p, model->beta[i]);
        l->dbeta = apq_params_grad(p, model->beta[i]);
    }
    apq_model_pull_ranges(model, net);
    return APQ_OK;
}

/* The steps of layer i among the parameters; none without LSQ. */
static int n_steps(const apq_model *model, size_t i) {
    return model->quantiser == APQ_QUANTISER_LSQ
               ? model->ir.layers[i].out_channels
               : 0;
}

void apq_model_push_range_grads(apq_model *model, apq_nn_net *net) {
    float *grad = apq_params_grad(&model->params, model->act_range);
    for (size_t i = 0; i < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        grad[i] += (float)l->act_range_grad;
        l->act_range_grad = 0;
        for (int k = 0; k < n_steps(model, i); k++) {
            apq_params_grad(&model->params, model->weight_step[i])[k] +=
                l->weight_step_grad[k];
            l->weight_step_grad[k] = 0;
        }
    }
}

void apq_model_pull_ranges(apq_model *model, apq_nn_net *net) {
    float *range = apq_params_value(&model->params, model->act_range);
    for (size_t i = 0; i < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        bool is_low =
            range[i] < APQ_SMALLEST_RANGE && !apq_nn_has_frozen_range(net, i);
        range[i] = is_low ? APQ_SMALLEST_RANGE : range[i];
        l->act_range = range[i];
        for (int k = 0; k < n_steps(model, i); k++) {
            float *step =
                apq_params_value(&model->params, model->weight_step[i]) + k;
            *step = *step < APQ_SMALLEST_STEP ? APQ_SMALLEST_STEP : *step;
            l->weight_step[k] = *step;
        }
    }
}

void apq_model_store_ranges(apq_model *model, const apq_nn_net *net) {
    float *range = apq_params_value(&model->params, model->act_range);
    for (size_t i = 0; i < net->n_layers; i++) {
        const apq_nn_layer *l = &net->layers[i];
        range[i] = l->act_range;
        for (int k = 0; k < n_steps(model, i); k++) {
            apq_params_value(&model->params, model->weight_step[i])[k] =
                l->weight_step[k];
        }
    }
}

static void statistics_name(char out[APQ_PARAM_NAME_MAX], const apq_nn_layer *l,
                            const char *what) {
    (void)snprintf(out, APQ_PARAM_NAME_MAX, "%.40s.%s", l->ir.name, what);
}

apq_status apq_model_put(const apq_model *model, const apq_nn_net *net,
                         bool with_momentum, apq_tensor_file *file) {
    APQ_TRY(apq_params_put(&model->params, with_momentum, file));
    float clips[APQ_IR_MAX_LAYERS], ranges[APQ_IR_MAX_LAYERS];
    int64_t n_layers = (int64_t)net->n_layers;
    for (size_t i = 0; i < net->n_layers; i++) {
        const apq_nn_layer *l = &net->layers[i];
        clips[i] = l->weight_clip;
        ranges[i] = l->out_range;
        char name[APQ_PARAM_NAME_MAX];
        int64_t channels = l->ir.out_channels;
        statistics_name(name, l, "mean");
        APQ_TRY(
            apq_tensor_file_put(file, name, APQ_F32, 1, &channels, l->mean));
        statistics_name(name, l, "variance");
        APQ_TRY(apq_tensor_file_put(file, name, APQ_F32, 1, &channels,
                                    l->variance));
    }
    APQ_TRY(
        apq_tensor_file_put(file, "out_range", APQ_F32, 1, &n_layers, ranges));
    if (model->quantiser == APQ_QUANTISER_LSQ) {
        return apq_tensor_file_put_meta(file, "quantiser", "lsq");
    }
    return apq_tensor_file_put(file, "weight_clip", APQ_F32, 1, &n_layers,
                               clips);
}

static apq_status get_clips(apq_nn_net *net, const apq_tensor_file *file) {
    int64_t n_layers = (int64_t)net->n_layers;
    const void *clips;
    APQ_TRY(apq_tensor_file_get(file, "weight_clip", APQ_F32, 1, &n_layers,
                                &clips));
    for (size_t i = 0; i < net->n_layers; i++) {
        net->layers[i].weight_clip = ((const float *)clips)[i];
    }
    return APQ_OK;
}

static apq_status get_out_ranges(apq_nn_net *net, const apq_tensor_file *file) {
    int64_t n_layers = (int64_t)net->n_layers;
    const void *ranges;
    APQ_TRY(
        apq_tensor_file_get(file, "out_range", APQ_F32, 1, &n_layers, &ranges));
    for (size_t i = 0; i < net->n_layers; i++) {
        net->layers[i].out_range = ((const float *)ranges)[i];
    }
    return APQ_OK;
}

apq_status apq_model_get(apq_model *model, apq_nn_net *net, bool with_momentum,
                         const apq_tensor_file *file) {
    APQ_TRY(apq_params_get(&model->params, with_momentum, file));
    if (model->quantiser == APQ_QUANTISER_APQ) {
        APQ_TRY(get_clips(net, file));
    }
    APQ_TRY(get_out_ranges(net, file));
    net->has_float_streams = false;
    for (size_t i = 0; i < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        char name[APQ_PARAM_NAME_MAX];
        int64_t channels = l->ir.out_channels;
        size_t n_bytes = (size_t)channels * sizeof(float);
        const void *data;
        statistics_name(name, l, "mean");
        APQ_TRY(apq_tensor_file_get(file, name, APQ_F32, 1, &channels, &data));
        memcpy(l->mean, data, n_bytes);
        statistics_name(name, l, "variance");
        APQ_TRY(apq_tensor_file_get(file, name, APQ_F32, 1, &channels, &data));
        memcpy(l->variance, data, n_bytes);
    }
    apq_model_pull_ranges(model, net);
    return APQ_OK;
}
