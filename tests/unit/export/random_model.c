/* Builds integer models out of nothing but a seed. */
#include "unit/export/random_model.h"

#include "base/rng.h"
#include "deploy/int_reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_CLASSES = 10 };

typedef struct builder {
    apq_int_model *m;
    apq_rng rng;
    const random_options *options;
    int side, channels;   /* of the last output */
    apq_int_codes stream; /* of linear layers */
} builder;

static void *take(builder *b, size_t n, size_t size) {
    void *memory = apq_arena_alloc(b->m->arena, n, size);
    if (memory == NULL) {
        abort();
    }
    return memset(memory, 0, n * size);
}

static float between(builder *b, double low, double high) {
    return (float)(low + (high - low) * apq_rng_uniform(&b->rng));
}

static int draw_bits(builder *b) {
    return b->options->bits != 0 ? b->options->bits
                                 : 4 + 2 * (int)apq_rng_below(&b->rng, 3);
}

static apq_int_codes unsigned_codes(builder *b, int bits) {
    int high = (1 << bits) - 1;
    return (apq_int_codes){between(b, 2, 6) / (float)high, 0, high};
}

static int8_t *draw_weights(builder *b, size_t n, int bits) {
    uint32_t most = (1U << (bits - 1)) - 1;
    int8_t *w = take(b, n, 1);
    for (size_t i = 0; i < n; i++) {
        w[i] = (int8_t)((int)apq_rng_below(&b->rng, 2 * most + 1) - (int)most);
    }
    return w;
}

/* Typical size of a sum of `depth` products. */
static double spread(const apq_int_codes *in, int bits, int64_t depth) {
    double most = (1 << (bits - 1)) - 1;
    return sqrt((double)depth / 3) * most * (in->high - in->low) / 3;
}

static float *draw_steps(builder *b, int n, double typical) {
    float *steps = take(b, (size_t)n, sizeof *steps);
    for (int k = 0; k < n; k++) {
        steps[k] = (float)typical * between(b, 0.6, 1.4);
    }
    return steps;
}

static int32_t *draw_bias(builder *b, int n, double typical) {
    int32_t *bias = take(b, (size_t)n, sizeof *bias);
    for (int k = 0; k < n; k++) {
        bias[k] = (int32_t)(typical * apq_rng_normal(&b->rng));
    }
    return bias;
}

/* Weights that fit the codes of input and output. */
static void fill_conv(builder *b, apq_int_conv *c) {
    int n = c->ir.out_channels, bits = c->ir.weight_bits;
    int64_t depth = apq_int_depth(&c->ir);
    double typical = spread(&c->in, bits, depth);
    double wanted = (double)c->out.step * (c->out.high - c->out.low) / 4;
    c->w = draw_weights(b, (size_t)n * (size_t)depth, bits);
    float *steps = draw_steps(b, n, wanted / ((double)c->in.step * typical));
    float *rescale = take(b, (size_t)n, sizeof *rescale);
    for (int k = 0; k < n; k++) {
        rescale[k] = c->in.step * steps[k];
        rescale[k] /= c->out.step;
    }
    c->weight_step = steps;
    c->rescale = rescale;
    c->bias = draw_bias(b, n, typical / 2);
}

static void fill_reround(builder *b, apq_int_conv *c) {
    int8_t *table = take(b, 256, 1);
    for (int i = 0; i < 256; i++) {
        float value = (float)(i - 128) * b->stream.step;
        table[i] = (int8_t)apq_int_round(value / c->in.step, &c->in);
    }
    c->reround = table;
}

/* What the layer reads: the image, the stream or the codes of ReLU6. */
static void set_input(builder *b, apq_int_conv *c) {
    const apq_int_model *m = b->m;
    if (m->n_convs == 0) {
        c->in = (apq_int_codes){between(b, 0.01, 0.03), -128, 127};
        return;
    }
    const apq_int_conv *before = &m->convs[m->n_convs - 1];
    c->in = before->out;
    if (!before->ir.has_relu6) {
        c->ir.is_act_signed = true;
        if (c->ir.act_bits < 8) {
            int high = (1 << (c->ir.act_bits - 1)) - 1;
            c->in = (apq_int_codes){b->stream.step * 127 / (float)high *
                                        between(b, 0.6, 1),
                                    -high, high};
            fill_reround(b, c);
        }
    }
}

/* out_bits: of what reads it, after ReLU6; 0: linear */
static void add_conv(builder *b, const char *name, apq_ir_layer ir,
                     int out_bits) {
    apq_int_conv *c = &b->m->convs[b->m->n_convs];
    ir.in_channels = b->channels;
    ir.in_size = b->side;
    ir.out_size = (b->side + ir.stride - 1) / ir.stride;
    ir.has_relu6 = out_bits > 0;
    (void)snprintf(ir.name, sizeof ir.name, "%s", name);
    c->ir = ir;
    set_input(b, c);
    c->out = out_bits > 0 ? unsigned_codes(b, out_bits) : b->stream;
    fill_conv(b, c);
    b->side = ir.out_size;
    b->channels = ir.out_channels;
    b->m->n_convs++;
}

static void add_block(builder *b, int i, bool is_last) {
    char name[APQ_IR_NAME_MAX];
    int bits_wide = draw_bits(b), bits_narrow = draw_bits(b);
    int before = b->m->n_convs - 1, channels = b->channels;
    int stride = i % 2 == 1 && b->side > 2 ? 2 : 1;
    int wide = 3 * channels + 4;
    (void)snprintf(name, sizeof name, "block%d.expand", i);
    add_conv(b, name,
             (apq_ir_layer){.kind = APQ_IR_POINTWISE,
                            .out_channels = wide,
                            .kernel = 1,
                            .stride = 1,
                            .weight_bits = draw_bits(b),
                            .act_bits = draw_bits(b),
                            .residual_from = -1},
             bits_wide);
    (void)snprintf(name, sizeof name, "block%d.depthwise", i);
    add_conv(b, name,
             (apq_ir_layer){.kind = APQ_IR_DEPTHWISE,
                            .out_channels = wide,
                            .kernel = 3 + 2 * (i % 3),
                            .stride = stride,
                            .weight_bits = draw_bits(b),
                            .act_bits = bits_wide,
                            .residual_from = -1},
             bits_narrow);
    /* Another stream begins where nothing is added. */
    bool has_residual = stride == 1 && !is_last;
    if (!has_residual) {
        b->stream.step = between(b, 0.02, 0.06);
    }
    (void)snprintf(name, sizeof name, "block%d.project", i);
    add_conv(b, name,
             (apq_ir_layer){.kind = APQ_IR_POINTWISE,
                            .out_channels = channels + (has_residual ? 0 : 4),
                            .kernel = 1,
                            .stride = 1,
                            .weight_bits = draw_bits(b),
                            .act_bits = bits_narrow,
                            .residual_from = has_residual ? before : -1},
             0);
}

/* Takes the mean over some images off the logits: images differ in class. */
static void centre_logits(apq_int_model *m, int32_t *bias) {
    enum { N = 8 };
    float *images = random_images(m, 1, N), logits[N_CLASSES];
    double mean[N_CLASSES] = {0};
    size_t pixels = (size_t)(m->resolution * m->resolution * m->image_channels);
    for (size_t i = 0; i < N; i++) {
        if (apq_int_reference_run(m, images + i * pixels, NULL, logits) !=
            APQ_OK) {
            abort();
        }
        for (int k = 0; k < N_CLASSES; k++) {
            mean[k] += (double)(logits[k] / m->logit_scale[k]) / N;
        }
    }
    for (int k = 0; k < N_CLASSES; k++) {
        bias[k] -= (int32_t)mean[k];
    }
    free(images);
}

static void add_classifier(builder *b) {
    apq_int_model *m = b->m;
    const apq_int_conv *last = &m->convs[m->n_convs - 1];
    m->classifier = (apq_ir_layer){.kind = APQ_IR_LINEAR,
                                   .name = "classifier",
                                   .in_channels = b->channels,
                                   .out_channels = N_CLASSES,
                                   .weight_bits = 8,
                                   .act_bits = 8,
                                   .residual_from = -1};
    m->n_classes = N_CLASSES;
    m->channels = b->channels;
    /* A round ratio would make ties of whole sums. */
    m->pooled = (apq_int_codes){last->out.step * between(b, 0.5, 0.7), 0, 255};
    m->pool_rescale =
        last->out.step / (m->pooled.step * (float)(b->side * b->side));
    m->w = draw_weights(b, (size_t)(N_CLASSES * b->channels), 8);
    double typical = spread(&m->pooled, 8, b->channels);
    float *steps =
        draw_steps(b, N_CLASSES, 3 / ((double)m->pooled.step * typical));
    float *scale = take(b, N_CLASSES, sizeof *scale);
    for (int k = 0; k < N_CLASSES; k++) {
        scale[k] = m->pooled.step * steps[k];
    }
    m->weight_step = steps;
    m->logit_scale = scale;
    int32_t *bias = draw_bias(b, N_CLASSES, 0);
    m->bias = bias;
    centre_logits(m, bias);
}

static void add_first_block(builder *b) {
    apq_ir_layer ir = {.kind = APQ_IR_CONV,
                       .out_channels = b->options->channels,
                       .kernel = 3,
                       .stride = 2,
                       .weight_bits = 8,
                       .act_bits = 8,
                       .is_input_image = true,
                       .residual_from = -1};
    add_conv(b, "stem", ir, 8);
    ir.kind = APQ_IR_DEPTHWISE;
    ir.stride = 1;
    ir.is_input_image = false;
    add_conv(b, "first.depthwise", ir, 8);
    ir.kind = APQ_IR_POINTWISE;
    ir.kernel = 1;
    add_conv(b, "first.pointwise", ir, 0);
}

apq_int_model *random_model(const random_options *options) {
    apq_int_model *m = calloc(1, sizeof *m);
    if (m == NULL || apq_arena_create(&m->arena) != APQ_OK) {
        abort();
    }
    m->resolution = options->resolution;
    m->image_channels = 3;
    builder b = {.m = m,
                 .rng = apq_rng_make(options->seed, APQ_RNG_TEST, 0),
                 .options = options,
                 .side = options->resolution,
                 .channels = 3};
    b.stream = (apq_int_codes){between(&b, 0.02, 0.06), -128, 127};
    add_first_block(&b);
    for (int i = 0; i < options->n_blocks; i++) {
        add_block(&b, i, i == options->n_blocks - 1);
    }
    apq_ir_layer mix = {.kind = APQ_IR_POINTWISE,
                        .out_channels = 2 * b.channels + 8,
                        .kernel = 1,
                        .stride = 1,
                        .weight_bits = 8,
                        .act_bits = 8,
                        .residual_from = -1};
    add_conv(&b, "feature_mix", mix, 8);
    add_classifier(&b);
    return m;
}

void random_model_free(apq_int_model *model) {
    if (model != NULL) {
        apq_arena_destroy(model->arena);
        free(model);
    }
}

float *random_images(const apq_int_model *m, uint64_t seed, int n) {
    apq_rng rng = apq_rng_make(seed, APQ_RNG_TEST, 1);
    size_t total = (size_t)n * (size_t)m->resolution * (size_t)m->resolution *
                   (size_t)m->image_channels;
    float *images = malloc(total * sizeof *images);
    if (images == NULL) {
        abort();
    }
    int side = m->resolution, channels = m->image_channels;
    float *pixel = images;
    for (int i = 0; i < n; i++) {
        /* White noise alone would leave nothing after the pool. */
        double waves[4][3];
        for (int c = 0; c < 4 * channels; c++) {
            waves[c / channels][c % channels] = apq_rng_normal(&rng);
        }
        for (int at = 0; at < side * side * channels; at++, pixel++) {
            int c = at % channels, x = at / channels % side;
            int y = at / channels / side;
            double code = 30 * waves[0][c] + 30 * apq_rng_normal(&rng) +
                          40 * waves[1][c] * sin(x * waves[2][c]) +
                          40 * waves[3][c] * cos(y * waves[2][c]);
            *pixel = m->convs[0].in.step * (float)code;
        }
    }
    return images;
}
