/* The shared tensors of a space and sub-networks as views into them. */
#include "supernet/supernet.h"

#include "supernet/kernel.h"
#include "supernet/supernet_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int largest_kernel(const apq_space *space) {
    return space->kernels[space->n_kernels - 1];
}

static apq_status add_unit(apq_params *p, const char *name, int64_t rows,
                           int64_t cols, int64_t channels, unit *out) {
    char full[APQ_PARAM_NAME_MAX];
    int64_t shape[2] = {rows, cols};
    (void)snprintf(full, sizeof full, "%s.weight", name);
    APQ_TRY(apq_params_add(p, full, 2, shape, true, &out->weight));
    (void)snprintf(full, sizeof full, "%s.gamma", name);
    APQ_TRY(apq_params_add(p, full, 1, &channels, false, &out->gamma));
    (void)snprintf(full, sizeof full, "%s.beta", name);
    return apq_params_add(p, full, 1, &channels, false, &out->beta);
}

static apq_status add_block(apq_supernet *s, int b) {
    const apq_space_block *sb = &s->space.blocks[b];
    block *out = &s->blocks[b];
    int64_t side = largest_kernel(&s->space);
    char name[APQ_PARAM_NAME_MAX - 16];
    (void)snprintf(name, sizeof name, "block%d.expand", b);
    APQ_TRY(add_unit(&s->params, name, sb->max_channels, sb->in_channels,
                     sb->max_channels, &out->expand));
    (void)snprintf(name, sizeof name, "block%d.depthwise", b);
    APQ_TRY(add_unit(&s->params, name, side * side, sb->max_channels,
                     sb->max_channels, &out->depthwise));
    for (int64_t k = side - 2, i = 0; k >= 3; k -= 2, i++) {
        int64_t shape[2] = {k * k, k * k};
        (void)snprintf(name, sizeof name, "block%d.shrink_%d_to_%d", b,
                       (int)k + 2, (int)k);
        APQ_TRY(
            apq_params_add(&s->params, name, 2, shape, false, &out->shrink[i]));
    }
    (void)snprintf(name, sizeof name, "block%d.project", b);
    return add_unit(&s->params, name, sb->out_channels, sb->max_channels,
                    sb->out_channels, &out->project);
}

static apq_status add_all(apq_supernet *s) {
    const apq_space *sp = &s->space;
    apq_params *p = &s->params;
    APQ_TRY(add_unit(p, "stem", sp->stem_channels,
                     9 * (int64_t)sp->image_channels, sp->stem_channels,
                     &s->stem));
    APQ_TRY(add_unit(p, "first.depthwise", 9, sp->stem_channels,
                     sp->stem_channels, &s->first_depthwise));
    APQ_TRY(add_unit(p, "first.pointwise", sp->first_channels,
                     sp->stem_channels, sp->first_channels,
                     &s->first_pointwise));
    for (int b = 0; b < sp->n_blocks; b++) {
        APQ_TRY(add_block(s, b));
    }
    int64_t last = sp->stages[sp->n_stages - 1].width;
    APQ_TRY(add_unit(p, "feature_mix", sp->head_channels, last,
                     sp->head_channels, &s->feature_mix));
    int64_t shape[2] = {sp->n_classes, sp->head_channels};
    APQ_TRY(apq_params_add(p, "classifier.weight", 2, shape, true,
                           &s->classifier.weight));
    APQ_TRY(apq_params_add(p, "classifier.bias", 1, shape, false,
                           &s->classifier.gamma));
    s->n_weights = p->n_items;
    if (s->has_steps) {
        APQ_TRY(apq_supernet_add_steps(s));
    }
    return apq_params_allocate(p);
}

static void init_unit(apq_supernet *s, const unit *u, uint64_t seed,
                      double fan) {
    apq_params_init_normal(&s->params, u->weight, seed, fan);
    apq_params_init_constant(&s->params, u->gamma, 1.0F);
}

static void init_identity(apq_params *p, size_t index) {
    int64_t n = p->items[index].shape[0];
    float *m = apq_params_value(p, index);
    for (int64_t i = 0; i < n; i++) {
        m[i * n + i] = 1.0F;
    }
}

static void init_all(apq_supernet *s, uint64_t seed) {
    const apq_space *sp = &s->space;
    int side = largest_kernel(sp);
    init_unit(s, &s->stem, seed, 9.0 * sp->image_channels);
    init_unit(s, &s->first_depthwise, seed, 9.0);
    init_unit(s, &s->first_pointwise, seed, sp->stem_channels);
    for (int b = 0; b < sp->n_blocks; b++) {
        const apq_space_block *sb = &sp->blocks[b];
        init_unit(s, &s->blocks[b].expand, seed, sb->in_channels);
        init_unit(s, &s->blocks[b].depthwise, seed, (double)side * side);
        init_unit(s, &s->blocks[b].project, seed, sb->max_channels);
        for (int k = side - 2, i = 0; k >= 3; k -= 2, i++) {
            init_identity(&s->params, s->blocks[b].shrink[i]);
        }
    }
    init_unit(s, &s->feature_mix, seed, sp->stages[sp->n_stages - 1].width);
    apq_params_init_normal(&s->params, s->classifier.weight, seed,
                           2.0 * sp->head_channels);
    if (s->has_steps) {
        apq_supernet_init_steps(s);
    }
}

/* For the largest network. */
static apq_status allocate_statistics(apq_supernet *s) {
    apq_policy largest;
    apq_ir_network ir;
    apq_policy_largest(&s->space, 8, &largest);
    APQ_TRY(apq_policy_lower(&s->space, &largest, &ir));
    s->statistics =
        apq_calloc(apq_nn_statistics_floats(&ir), sizeof *s->statistics);
    if (s->statistics == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "supernet: out of memory for statistics");
    }
    return APQ_OK;
}

static apq_status create(const apq_space *space, uint64_t seed, bool has_steps,
                         apq_supernet **out) {
    apq_supernet *s = calloc(1, sizeof *s);
    if (s == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "supernet: out of memory");
    }
    s->space = *space;
    s->has_steps = has_steps;
    apq_status st = add_all(s);
    if (st == APQ_OK) {
        st = allocate_statistics(s);
    }
    if (st != APQ_OK) {
        apq_supernet_destroy(s);
        return st;
    }
    init_all(s, seed);
    *out = s;
    return APQ_OK;
}

apq_status apq_supernet_create(const apq_space *space, uint64_t seed,
                               apq_supernet **out) {
    return create(space, seed, false, out);
}

apq_status apq_supernet_create_shared(const apq_space *space, uint64_t seed,
                                      apq_supernet **out) {
    return create(space, seed, true, out);
}

void apq_supernet_destroy(apq_supernet *supernet) {
    if (supernet != NULL) {
        apq_params_fini(&supernet->params);
        free(supernet->statistics);
        free(supernet);
    }
}

const apq_space *apq_supernet_space(const apq_supernet *supernet) {
    return &supernet->space;
}

apq_params *apq_supernet_params(apq_supernet *supernet) {
    return &supernet->params;
}

static void bind_unit(const apq_params *p, const unit *u, apq_nn_layer *l) {
    l->w = apq_params_value(p, u->weight);
    l->dw = apq_params_grad(p, u->weight);
    l->ldw = p->items[u->weight].shape[1];
    if (l->ir.kind == APQ_IR_LINEAR) {
        l->bias = apq_params_value(p, u->gamma);
        l->dbias = apq_params_grad(p, u->gamma);
        return;
    }
    l->gamma = apq_params_value(p, u->gamma);
    l->dgamma = apq_params_grad(p, u->gamma);
    l->beta = apq_params_value(p, u->beta);
    l->dbeta = apq_params_grad(p, u->beta);
}

unit *apq_supernet_unit(apq_supernet *s, const apq_ir_layer *ir) {
    switch (ir->role) {
    case APQ_ROLE_STEM:
        return &s->stem;
    case APQ_ROLE_FIRST_DEPTHWISE:
        return &s->first_depthwise;
    case APQ_ROLE_FIRST_POINTWISE:
        return &s->first_pointwise;
    case APQ_ROLE_EXPAND:
        return &s->blocks[ir->block].expand;
    case APQ_ROLE_DEPTHWISE:
        return &s->blocks[ir->block].depthwise;
    case APQ_ROLE_PROJECT:
        return &s->blocks[ir->block].project;
    case APQ_ROLE_FEATURE_MIX:
        return &s->feature_mix;
    case APQ_ROLE_CLASSIFIER:
        break;
    }
    return &s->classifier;
}

/* Chain of kernels from the largest down to `side`: level 0 is the view of
 * the stored kernel, each next level is computed from the one above. */
static apq_status shrink_kernel(apq_subnet *subnet, apq_nn_layer *l) {
    const apq_supernet *s = subnet->supernet;
    const block *b = &s->blocks[l->ir.block];
    int channels = l->ir.in_channels;
    int side = largest_kernel(&s->space);
    for (int i = 0; side > l->ir.kernel; i++, side -= 2) {
        size_t taps = (size_t)(side - 2) * (size_t)(side - 2);
        float *small = apq_arena_alloc(subnet->net.arena,
                                       taps * (size_t)channels, sizeof(float));
        if (small == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "supernet: out of memory for kernels");
        }
        apq_kernel_shrink(l->w, l->ldw, side, channels,
                          apq_params_value(&s->params, b->shrink[i]), small);
        l->w = small;
        l->ldw = channels;
    }
    size_t n = (size_t)l->ir.kernel * (size_t)l->ir.kernel * (size_t)channels;
    float *grad = apq_arena_alloc(subnet->net.arena, n, sizeof(float));
    if (grad == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "supernet: out of memory for kernels");
    }
    memset(grad, 0, n * sizeof *grad);
    subnet->kernel_grad[l->ir.block] = grad;
    l->dw = grad;
    return APQ_OK;
}

apq_status apq_subnet_bind(apq_supernet *supernet, const apq_policy *policy,
                           const apq_backend *backend, apq_arena *arena,
                           apq_subnet *out) {
    *out = (apq_subnet){.supernet = supernet, .policy = *policy};
    apq_ir_network ir;
    APQ_TRY(apq_policy_lower(&supernet->space, policy, &ir));
    int image_channels = supernet->space.image_channels;
    if (supernet->is_statistics_lent) {
        APQ_TRY(
            apq_nn_net_init(&out->net, backend, arena, &ir, image_channels));
    } else {
        apq_nn_net_init_on(&out->net, backend, arena, &ir, image_channels,
                           supernet->statistics);
        supernet->is_statistics_lent = true;
    }
    for (size_t i = 0; i < out->net.n_layers; i++) {
        apq_nn_layer *l = &out->net.layers[i];
        bind_unit(&supernet->params, apq_supernet_unit(supernet, &l->ir), l);
        if (l->ir.role == APQ_ROLE_DEPTHWISE &&
            l->ir.kernel < largest_kernel(&supernet->space)) {
            APQ_TRY(shrink_kernel(out, l));
        }
    }
    return APQ_OK;
}

void apq_subnet_fini(apq_subnet *subnet) {
    if (subnet->net.statistics != NULL &&
        subnet->net.statistics == subnet->supernet->statistics) {
        subnet->supernet->is_statistics_lent = false;
        subnet->net.statistics = NULL;
    }
    apq_nn_net_fini(&subnet->net);
}

/* Backward through the chain: recompute the intermediate kernels, then walk
 * from the smallest to the stored one. */
static apq_status collect_block(apq_subnet *subnet, int b, int kernel,
                                int channels) {
    apq_supernet *s = subnet->supernet;
    const block *blk = &s->blocks[b];
    int64_t stored_ld = s->params.items[blk->depthwise.weight].shape[1];
    const float *level[3] = {
        apq_params_value(&s->params, blk->depthwise.weight)};
    int64_t ld[3] = {stored_ld};
    int side = largest_kernel(&s->space);
    int n_levels = (side - kernel) / 2;
    for (int i = 0; i + 1 < n_levels; i++) {
        size_t taps = (size_t)(side - 2 - 2 * i) * (size_t)(side - 2 - 2 * i);
        float *small = apq_arena_alloc(subnet->net.arena,
                                       taps * (size_t)channels, sizeof(float));
        if (small == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "supernet: out of memory for kernels");
        }
        apq_kernel_shrink(level[i], ld[i], side - 2 * i, channels,
                          apq_params_value(&s->params, blk->shrink[i]), small);
        level[i + 1] = small;
        ld[i + 1] = channels;
    }
    const float *grad = subnet->kernel_grad[b];
    for (int i = n_levels - 1; i >= 0; i--) {
        int large_side = side - 2 * i;
        size_t n = (size_t)large_side * (size_t)large_side * (size_t)channels;
        float *dlarge = apq_params_grad(&s->params, blk->depthwise.weight);
        int64_t lddl = stored_ld;
        if (i > 0) {
            dlarge = apq_arena_alloc(subnet->net.arena, n, sizeof(float));
            if (dlarge == NULL) {
                APQ_FAIL(APQ_ERR_NOMEM, "supernet: out of memory for kernels");
            }
            memset(dlarge, 0, n * sizeof *dlarge);
            lddl = channels;
        }
        apq_kernel_shrink_backward(
            level[i], ld[i], large_side, channels,
            apq_params_value(&s->params, blk->shrink[i]), grad,
            apq_params_grad(&s->params, blk->shrink[i]), dlarge, lddl);
        grad = dlarge;
    }
    return APQ_OK;
}

apq_status apq_subnet_collect_grads(apq_subnet *subnet) {
    for (size_t i = 0; i < subnet->net.n_layers; i++) {
        const apq_ir_layer *ir = &subnet->net.layers[i].ir;
        if (ir->block >= 0 && ir->role == APQ_ROLE_DEPTHWISE &&
            subnet->kernel_grad[ir->block] != NULL) {
            APQ_TRY(
                collect_block(subnet, ir->block, ir->kernel, ir->in_channels));
        }
    }
    if (subnet->has_shared_steps) {
        apq_subnet_collect_step_grads(subnet);
    }
    return APQ_OK;
}

static void copy_matrix(const float *src, int64_t ld, int64_t rows,
                        int64_t cols, float *dst) {
    for (int64_t r = 0; r < rows; r++) {
        memcpy(dst + r * cols, src + r * ld, (size_t)cols * sizeof *dst);
    }
}

static void copy_layer(const apq_nn_layer *l, apq_model *model, size_t i) {
    const apq_params *p = &model->params;
    const int64_t *shape = p->items[model->weight[i]].shape;
    copy_matrix(l->w, l->ldw, shape[0], shape[1],
                apq_params_value(p, model->weight[i]));
    int64_t channels = l->ir.out_channels;
    if (l->ir.kind == APQ_IR_LINEAR) {
        copy_matrix(l->bias, channels, 1, channels,
                    apq_params_value(p, model->gamma[i]));
        return;
    }
    copy_matrix(l->gamma, channels, 1, channels,
                apq_params_value(p, model->gamma[i]));
    copy_matrix(l->beta, channels, 1, channels,
                apq_params_value(p, model->beta[i]));
}

/* With LSQ, of a supernet that has them. */
static apq_status copy_steps(apq_subnet *subnet, apq_model *model) {
    if (!subnet->supernet->has_steps || model->quantiser != APQ_QUANTISER_LSQ) {
        return APQ_OK;
    }
    APQ_TRY(apq_subnet_quantise(subnet));
    apq_model_store_ranges(model, &subnet->net);
    model->has_steps = true;
    return APQ_OK;
}

apq_status apq_supernet_extract(apq_supernet *supernet,
                                const apq_policy *policy,
                                apq_quantiser quantiser, apq_model **out) {
    apq_arena *arena;
    APQ_TRY(apq_arena_create(&arena));
    apq_subnet subnet;
    apq_model *model = NULL;
    const apq_backend *backend;
    apq_status st = apq_backend_find("ref", &backend);
    if (st == APQ_OK) {
        st = apq_subnet_bind(supernet, policy, backend, arena, &subnet);
        apq_ir_network ir;
        if (st == APQ_OK) {
            st = apq_policy_lower(&supernet->space, policy, &ir);
        }
        if (st == APQ_OK) {
            st = apq_model_create(&ir, supernet->space.image_channels,
                                  quantiser, &model);
        }
        for (size_t i = 0; st == APQ_OK && i < subnet.net.n_layers; i++) {
            copy_layer(&subnet.net.layers[i], model, i);
        }
        if (st == APQ_OK) {
            st = copy_steps(&subnet, model);
        }
        apq_subnet_fini(&subnet);
    }
    apq_arena_destroy(arena);
    if (st == APQ_OK) {
        *out = model; /* success: ownership moves to the caller */
        model = NULL;
    }
    apq_model_destroy(model);
    return st;
}
