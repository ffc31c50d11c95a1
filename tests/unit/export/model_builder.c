/* Integer networks with random weights; see the header. */
#include "model_builder.h"

#include "base/rng.h"
#include "deploy/int_reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const block_shape mixed_blocks[] = {
    {.kernel = 5,
     .stride = 2,
     .middle = 21,
     .channels = 10,
     .pw_weight = 4,
     .pw_act = 6,
     .dw_weight = 6,
     .dw_act = 4},
    {.kernel = 7,
     .stride = 1,
     .middle = 34,
     .channels = 10,
     .pw_weight = 6,
     .pw_act = 8,
     .dw_weight = 4,
     .dw_act = 8},
    {.kernel = 3,
     .stride = 1,
     .middle = 30,
     .channels = 10,
     .pw_weight = 8,
     .pw_act = 4,
     .dw_weight = 8,
     .dw_act = 6},
    {.kernel = 3,
     .stride = 1,
     .middle = 24,
     .channels = 19,
     .pw_weight = 6,
     .pw_act = 6,
     .dw_weight = 6,
     .dw_act = 6},
    {.kernel = 5,
     .stride = 2,
     .middle = 40,
     .channels = 23,
     .pw_weight = 4,
     .pw_act = 4,
     .dw_weight = 4,
     .dw_act = 8},
};
const model_shape mixed_shape = {.resolution = 12,
                                 .stem_stride = 1,
                                 .channels = 9,
                                 .mix_channels = 37,
                                 .n_classes = 10,
                                 .n_blocks = 5,
                                 .blocks = mixed_blocks};

static const block_shape odd_blocks[] = {
    {.kernel = 7,
     .stride = 2,
     .middle = 13,
     .channels = 7,
     .pw_weight = 8,
     .pw_act = 8,
     .dw_weight = 8,
     .dw_act = 8},
    {.kernel = 7,
     .stride = 2,
     .middle = 17,
     .channels = 31,
     .pw_weight = 4,
     .pw_act = 8,
     .dw_weight = 6,
     .dw_act = 4},
    {.kernel = 7,
     .stride = 1,
     .middle = 11,
     .channels = 31,
     .pw_weight = 6,
     .pw_act = 4,
     .dw_weight = 4,
     .dw_act = 6},
};
const model_shape odd_shape = {.resolution = 9,
                               .stem_stride = 2,
                               .channels = 5,
                               .mix_channels = 12,
                               .n_classes = 3,
                               .has_class_steps = true,
                               .n_blocks = 3,
                               .blocks = odd_blocks};

/* What is being built. */
typedef struct builder {
    apq_int_model *model;
    apq_rng rng;
    float stream_step; /* of the last linear layer */
} builder;

static void *take(builder *b, size_t n, size_t size) {
    void *memory = apq_arena_alloc(b->model->arena, n, size);
    assert_non_null(memory);
    return memory;
}

static float uniform(builder *b, double low, double high) {
    return (float)(low + (high - low) * apq_rng_uniform(&b->rng));
}

static int8_t *random_codes(builder *b, int64_t n, int bits) {
    int most = (1 << (bits - 1)) - 1;
    int8_t *w = take(b, (size_t)n, sizeof *w);
    for (int64_t i = 0; i < n; i++) {
        w[i] = (int8_t)((int)apq_rng_below(&b->rng, 2U * (unsigned)most + 1U) -
                        most);
    }
    return w;
}

/* How large sums of a layer are, in units: their deviation. */
static double spread(const apq_int_codes *in, int64_t depth, int bits) {
    return sqrt((double)depth) * 0.3 * in->high * 0.6 * ((1 << (bits - 1)) - 1);
}

static void fill_conv(builder *b, apq_int_conv *l) {
    int64_t depth = apq_int_depth(&l->ir);
    size_t n = (size_t)l->ir.out_channels;
    float *weight_step = take(b, n, sizeof *weight_step);
    float *rescale = take(b, n, sizeof *rescale);
    int32_t *bias = take(b, n, sizeof *bias);
    double deviation = spread(&l->in, depth, l->ir.weight_bits);
    for (size_t k = 0; k < n; k++) {
        double scale = l->out.high * 0.5 / deviation;
        weight_step[k] =
            uniform(b, 0.6, 1.4) * (float)scale * l->out.step / l->in.step;
        rescale[k] = l->in.step * weight_step[k] / l->out.step;
        bias[k] = (int32_t)(uniform(b, -0.5, 0.7) * (float)deviation);
    }
    l->w = random_codes(b, (int64_t)n * depth, l->ir.weight_bits);
    l->weight_step = weight_step;
    l->rescale = rescale;
    l->bias = bias;
}

/* The next layer, without its output codes. */
static apq_int_conv *append(builder *b, apq_ir_kind kind, const char *name,
                            int channels, int kernel, int stride) {
    apq_int_model *m = b->model;
    apq_int_conv *l = &m->convs[m->n_convs];
    const apq_int_conv *last = m->n_convs > 0 ? l - 1 : NULL;
    int side = last != NULL ? last->ir.out_size : m->resolution;
    l->ir = (apq_ir_layer){
        .kind = kind,
        .block = -1,
        .in_channels = last != NULL ? last->ir.out_channels : 3,
        .out_channels = channels,
        .kernel = kernel,
        .stride = stride,
        .in_size = side,
        .out_size = (side + stride - 1) / stride,
        .weight_bits = 8,
        .act_bits = 8,
        .has_relu6 = true,
        .residual_from = -1,
    };
    (void)snprintf(l->ir.name, sizeof l->ir.name, "%s", name);
    if (last != NULL) {
        l->in = last->out;
    }
    m->n_convs++;
    return l;
}

static void set_relu6(builder *b, apq_int_conv *l, int bits) {
    l->out =
        (apq_int_codes){.step = uniform(b, 2.0, 6.0) / (float)((1 << bits) - 1),
                        .low = 0,
                        .high = (1 << bits) - 1};
}

static void set_linear(builder *b, apq_int_conv *l, bool is_new_stream) {
    if (is_new_stream) {
        b->stream_step = uniform(b, 3.0, 9.0) / 127.0F;
    }
    l->ir.has_relu6 = false;
    l->out = (apq_int_codes){b->stream_step, -128, 127};
}

/* Codes of the stream rounded to fewer bits. */
static void set_reround(builder *b, apq_int_conv *l, int bits) {
    if (bits == 8) {
        return;
    }
    int most = (1 << (bits - 1)) - 1;
    l->in = (apq_int_codes){uniform(b, 0.5, 1.0) * 127.0F * b->stream_step /
                                (float)most,
                            -most, most};
    int8_t *table = take(b, 256, sizeof *table);
    for (int i = 0; i < 256; i++) {
        float value = (float)(i - 128) * b->stream_step;
        table[i] = (int8_t)apq_int_round(value / l->in.step, &l->in);
    }
    l->reround = table;
}

static void append_head(builder *b, const model_shape *s) {
    apq_int_conv *l =
        append(b, APQ_IR_CONV, "stem", s->channels, 3, s->stem_stride);
    l->ir.role = APQ_ROLE_STEM;
    l->ir.is_act_signed = l->ir.is_input_image = true;
    l->in = (apq_int_codes){2.6F / 127.0F, -128, 127};
    set_relu6(b, l, 8);
    fill_conv(b, l);
    l = append(b, APQ_IR_DEPTHWISE, "first.depthwise", s->channels, 3, 1);
    l->ir.role = APQ_ROLE_FIRST_DEPTHWISE;
    set_relu6(b, l, 8);
    fill_conv(b, l);
    l = append(b, APQ_IR_POINTWISE, "first.pointwise", s->channels, 1, 1);
    l->ir.role = APQ_ROLE_FIRST_POINTWISE;
    set_linear(b, l, true);
    fill_conv(b, l);
}

static void append_block(builder *b, int block, const block_shape *s) {
    char name[APQ_IR_NAME_MAX];
    int input = b->model->n_convs - 1;
    (void)snprintf(name, sizeof name, "block%d.expand", block);
    apq_int_conv *l = append(b, APQ_IR_POINTWISE, name, s->middle, 1, 1);
    l->ir.role = APQ_ROLE_EXPAND;
    l->ir.block = block;
    l->ir.weight_bits = s->pw_weight;
    l->ir.act_bits = s->pw_act;
    l->ir.is_act_signed = true;
    set_reround(b, l, s->pw_act);
    set_relu6(b, l, s->dw_act);
    fill_conv(b, l);
    (void)snprintf(name, sizeof name, "block%d.depthwise", block);
    l = append(b, APQ_IR_DEPTHWISE, name, s->middle, s->kernel, s->stride);
    l->ir.role = APQ_ROLE_DEPTHWISE;
    l->ir.block = block;
    l->ir.weight_bits = s->dw_weight;
    l->ir.act_bits = s->dw_act;
    set_relu6(b, l, s->pw_act);
    fill_conv(b, l);
    (void)snprintf(name, sizeof name, "block%d.project", block);
    l = append(b, APQ_IR_POINTWISE, name, s->channels, 1, 1);
    l->ir.role = APQ_ROLE_PROJECT;
    l->ir.block = block;
    l->ir.weight_bits = s->pw_weight;
    l->ir.act_bits = s->pw_act;
    bool is_residual =
        s->stride == 1 && b->model->convs[input].ir.out_channels == s->channels;
    set_linear(b, l, !is_residual);
    l->ir.residual_from = is_residual ? input : -1;
    fill_conv(b, l);
}

static void append_classifier(builder *b, const model_shape *s) {
    apq_int_model *m = b->model;
    const apq_int_conv *mix = &m->convs[m->n_convs - 1];
    int pixels = mix->ir.out_size * mix->ir.out_size;
    size_t n = (size_t)s->n_classes;
    m->classifier = (apq_ir_layer){.name = "classifier",
                                   .kind = APQ_IR_LINEAR,
                                   .role = APQ_ROLE_CLASSIFIER,
                                   .block = -1,
                                   .in_channels = s->mix_channels,
                                   .out_channels = s->n_classes,
                                   .kernel = 1,
                                   .stride = 1,
                                   .in_size = mix->ir.out_size,
                                   .out_size = 1,
                                   .weight_bits = 8,
                                   .act_bits = 8,
                                   .residual_from = -1};
    m->channels = s->mix_channels;
    m->n_classes = s->n_classes;
    m->pooled = (apq_int_codes){0.6F * mix->out.step, 0, 255};
    m->pool_rescale = mix->out.step / (m->pooled.step * (float)pixels);
    m->w = random_codes(b, (int64_t)n * m->channels, 8);
    int32_t *bias = take(b, n, sizeof *bias);
    float *weight_step = take(b, n, sizeof *weight_step);
    float *logit_scale = take(b, n, sizeof *logit_scale);
    for (size_t k = 0; k < n; k++) {
        bias[k] = (int32_t)(uniform(b, -1.0, 1.0) * 30000.0F);
        bool is_own = s->has_class_steps || k == 0;
        weight_step[k] =
            is_own ? uniform(b, 0.5, 1.5) / 127.0F : weight_step[0];
        logit_scale[k] = m->pooled.step * weight_step[k];
    }
    m->bias = bias;
    m->weight_step = weight_step;
    m->logit_scale = logit_scale;
}

apq_int_model *build_model(const model_shape *shape, uint64_t seed) {
    apq_int_model *m = apq_calloc(1, sizeof *m);
    assert_non_null(m);
    assert_int_equal(apq_arena_create(&m->arena), APQ_OK);
    m->resolution = shape->resolution;
    m->image_channels = 3;
    builder b = {.model = m, .rng = apq_rng_make(seed, APQ_RNG_TEST, 0)};
    append_head(&b, shape);
    for (int i = 0; i < shape->n_blocks; i++) {
        append_block(&b, i, &shape->blocks[i]);
    }
    apq_int_conv *mix =
        append(&b, APQ_IR_POINTWISE, "feature_mix", shape->mix_channels, 1, 1);
    mix->ir.role = APQ_ROLE_FEATURE_MIX;
    mix->ir.is_act_signed = true;
    set_relu6(&b, mix, 8);
    fill_conv(&b, mix);
    append_classifier(&b, shape);
    return m;
}

uint8_t *draw_pixels(const apq_int_model *model, int n_images, uint64_t seed) {
    int side = model->resolution;
    uint8_t *pixels =
        malloc(3 * (size_t)n_images * (size_t)side * (size_t)side);
    assert_non_null(pixels);
    apq_rng rng = apq_rng_make(seed, APQ_RNG_TEST, 1);
    uint8_t *at = pixels;
    for (int i = 0; i < n_images; i++) {
        double phase = 6.0 * apq_rng_uniform(&rng);
        double pitch = 3.0 * apq_rng_uniform(&rng);
        double level = 40.0 + 180.0 * apq_rng_uniform(&rng);
        for (int j = 0; j < side * side; j++) {
            for (int c = 0; c < 3; c++) {
                double wave = sin(phase + pitch * (j / side) + j % side + c);
                double noise = apq_rng_uniform(&rng) - 0.5;
                *at++ = (uint8_t)fmin(
                    fmax(level + 60.0 * wave + 90.0 * noise, 0.0), 255.0);
            }
        }
    }
    return pixels;
}
