/* Every layer that a policy of a space can contain. Blocks' outer channels are
 * fixed, so one network of full depth for each width shows all shapes; kernels
 * and bits are put in afterwards. */
#include "app/lut.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Shapes of one width of one block: expand, project, depthwise kernels. */
enum { MAX_PER_BLOCK = 2 + APQ_MAX_KERNELS, N_COMPARED = 10 };

static int n_widths(const apq_space_block *b, int step) {
    return (b->max_channels - b->min_channels + step - 1) / step + 1;
}

static int width(const apq_space_block *b, int step, int i) {
    int channels = b->min_channels + i * step;
    return channels < b->max_channels ? channels : b->max_channels;
}

/* The layers of the i-th width of every block that has one. */
static apq_status add_shapes(const apq_space *space, int step, int i,
                             apq_lut_plan *shapes) {
    apq_policy policy;
    apq_ir_network network;
    apq_policy_largest(space, space->bits[space->n_bits - 1], &policy);
    for (int b = 0; b < space->n_blocks; b++) {
        policy.channels[b] = (int16_t)width(&space->blocks[b], step, i);
    }
    APQ_TRY(apq_policy_lower(space, &policy, &network));
    for (size_t l = 0; l < network.n_layers; l++) {
        const apq_ir_layer *layer = &network.layers[l];
        bool is_wanted = layer->block < 0
                             ? i == 0 && layer->is_priced
                             : i < n_widths(&space->blocks[layer->block], step);
        int n = layer->role == APQ_ROLE_DEPTHWISE ? space->n_kernels : 1;
        for (int k = 0; is_wanted && k < n; k++) {
            apq_ir_layer *added = &shapes->layers[shapes->n++];
            *added = *layer;
            if (layer->role == APQ_ROLE_DEPTHWISE) {
                added->kernel = space->kernels[k];
            }
        }
    }
    return APQ_OK;
}

/* Searchable last, so that the fixed one of two equal shapes comes first. */
static int compare(const void *left, const void *right) {
    const apq_ir_layer *a = left, *b = right;
    const int x[N_COMPARED] = {
        (int)a->kind,      a->in_size,       a->stride,    a->kernel,
        a->is_input_image, a->is_act_signed, a->has_relu6, a->in_channels,
        a->out_channels,   a->is_searchable};
    const int y[N_COMPARED] = {
        (int)b->kind,      b->in_size,       b->stride,    b->kernel,
        b->is_input_image, b->is_act_signed, b->has_relu6, b->in_channels,
        b->out_channels,   b->is_searchable};
    for (int i = 0; i < N_COMPARED; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

static bool has_bits(const apq_space *space, int bits) {
    for (int i = 0; i < space->n_bits; i++) {
        if (space->bits[i] == bits) {
            return true;
        }
    }
    return false;
}

/* A fixed layer whose shape and bits a searched one takes as well. */
static bool is_covered(const apq_space *space, const apq_ir_layer *layer,
                       const apq_ir_layer *next) {
    apq_ir_layer searched = *layer;
    searched.is_searchable = true;
    return !layer->is_searchable && next != NULL &&
           compare(&searched, next) == 0 && has_bits(space, layer->weight_bits);
}

static void add_bits(const apq_space *space, const apq_ir_layer *shape,
                     apq_lut_plan *plan) {
    if (!shape->is_searchable) {
        plan->layers[plan->n++] = *shape;
        return;
    }
    int n = space->n_bits;
    for (int i = 0; i < n * n; i++) {
        int act_bits = space->bits[i % n];
        if (space->forbids_k7_dw_act4 && shape->kind == APQ_IR_DEPTHWISE &&
            shape->kernel == 7 && act_bits == 4) {
            continue; /* no policy contains it */
        }
        apq_ir_layer *added = &plan->layers[plan->n++];
        *added = *shape;
        added->weight_bits = space->bits[i / n];
        added->act_bits = act_bits;
    }
}

/* Each shape once with all its bits; `shapes` is sorted. */
static apq_status add_all_bits(const apq_space *space,
                               const apq_lut_plan *shapes, apq_lut_plan *out) {
    size_t n_pairs = (size_t)(space->n_bits * space->n_bits);
    out->layers = apq_calloc(shapes->n * n_pairs, sizeof *out->layers);
    if (out->layers == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "no memory to list %zu layers",
                 shapes->n * n_pairs);
    }
    for (size_t i = 0; i < shapes->n; i++) {
        const apq_ir_layer *layer = &shapes->layers[i];
        const apq_ir_layer *next = i + 1 < shapes->n ? layer + 1 : NULL;
        bool is_repeated = next != NULL && compare(layer, next) == 0;
        if (!is_repeated && !is_covered(space, layer, next)) {
            add_bits(space, layer, out);
        }
    }
    return APQ_OK;
}

apq_status apq_lut_plan_make(const apq_space *space, int width_step,
                             apq_lut_plan *out) {
    int step = width_step == 0 ? space->channel_step : width_step;
    if (step < 1 || step % space->channel_step != 0) {
        APQ_FAIL(APQ_ERR_ARG, "width step %d is not a multiple of %d", step,
                 space->channel_step);
    }
    *out = (apq_lut_plan){.layers = NULL};
    size_t capacity = APQ_IR_MAX_LAYERS;
    int most = 0;
    for (int b = 0; b < space->n_blocks; b++) {
        int n = n_widths(&space->blocks[b], step);
        capacity += (size_t)n * MAX_PER_BLOCK;
        most = n > most ? n : most;
    }
    apq_lut_plan shapes = {.layers =
                               apq_calloc(capacity, sizeof *shapes.layers)};
    apq_status st =
        shapes.layers == NULL
            ? APQ_ERROR(APQ_ERR_NOMEM, "no memory to list %zu shapes", capacity)
            : APQ_OK;
    for (int i = 0; st == APQ_OK && i < most; i++) {
        st = add_shapes(space, step, i, &shapes);
    }
    if (st == APQ_OK) {
        qsort(shapes.layers, shapes.n, sizeof *shapes.layers, compare);
        st = add_all_bits(space, &shapes, out);
    }
    apq_lut_plan_fini(&shapes);
    return st;
}

void apq_lut_plan_fini(apq_lut_plan *plan) {
    free(plan->layers);
    *plan = (apq_lut_plan){.layers = NULL};
}
