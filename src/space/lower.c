/* A policy as a chain of layers: stem, the fixed first block, the active
 * searched blocks, feature mix, classifier. Source: MobileNetV2 blocks as in
 * APQ, CVPR 2020, section 3.1; fixed layers keep 8 bits. */
#include "space/space.h"

#include <stdio.h>

enum { FIXED_BITS = 8 };

/* Appends a layer that continues the last one's output; the defaults are
 * those of a fixed 1 x 1 convolution with unsigned 8-bit input. */
static apq_ir_layer *append(apq_ir_network *net, apq_ir_kind kind,
                            apq_ir_role role, int out_channels, int kernel,
                            int stride) {
    APQ_ASSERT(net->n_layers < APQ_IR_MAX_LAYERS);
    const apq_ir_layer *last =
        net->n_layers > 0 ? &net->layers[net->n_layers - 1] : NULL;
    apq_ir_layer *l = &net->layers[net->n_layers++];
    int in_size = last != NULL ? last->out_size : net->resolution;
    *l = (apq_ir_layer){
        .kind = kind,
        .role = role,
        .block = -1,
        .in_channels = last != NULL ? last->out_channels : 0,
        .out_channels = out_channels,
        .kernel = kernel,
        .stride = stride,
        .in_size = in_size,
        .out_size = (in_size + stride - 1) / stride,
        .weight_bits = FIXED_BITS,
        .act_bits = FIXED_BITS,
        .has_relu6 = true,
        .residual_from = -1,
        .is_priced = true,
    };
    return l;
}

static void set_name(apq_ir_layer *layer, const char *name) {
    (void)snprintf(layer->name, sizeof layer->name, "%s", name);
}

static void lower_head_of_chain(const apq_space *space, apq_ir_network *net) {
    apq_ir_layer *l = append(net, APQ_IR_CONV, APQ_ROLE_STEM,
                             space->stem_channels, 3, space->stem_stride);
    set_name(l, "stem");
    l->in_channels = space->image_channels;
    l->is_input_image = true;
    l = append(net, APQ_IR_DEPTHWISE, APQ_ROLE_FIRST_DEPTHWISE,
               space->stem_channels, 3, 1);
    set_name(l, "first.depthwise");
    l->is_priced = space->prices_all_layers;
    l = append(net, APQ_IR_POINTWISE, APQ_ROLE_FIRST_POINTWISE,
               space->first_channels, 1, 1);
    set_name(l, "first.pointwise");
    l->is_priced = space->prices_all_layers;
    l->has_relu6 = false;
}

static void set_genes(const apq_policy *policy, int block, bool is_depthwise,
                      const char *part, apq_ir_layer *layer) {
    int weight = is_depthwise ? APQ_DW_WEIGHT : APQ_PW_WEIGHT;
    int act = is_depthwise ? APQ_DW_ACT : APQ_PW_ACT;
    (void)snprintf(layer->name, sizeof layer->name, "block%d.%s", block, part);
    layer->block = block;
    layer->weight_bits = policy->bits[weight][block];
    layer->act_bits = policy->bits[act][block];
    layer->is_searchable = true;
}

static void lower_block(const apq_space *space, const apq_policy *policy,
                        int block, apq_ir_network *net) {
    const apq_space_block *b = &space->blocks[block];
    int channels = policy->channels[block];
    int input = (int)net->n_layers - 1;
    apq_ir_layer *l =
        append(net, APQ_IR_POINTWISE, APQ_ROLE_EXPAND, channels, 1, 1);
    set_genes(policy, block, false, "expand", l);
    l->is_act_signed = true; /* follows a linear bottleneck */
    l = append(net, APQ_IR_DEPTHWISE, APQ_ROLE_DEPTHWISE, channels,
               policy->kernel[block], b->stride);
    set_genes(policy, block, true, "depthwise", l);
    l = append(net, APQ_IR_POINTWISE, APQ_ROLE_PROJECT, b->out_channels, 1, 1);
    set_genes(policy, block, false, "project", l);
    l->has_relu6 = false;
    l->residual_from = b->has_residual ? input : -1;
}

apq_status apq_policy_lower(const apq_space *space, const apq_policy *policy,
                            apq_ir_network *out) {
    *out = (apq_ir_network){.n_classes = space->n_classes,
                            .resolution = space->resolution};
    lower_head_of_chain(space, out);
    for (int i = 0; i < space->n_blocks; i++) {
        if (apq_space_block_active(space, policy, i)) {
            lower_block(space, policy, i, out);
        }
    }
    apq_ir_layer *l = append(out, APQ_IR_POINTWISE, APQ_ROLE_FEATURE_MIX,
                             space->head_channels, 1, 1);
    set_name(l, "feature_mix");
    l->is_act_signed = true;
    l = append(out, APQ_IR_LINEAR, APQ_ROLE_CLASSIFIER, space->n_classes, 1, 1);
    set_name(l, "classifier");
    l->out_size = 1; /* in_size stays the side that is averaged */
    l->has_relu6 = false;
    l->is_priced = space->prices_all_layers;
    return apq_ir_check(out);
}
