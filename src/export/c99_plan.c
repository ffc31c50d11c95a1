/* The C99 export's plan: which layers make a chain, where its input and output
 * lie in the shared array, and what the working memory comes to (ours). */
#include "export/c99_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 4, FACTOR_BITS = 30, MOST_UNIT_BITS = 8 };

/* Helpers ----------------------------------------------------------------- */

int apq_c99_container_bits(const apq_ir_layer *ir) {
    /* The first layer reads its weights once a pixel: no unpacking. */
    if (ir->kind == APQ_IR_CONV || ir->weight_bits > 6) {
        return 8;
    }
    return ir->weight_bits > 4 ? 6 : 4;
}

static int row_weights(const apq_ir_layer *ir) {
    return (int)apq_int_depth(ir);
}

int apq_c99_row_bytes(const apq_ir_layer *ir) {
    int n = row_weights(ir);
    switch (apq_c99_container_bits(ir)) {
    case 4:
        return (n + 1) / 2;
    case 6:
        return (n + 3) / 4 * 3;
    default:
        return n;
    }
}

const char *apq_c99_type(const apq_int_codes *codes) {
    return codes->low < 0 ? "int8_t" : "uint8_t";
}

uint32_t apq_c99_scale(float scale) {
    int exponent;
    /* scale = m * 2^-shift with 24 bits in m */
    uint32_t m = (uint32_t)ldexp(frexp((double)scale, &exponent), 24);
    int shift = 24 - exponent;
    if (shift > 56) {
        return UINT32_C(56) << 24; /* below 1/4 for every sum: 0 */
    }
    /* Below 2, every sum but 0 is beyond all codes, as with 2. */
    return (uint32_t)(shift < 2 ? 2 : shift) << 24 | m;
}

int apq_c99_pixel_code(const apq_int_codes *image, float mean, float std,
                       int v) {
    return apq_int_round(apq_c99_pixel_value(mean, std, v) / image->step,
                         image);
}

/* Checks ------------------------------------------------------------------ */

apq_status apq_c99_check_prefix(const char *prefix) {
    size_t n = strlen(prefix);
    bool is_legal = n >= 1 && n < APQ_C99_PREFIX_MAX && prefix[n - 1] != '_';
    for (size_t i = 0; i < n; i++) {
        bool is_first_legal = prefix[i] >= 'a' && prefix[i] <= 'z';
        is_legal =
            is_legal && (is_first_legal ||
                         (i > 0 && (prefix[i] == '_' ||
                                    (prefix[i] >= '0' && prefix[i] <= '9'))));
    }
    if (!is_legal) {
        APQ_FAIL(APQ_ERR_ARG,
                 "prefix '%s' is not 1 to %d of a-z, 0-9 and _ that begin "
                 "with a letter and do not end in _",
                 prefix, APQ_C99_PREFIX_MAX - 1);
    }
    return APQ_OK;
}

static apq_status check_options(const apq_c99_options *o) {
    APQ_TRY(apq_c99_check_prefix(o->prefix));
    for (int c = 0; c < 3; c++) {
        if (!isfinite(o->mean[c]) || !isfinite(o->std[c]) ||
            !(o->std[c] > 0.0F)) {
            APQ_FAIL(APQ_ERR_ARG,
                     "normalisation of channel %d: mean %g, deviation %g not "
                     "finite and above 0",
                     c, (double)o->mean[c], (double)o->std[c]);
        }
    }
    if (o->n_images < 0 || o->n_images > APQ_C99_MAX_VECTORS) {
        APQ_FAIL(APQ_ERR_ARG, "%d test vectors, legal 0..%d", o->n_images,
                 APQ_C99_MAX_VECTORS);
    }
    return APQ_OK;
}

static apq_status check_scale(const char *name, float scale) {
    if (!isfinite(scale) || !(scale > 0.0F)) {
        APQ_FAIL(APQ_ERR_NUMERIC, "%s: scale %g is not a finite number above 0",
                 name, (double)scale);
    }
    return APQ_OK;
}

static apq_status check_conv(const apq_int_conv *l) {
    for (int k = 0; k < l->ir.out_channels; k++) {
        APQ_TRY(check_scale(l->ir.name, l->rescale[k]));
    }
    if (l->out.low < (l->ir.has_relu6 ? 0 : -128) ||
        l->out.high > (l->out.low < 0 ? 127 : 255)) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: codes %d..%d", l->ir.name,
                 l->out.low, l->out.high);
    }
    return APQ_OK;
}

static bool is_chain(const apq_int_model *m, int head) {
    if (head + 2 >= m->n_convs) {
        return false;
    }
    const apq_int_conv *l = &m->convs[head];
    const apq_ir_layer *first = &l[0].ir, *middle = &l[1].ir, *last = &l[2].ir;
    bool is_residual_legal =
        last->residual_from < 0 ||
        (head > 0 && last->residual_from == head - 1 && middle->stride == 1 &&
         last->out_channels == first->in_channels &&
         l[2].out.low == m->convs[head - 1].out.low);
    return first->kind == (head == 0 ? APQ_IR_CONV : APQ_IR_POINTWISE) &&
           first->residual_from < 0 && middle->kind == APQ_IR_DEPTHWISE &&
           middle->residual_from < 0 && last->kind == APQ_IR_POINTWISE &&
           (head == 0 || first->stride == 1) && last->stride == 1 &&
           l[1].reround == NULL && l[2].reround == NULL && l[2].out.low < 0 &&
           is_residual_legal;
}

static apq_status check_model(const apq_int_model *m) {
    int n = m->n_convs;
    bool is_legal = m->image_channels == 3 && n >= 4 && n % 3 == 1;
    for (int i = 0; is_legal && i + 1 < n; i += 3) {
        is_legal = is_chain(m, i);
    }
    const apq_int_conv *mix = &m->convs[n - 1];
    if (!is_legal || mix->ir.kind != APQ_IR_POINTWISE ||
        mix->ir.residual_from >= 0 || mix->ir.stride != 1) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "c: the network is not a stem with a first block, inverted "
                 "residual blocks, a feature mix and a classifier");
    }
    for (int i = 0; i < n; i++) {
        APQ_TRY(check_conv(&m->convs[i]));
    }
    APQ_TRY(check_scale("pool", m->pool_rescale));
    for (int k = 0; k < m->n_classes; k++) {
        APQ_TRY(check_scale("classifier", m->logit_scale[k]));
    }
    return APQ_OK;
}

/* Names ------------------------------------------------------------------- */

static void set_names(apq_c99_plan *p) {
    for (size_t i = 0; i <= strlen(p->options->prefix); i++) {
        p->upper[i] = (char)toupper((unsigned char)p->options->prefix[i]);
    }
    for (int i = 0; i < p->model->n_convs; i++) {
        const char *name = p->model->convs[i].ir.name;
        for (size_t j = 0; j <= strlen(name); j++) {
            bool is_plain = isalnum((unsigned char)name[j]) || name[j] == '\0';
            p->names[i][j] = (char)(is_plain ? name[j] : '_');
        }
    }
    /* A chain is called what its depthwise layer is up to the dot. */
    for (int i = 0; i < p->n_chains; i++) {
        apq_c99_chain *c = &p->chains[i];
        const char *name = p->model->convs[c->head + 1].ir.name;
        size_t length = strcspn(name, ".");
        memcpy(c->name, p->names[c->head + 1], length);
        c->name[length] = '\0';
    }
}

/* Memory ------------------------------------------------------------------ */

static int most(int a, int b) {
    return a > b ? a : b;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Bytes by which the output must begin below the input so that no row is
 * written over input that is still to be read. */
static int offset_of(const apq_int_conv *head) {
    const apq_ir_layer *middle = &head[1].ir, *last = &head[2].ir;
    int in_row = head->ir.in_size * head->ir.in_channels;
    int out_row = last->out_size * last->out_channels;
    int offset = 0;
    for (int y = 0; y < last->out_size; y++) {
        int n_read = least(y * middle->stride + middle->kernel / 2 + 1,
                           head->ir.in_size);
        offset = most(offset, (y + 1) * out_row - n_read * in_row);
    }
    return offset;
}

static void plan_stream(apq_c99_plan *p) {
    const apq_int_conv *convs = p->model->convs;
    int at = 0, lowest = 0;
    for (int i = 0; i < p->n_chains; i++) {
        apq_c99_chain *c = &p->chains[i];
        c->in_at = at;
        /* The first reads the image, which stays where it is. */
        at -= i > 0 ? offset_of(&convs[c->head]) : 0;
        c->out_at = at;
        lowest = least(lowest, at);
    }
    p->mix_in_at = at - lowest;
    p->stream_bytes = 0;
    for (int i = 0; i < p->n_chains; i++) {
        apq_c99_chain *c = &p->chains[i];
        const apq_ir_layer *last = &convs[c->head + 2].ir;
        c->in_at = i > 0 ? c->in_at - lowest : 0;
        c->out_at -= lowest;
        p->stream_bytes =
            most(p->stream_bytes, c->out_at + last->out_size * last->out_size *
                                                  last->out_channels);
    }
}

static int unpacked(const apq_ir_layer *ir) {
    return apq_c99_container_bits(ir) < 8 ? row_weights(ir) : 0;
}

/* What the structures that network.c declares come to. */
static int chain_scratch(const apq_c99_plan *p, apq_c99_chain *c) {
    const apq_int_conv *l = &p->model->convs[c->head];
    const apq_ir_layer *first = &l[0].ir, *middle = &l[1].ir, *last = &l[2].ir;
    c->ring_rows = least(middle->kernel, middle->in_size);
    int bytes = c->ring_rows * middle->in_size * middle->in_channels +
                middle->out_size * middle->out_channels +
                most(unpacked(first), most(unpacked(middle), unpacked(last)));
    if (first->kind == APQ_IR_CONV) {
        bytes += row_weights(first);
    }
    if (l->reround != NULL) {
        bytes += first->in_size * first->in_channels;
    }
    return bytes;
}

static int end_scratch(const apq_c99_plan *p) {
    const apq_int_conv *mix = &p->model->convs[p->mix];
    int bytes = mix->ir.out_channels * 4 +
                mix->ir.out_size * mix->ir.out_channels +
                most(unpacked(&mix->ir), unpacked(&p->model->classifier));
    if (mix->reround != NULL) {
        bytes += mix->ir.in_size * mix->ir.in_channels;
    }
    return bytes;
}

static int align(int bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void plan_memory(apq_c99_plan *p) {
    const apq_int_model *m = p->model;
    plan_stream(p);
    int bytes = end_scratch(p);
    for (int i = 0; i < p->n_chains; i++) {
        bytes = most(bytes, chain_scratch(p, &p->chains[i]));
    }
    p->scratch_bytes = align(bytes);
    p->sizes.arena_bytes = (size_t)align(p->scratch_bytes + p->stream_bytes);
    for (int i = 0; i < m->n_convs; i++) {
        const apq_int_conv *l = &m->convs[i];
        size_t rows = (size_t)l->ir.out_channels;
        p->sizes.weight_bytes += rows * (size_t)apq_c99_row_bytes(&l->ir);
        p->sizes.table_bytes += rows * 8 + (l->reround != NULL ? 256 : 0);
    }
    size_t classes = (size_t)m->n_classes;
    p->sizes.weight_bytes +=
        classes * (size_t)apq_c99_row_bytes(&m->classifier);
    p->sizes.table_bytes += 3 * 256 + classes * (p->has_equal_scales ? 4 : 8);
}

/* Logits ------------------------------------------------------------------ */

static double largest_scale(const apq_int_model *m) {
    double largest = 0.0;
    for (int k = 0; k < m->n_classes; k++) {
        largest = fmax(largest, (double)m->logit_scale[k]);
    }
    return largest;
}

/* No sum of the classifier is larger. */
static double sum_bound(const apq_int_model *m) {
    int code = most(abs(m->pooled.low), abs(m->pooled.high));
    double bound = 0.0;
    for (int k = 0; k < m->n_classes; k++) {
        double sum = fabs((double)m->bias[k]);
        for (int c = 0; c < m->channels; c++) {
            sum += (double)(code * abs(m->w[(int64_t)k * m->channels + c]));
        }
        bound = fmax(bound, sum);
    }
    return bound;
}

static void plan_logits(apq_c99_plan *p) {
    const apq_int_model *m = p->model;
    p->has_equal_scales = true;
    for (int k = 1; k < m->n_classes; k++) {
        p->has_equal_scales = p->has_equal_scales &&
                              !(m->logit_scale[k] < m->logit_scale[0]) &&
                              !(m->logit_scale[k] > m->logit_scale[0]);
    }
    double bound = sum_bound(m);
    while (!p->has_equal_scales && p->unit_bits < MOST_UNIT_BITS &&
           ldexp(bound, p->unit_bits + 1) < ldexp(1.0, FACTOR_BITS)) {
        p->unit_bits++;
    }
    p->unit = (float)ldexp(largest_scale(m), -p->unit_bits);
}

int32_t apq_c99_logit_factor(const apq_c99_plan *p, int k) {
    double share = (double)p->model->logit_scale[k] / largest_scale(p->model);
    return (int32_t)rint(ldexp(share, FACTOR_BITS));
}

int32_t apq_c99_logit(const apq_c99_plan *p, int k, int32_t sum) {
    if (p->has_equal_scales) {
        return sum;
    }
    /* As network.c does it. */
    int shift = FACTOR_BITS - p->unit_bits;
    int64_t product = (int64_t)sum * apq_c99_logit_factor(p, k);
    int64_t size = product < 0 ? -product : product;
    size = (size + ((int64_t)1 << (shift - 1))) >> shift;
    return (int32_t)(product < 0 ? -size : size);
}

apq_status apq_c99_plan_make(const apq_int_model *model,
                             const apq_c99_options *options,
                             apq_c99_plan *plan) {
    APQ_TRY(check_options(options));
    APQ_TRY(check_model(model));
    *plan = (apq_c99_plan){.model = model,
                           .options = options,
                           .mix = model->n_convs - 1,
                           .n_chains = model->n_convs / 3};
    for (int i = 0; i < plan->n_chains; i++) {
        plan->chains[i].head = 3 * i;
    }
    set_names(plan);
    plan_logits(plan);
    plan_memory(plan);
    return APQ_OK;
}
