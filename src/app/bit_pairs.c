/* Where fewer bits cost more: every distinct searched layer of a space at
 * every pair of bit-widths, one operand narrowed at a time. */
#include "app/bit_pairs.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

/* Relative differences below this are rounding of energies. */
static const double ROUNDING = 1e-12;

typedef struct layer_list {
    apq_ir_layer *layers;
    size_t n, capacity;
} layer_list;

typedef struct price {
    double latency_ms, energy_mj; /* NaN: cannot run */
} price;

static bool is_same_shape(const apq_ir_layer *a, const apq_ir_layer *b) {
    return a->kind == b->kind && a->in_channels == b->in_channels &&
           a->out_channels == b->out_channels && a->kernel == b->kernel &&
           a->stride == b->stride && a->in_size == b->in_size &&
           a->out_size == b->out_size;
}

static apq_status add_layer(layer_list *list, const apq_ir_layer *layer) {
    for (size_t i = 0; i < list->n; i++) {
        if (is_same_shape(&list->layers[i], layer)) {
            return APQ_OK;
        }
    }
    if (list->n == list->capacity) {
        size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
        apq_ir_layer *grown =
            realloc(list->layers, capacity * sizeof *list->layers);
        if (grown == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "no memory for %zu layers", capacity);
        }
        list->layers = grown;
        list->capacity = capacity;
    }
    list->layers[list->n++] = *layer;
    return APQ_OK;
}

/* All shapes that one layer of the largest network may take. */
static apq_status add_shapes(const apq_space *space, const apq_ir_layer *from,
                             layer_list *list) {
    const apq_space_block *b = &space->blocks[from->block];
    apq_ir_layer l = *from;
    for (int c = b->min_channels; c <= b->max_channels;
         c += space->channel_step) {
        l.in_channels = l.role == APQ_ROLE_EXPAND ? from->in_channels : c;
        l.out_channels = l.role == APQ_ROLE_PROJECT ? from->out_channels : c;
        if (l.role != APQ_ROLE_DEPTHWISE) {
            APQ_TRY(add_layer(list, &l));
            continue;
        }
        for (int k = 0; k < space->n_kernels; k++) {
            l.kernel = space->kernels[k];
            APQ_TRY(add_layer(list, &l));
        }
    }
    return APQ_OK;
}

static apq_status price_at(apq_target *target, apq_ir_layer layer,
                           int weight_bits, int act_bits, price *out) {
    layer.weight_bits = weight_bits;
    layer.act_bits = act_bits;
    apq_status st =
        apq_target_layer(target, &layer, &out->latency_ms, &out->energy_mj);
    if (st == APQ_ERR_UNSUPPORTED) {
        *out = (price){(double)NAN, (double)NAN};
        return APQ_OK;
    }
    return st;
}

/* The pair whose ends are priced `wide` and `narrow`. */
static void compare(apq_bit_pair *pair, price wide, price narrow,
                    apq_bit_pair_fn *fn, void *ctx, apq_bit_pair_summary *sum) {
    if (isnan(wide.latency_ms) || isnan(narrow.latency_ms)) {
        return;
    }
    pair->latency_ratio = narrow.latency_ms / wide.latency_ms;
    pair->energy_ratio = narrow.energy_mj / wide.energy_mj;
    bool is_slower = pair->latency_ratio > 1 + ROUNDING;
    bool is_dearer = pair->energy_ratio > 1 + ROUNDING;
    sum->n_pairs++;
    sum->n_slower += is_slower;
    sum->n_dearer += is_dearer;
    sum->max_latency_ratio = fmax(sum->max_latency_ratio, pair->latency_ratio);
    sum->max_energy_ratio = fmax(sum->max_energy_ratio, pair->energy_ratio);
    if (is_slower || is_dearer) {
        fn(pair, ctx);
    }
}

static apq_status visit_layer(const apq_space *space, apq_target *target,
                              const apq_ir_layer *layer, apq_bit_pair_fn *fn,
                              void *ctx, apq_bit_pair_summary *sum) {
    price prices[APQ_MAX_BITS][APQ_MAX_BITS];
    int n = space->n_bits;
    for (int i = 0; i < n * n; i++) {
        price *p = &prices[i / n][i % n];
        APQ_TRY(price_at(target, *layer, space->bits[i / n], space->bits[i % n],
                         p));
        sum->n_entries += isnan(p->latency_ms) ? 0U : 1U;
    }
    for (int i = 0; i < n * n; i++) {
        int w = i / n, a = i % n;
        apq_bit_pair pair = {.layer = *layer};
        pair.layer.weight_bits = space->bits[w];
        pair.layer.act_bits = space->bits[a];
        for (int less = 0; less < w; less++) {
            pair.weight_bits = space->bits[less];
            pair.act_bits = space->bits[a];
            compare(&pair, prices[w][a], prices[less][a], fn, ctx, sum);
        }
        for (int less = 0; less < a; less++) {
            pair.weight_bits = space->bits[w];
            pair.act_bits = space->bits[less];
            compare(&pair, prices[w][a], prices[w][less], fn, ctx, sum);
        }
    }
    return APQ_OK;
}

apq_status apq_app_bit_pairs(const apq_space *space, apq_target *target,
                             apq_bit_pair_fn *fn, void *ctx,
                             apq_bit_pair_summary *out) {
    apq_policy policy;
    apq_ir_network net;
    layer_list list = {0};
    apq_bit_pair_summary sum = {.max_latency_ratio = 1, .max_energy_ratio = 1};
    apq_policy_largest(space, space->bits[space->n_bits - 1], &policy);
    apq_status st = apq_policy_lower(space, &policy, &net);
    for (size_t i = 0; st == APQ_OK && i < net.n_layers; i++) {
        if (net.layers[i].block >= 0) {
            st = add_shapes(space, &net.layers[i], &list);
        }
    }
    for (size_t i = 0; st == APQ_OK && i < list.n; i++) {
        st = visit_layer(space, target, &list.layers[i], fn, ctx, &sum);
    }
    sum.n_layers = list.n;
    free(list.layers);
    if (st == APQ_OK) {
        *out = sum;
    }
    return st;
}
