/* A runnable network of random weights, in the integer engine or in floating
 * point. Quantiser state is set by hand: calibration would cost a pass and
 * move no time. */
#include "measure/program.h"

#include "base/memory.h"
#include "base/rng.h"
#include "deploy/int_engine.h"
#include "nn/model.h"

#include <stdlib.h>
#include <string.h>

struct apq_program {
    apq_model *model;
    apq_arena *arena;
    apq_nn_net net;
    bool has_net;
    apq_int_engine *engine; /* NULL: floating point */
    void *workspace;
    float *image, *logits;
    /* Where the step memory stood when a piece last began, so that running it
     * again takes the same memory. */
    apq_arena_mark marks[APQ_IR_MAX_LAYERS];
    bool has_mark[APQ_IR_MAX_LAYERS];
};

/* Values of order one: no denormals, ReLU6 passes about half of them. */
static void fill(float *values, size_t n, uint64_t stream) {
    apq_rng rng = apq_rng_make(1, APQ_RNG_INIT, stream);
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)(apq_rng_uniform(&rng) - 0.5);
    }
}

static void quantise(apq_nn_net *net) {
    for (size_t i = 0; i < net->n_layers; i++) {
        net->layers[i].weight_clip = 0.5F;
        net->layers[i].act_range = 6.0F;
        net->layers[i].out_range = 6.0F;
    }
    net->is_quantised = true;
}

static apq_status build_net(apq_program *p, const apq_ir_network *network) {
    apq_ir_network ir = *network;
    for (size_t i = 0; i < ir.n_layers; i++) {
        ir.layers[i].weight_bits = 8;
        ir.layers[i].act_bits = 8;
    }
    int channels = ir.layers[0].in_channels;
    APQ_TRY(apq_model_create(&ir, channels, APQ_QUANTISER_APQ, &p->model));
    apq_params *params = &p->model->params;
    for (size_t i = 0; i < ir.n_layers; i++) {
        size_t w = p->model->weight[i];
        fill(apq_params_value(params, w), params->items[w].n, i);
    }
    const apq_backend *backend;
    APQ_TRY(apq_backend_find("auto", &backend));
    APQ_TRY(apq_arena_create(&p->arena));
    APQ_TRY(apq_model_bind(p->model, backend, p->arena, &p->net));
    p->has_net = true;
    p->net.keeps_expansions = true; /* layers are timed apart */
    for (size_t i = 0; i < ir.n_layers; i++) {
        /* As after training: outputs of order one, whatever the depth. */
        const apq_ir_layer *l = &ir.layers[i];
        int64_t taps = (int64_t)l->kernel * l->kernel;
        int64_t depth =
            l->kind == APQ_IR_DEPTHWISE ? taps : taps * l->in_channels;
        for (int k = 0; k < l->out_channels; k++) {
            p->net.layers[i].variance[k] = (float)depth;
        }
    }
    return APQ_OK;
}

static apq_status build(apq_program *p, const apq_ir_network *network,
                        apq_measured_arithmetic arithmetic) {
    APQ_TRY(build_net(p, network));
    size_t side = (size_t)network->resolution;
    size_t n_values = side * side * (size_t)network->layers[0].in_channels;
    p->image = apq_calloc(n_values, sizeof *p->image);
    p->logits = apq_calloc((size_t)network->n_classes, sizeof *p->logits);
    if (p->image == NULL || p->logits == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
    }
    fill(p->image, n_values, network->n_layers);
    if (arithmetic == APQ_MEASURED_FLOAT32) {
        return APQ_OK;
    }
    quantise(&p->net);
    apq_int_model *model;
    APQ_TRY(apq_int_model_create(&p->net, &model));
    apq_status st = apq_int_engine_create(model, &p->engine);
    apq_int_model_destroy(model);
    APQ_TRY(st);
    p->workspace = apq_calloc(apq_int_engine_workspace_bytes(p->engine), 1);
    if (p->workspace == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
    }
    return APQ_OK;
}

apq_status apq_program_create(const apq_ir_network *network,
                              apq_measured_arithmetic arithmetic,
                              apq_program **out) {
    apq_program *p = calloc(1, sizeof *p);
    if (p == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
    }
    apq_status st = build(p, network, arithmetic);
    if (st != APQ_OK) {
        apq_program_destroy(p);
        return st;
    }
    *out = p;
    return APQ_OK;
}

void apq_program_destroy(apq_program *p) {
    if (p == NULL) {
        return;
    }
    apq_int_engine_destroy(p->engine);
    if (p->has_net) {
        apq_nn_net_fini(&p->net);
    }
    apq_arena_destroy(p->arena);
    apq_model_destroy(p->model);
    free(p->workspace);
    free(p->image);
    free(p->logits);
    free(p);
}

apq_status apq_program_run(apq_program *p, size_t begin, size_t end) {
    APQ_ASSERT(begin < end && end <= p->net.n_layers);
    if (p->engine != NULL) {
        apq_int_engine_run_layers(p->engine, (int)begin, (int)end, p->image,
                                  p->workspace, p->logits);
        return APQ_OK;
    }
    if (begin == 0) {
        apq_arena_reset(p->arena);
        memset(p->has_mark, 0, sizeof p->has_mark);
    } else if (p->has_mark[begin]) {
        apq_arena_rewind(p->arena, p->marks[begin]);
    }
    p->marks[begin] = apq_arena_position(p->arena);
    p->has_mark[begin] = true;
    float *logits = NULL;
    return apq_nn_forward_layers(&p->net, APQ_NN_EVAL, begin, end, p->image, 1,
                                 &logits);
}
