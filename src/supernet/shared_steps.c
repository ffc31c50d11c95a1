/* Learned steps that the sub-networks of a supernet share, one for each bit-
 * width, so that one latent tensor serves all of them: LSQ (ICLR 2020) with
 * the sharing of BatchQuant (NeurIPS 2021). What is learned are
 * logarithms, as in TQT (MLSys 2020): at a supernet's rates a step of 8 bits,
 * small beside its gradient, would jump by orders of magnitude. */
#include "supernet/supernet_internal.h"

#include "quant/lsq.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const float FIRST_RANGE = 6.0F; /* that of ReLU6 */

/* Bit-widths of a layer; fixed ones have 8 and nothing else. */
static int n_bits_of(const apq_space *space, const apq_ir_layer *ir) {
    return ir->is_searchable ? space->n_bits : 1;
}

static int n_kernels_of(const apq_space *space, const apq_ir_layer *ir) {
    return ir->role == APQ_ROLE_DEPTHWISE ? space->n_kernels : 1;
}

static apq_status add_unit(apq_supernet *s, const apq_ir_layer *ir) {
    unit *u = apq_supernet_unit(s, ir);
    char name[APQ_PARAM_NAME_MAX];
    int64_t n_bits = n_bits_of(&s->space, ir);
    const int64_t shape[] = {n_bits * n_kernels_of(&s->space, ir),
                             ir->out_channels};
    (void)snprintf(name, sizeof name, "%.40s.weight_log_step", ir->name);
    APQ_TRY(
        apq_params_add(&s->params, name, 2, shape, false, &u->weight_log_step));
    (void)snprintf(name, sizeof name, "%.40s.act_log_range", ir->name);
    return apq_params_add(&s->params, name, 1, &n_bits, false,
                          &u->act_log_range);
}

/* The largest network has every layer. */
apq_status apq_supernet_add_steps(apq_supernet *s) {
    apq_policy largest;
    apq_ir_network ir;
    apq_policy_largest(&s->space, 8, &largest);
    APQ_TRY(apq_policy_lower(&s->space, &largest, &ir));
    for (size_t i = 0; i < ir.n_layers; i++) {
        APQ_TRY(add_unit(s, &ir.layers[i]));
    }
    return APQ_OK;
}

/* Steps and ranges take turns among the parameters. */
static bool is_range(const apq_supernet *s, size_t item) {
    return (item - s->n_weights) % 2 == 1;
}

void apq_supernet_init_steps(apq_supernet *s) {
    for (size_t i = s->n_weights; i < s->params.n_items; i++) {
        apq_params_init_constant(&s->params, i,
                                 is_range(s, i) ? logf(FIRST_RANGE) : 0.0F);
    }
}

bool apq_supernet_has_steps(const apq_supernet *supernet) {
    return supernet->has_steps;
}

apq_status apq_supernet_get_weights(apq_supernet *supernet,
                                    const apq_tensor_file *file) {
    apq_params weights = supernet->params; /* a shorter list of the same */
    weights.n_items = supernet->n_weights;
    return apq_params_get(&weights, false, file);
}

/* The place of `value` in a list, n where it has none. */
static int place_of(int value, const int *list, int n) {
    int i = 0;
    while (i < n && list[i] != value) {
        i++;
    }
    return i;
}

static int bits_place(const apq_space *space, const apq_ir_layer *ir,
                      int bits) {
    return ir->is_searchable ? place_of(bits, space->bits, space->n_bits) : 0;
}

static int kernel_place(const apq_space *space, const apq_ir_layer *ir) {
    return ir->role == APQ_ROLE_DEPTHWISE
               ? place_of(ir->kernel, space->kernels, space->n_kernels)
               : 0;
}

static apq_status check_layer(const apq_space *space, const apq_ir_layer *ir) {
    int n = n_bits_of(space, ir);
    bool has_bits = bits_place(space, ir, ir->weight_bits) < n &&
                    bits_place(space, ir, ir->act_bits) < n;
    if (!has_bits || kernel_place(space, ir) >= n_kernels_of(space, ir)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: no shared steps for %d-bit weights, %d-bit inputs and "
                 "kernel %d, which the space does not have",
                 ir->name, ir->weight_bits, ir->act_bits, ir->kernel);
    }
    return APQ_OK;
}

/* Logarithms that layer `ir` uses, whose bits the space must have, in an array
 * laid out as the parameters' values: of its first step, and of its range. */
static float *steps_in(apq_supernet *s, const apq_ir_layer *ir, float *array) {
    const apq_param *p =
        &s->params.items[apq_supernet_unit(s, ir)->weight_log_step];
    int64_t row = kernel_place(&s->space, ir) * n_bits_of(&s->space, ir) +
                  bits_place(&s->space, ir, ir->weight_bits);
    return array + p->offset + row * p->shape[1];
}

static float *range_in(apq_supernet *s, const apq_ir_layer *ir, float *array) {
    const apq_param *p =
        &s->params.items[apq_supernet_unit(s, ir)->act_log_range];
    return array + p->offset + bits_place(&s->space, ir, ir->act_bits);
}

apq_status apq_subnet_quantise(apq_subnet *subnet) {
    apq_supernet *s = subnet->supernet;
    apq_nn_net *net = &subnet->net;
    APQ_ASSERT(s->has_steps);
    for (size_t i = 0; i < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        APQ_TRY(check_layer(&s->space, &l->ir));
        const float *steps = steps_in(s, &l->ir, s->params.value);
        for (int k = 0; k < l->ir.out_channels; k++) {
            l->weight_step[k] = fmaxf(expf(steps[k]), APQ_SMALLEST_STEP);
        }
        float range = expf(*range_in(s, &l->ir, s->params.value));
        l->act_range = fmaxf(range, APQ_SMALLEST_RANGE);
    }
    net->quantiser = APQ_QUANTISER_LSQ;
    net->is_quantised = true;
    net->has_float_streams = true;
    subnet->has_shared_steps = true;
    return APQ_OK;
}

/* The scales of LSQ, which a net's gradients have. */
static double weight_scale(const apq_ir_layer *ir) {
    int64_t n = (int64_t)ir->kernel * ir->kernel;
    n *= ir->kind == APQ_IR_DEPTHWISE ? 1 : ir->in_channels;
    return apq_lsq_scale(n, ir->weight_bits, true);
}

static double range_scale(const apq_ir_layer *ir) {
    int64_t n = ir->in_channels;
    n *= ir->kind == APQ_IR_LINEAR ? 1 : (int64_t)ir->in_size * ir->in_size;
    double highest = apq_lsq_highest(ir->act_bits, ir->is_act_signed);
    return highest * highest *
           apq_lsq_scale(n, ir->act_bits, ir->is_act_signed);
}

void apq_subnet_collect_step_grads(apq_subnet *subnet) {
    apq_supernet *s = subnet->supernet;
    for (size_t i = 0; i < subnet->net.n_layers; i++) {
        apq_nn_layer *l = &subnet->net.layers[i];
        float *steps = steps_in(s, &l->ir, s->params.grad);
        double weight = weight_scale(&l->ir);
        for (int k = 0; k < l->ir.out_channels; k++) {
            double slope = (double)l->weight_step_grad[k] / weight;
            steps[k] += (float)(slope * (double)l->weight_step[k]);
            l->weight_step_grad[k] = 0.0F;
        }
        double slope = l->act_range_grad / range_scale(&l->ir);
        *range_in(s, &l->ir, s->params.grad) +=
            (float)(slope * (double)l->act_range);
        l->act_range_grad = 0;
    }
}

/* Both positive. Ranges are those of the largest kernels, which come last. */
static void take_steps(apq_subnet *subnet) {
    apq_supernet *s = subnet->supernet;
    for (size_t i = 0; i < subnet->net.n_layers; i++) {
        const apq_nn_layer *l = &subnet->net.layers[i];
        float *steps = steps_in(s, &l->ir, s->params.value);
        for (int k = 0; k < l->ir.out_channels; k++) {
            steps[k] = logf(l->weight_step[k]);
        }
        *range_in(s, &l->ir, s->params.value) = logf(l->act_range);
    }
}

static apq_status start_one(apq_supernet *s, int kernel, int bits,
                            const apq_backend *backend, apq_arena *arena,
                            const float *images, int n_images) {
    apq_policy policy;
    apq_policy_largest(&s->space, bits, &policy);
    memset(policy.kernel, kernel, (size_t)s->space.n_blocks);
    apq_arena_reset(arena);
    apq_subnet subnet;
    apq_status st = apq_subnet_bind(s, &policy, backend, arena, &subnet);
    if (st == APQ_OK) {
        subnet.net.quantiser = APQ_QUANTISER_LSQ;
        st = apq_nn_calibrate(&subnet.net, images, n_images);
    }
    if (st == APQ_OK) {
        take_steps(&subnet);
    }
    apq_subnet_fini(&subnet);
    return st;
}

apq_status apq_supernet_start_steps(apq_supernet *supernet,
                                    const apq_backend *backend,
                                    apq_arena *arena, const float *images,
                                    int n_images) {
    const apq_space *space = &supernet->space;
    APQ_ASSERT(supernet->has_steps);
    for (int k = 0; k < space->n_kernels; k++) {
        for (int b = 0; b < space->n_bits; b++) {
            APQ_TRY(start_one(supernet, space->kernels[k], space->bits[b],
                              backend, arena, images, n_images));
        }
    }
    apq_params *p = &supernet->params;
    size_t first = p->items[supernet->n_weights].offset;
    if (p->average != NULL) {
        memcpy(p->average + first, p->value + first,
               (p->n_values - first) * sizeof *p->value);
    }
    return APQ_OK;
}
