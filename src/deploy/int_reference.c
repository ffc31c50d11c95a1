/* An integer model run by the definition: every output is one sum over the
 * taps and channels that it reads. */
#include "deploy/int_reference.h"

#include <math.h>
#include <stdlib.h>

int apq_int_round(float x, const apq_int_codes *to) {
    if (!(x > (float)to->low)) {
        return to->low;
    }
    return x < (float)to->high ? (int)lrintf(x) : to->high;
}

static int clamp(int code, const apq_int_codes *to) {
    code = code < to->low ? to->low : code;
    return code > to->high ? to->high : code;
}

int64_t apq_int_depth(const apq_ir_layer *ir) {
    int64_t taps = (int64_t)ir->kernel * ir->kernel;
    return ir->kind == APQ_IR_DEPTHWISE ? taps : taps * ir->in_channels;
}

/* The sum of output channel k at (oy, ox) over x (in_size, in_size, C). */
static int32_t sum_at(const apq_int_conv *l, const int16_t *x, int oy, int ox,
                      int k) {
    const apq_ir_layer *ir = &l->ir;
    bool is_depthwise = ir->kind == APQ_IR_DEPTHWISE;
    int first = is_depthwise ? k : 0;
    int n = is_depthwise ? 1 : ir->in_channels;
    const int8_t *w = l->w + k * apq_int_depth(ir);
    int32_t sum = l->bias[k];
    for (int ky = 0; ky < ir->kernel; ky++) {
        for (int kx = 0; kx < ir->kernel; kx++, w += n) {
            int y = oy * ir->stride + ky - ir->kernel / 2;
            int column = ox * ir->stride + kx - ir->kernel / 2;
            if (y < 0 || y >= ir->in_size || column < 0 ||
                column >= ir->in_size) {
                continue;
            }
            const int16_t *pixel =
                x + ((int64_t)y * ir->in_size + column) * ir->in_channels;
            for (int c = 0; c < n; c++) {
                sum += pixel[first + c] * w[c];
            }
        }
    }
    return sum;
}

/* residual: codes as y; or NULL. */
static void convolve(const apq_int_conv *l, const int16_t *x,
                     const int16_t *residual, int16_t *y) {
    int side = l->ir.out_size, channels = l->ir.out_channels;
    for (int oy = 0; oy < side; oy++) {
        for (int ox = 0; ox < side; ox++) {
            for (int k = 0; k < channels; k++) {
                int64_t at = ((int64_t)oy * side + ox) * channels + k;
                float sum = (float)sum_at(l, x, oy, ox, k);
                int code = apq_int_round(sum * l->rescale[k], &l->out);
                if (residual != NULL) {
                    code = clamp(code + residual[at], &l->out);
                }
                y[at] = (int16_t)code;
            }
        }
    }
}

/* The input codes of a layer, from what it reads; may be done in place. */
static void read_codes(const apq_int_conv *l, const int16_t *from, size_t n,
                       int16_t *x) {
    for (size_t i = 0; i < n; i++) {
        x[i] = l->reround == NULL ? from[i] : l->reround[from[i] + 128];
    }
}

static void classify(const apq_int_model *m, const int16_t *y, float *logits) {
    const apq_ir_layer *last = &m->convs[m->n_convs - 1].ir;
    int pixels = last->out_size * last->out_size;
    for (int k = 0; k < m->n_classes; k++) {
        int32_t sum = m->bias[k];
        for (int c = 0; c < m->channels; c++) {
            int32_t total = 0;
            for (int p = 0; p < pixels; p++) {
                total += y[p * m->channels + c];
            }
            sum += apq_int_round((float)total * m->pool_rescale, &m->pooled) *
                   m->w[(int64_t)k * m->channels + c];
        }
        logits[k] = (float)sum * m->logit_scale[k];
    }
}

/* outputs: (n_convs) buffers of every layer's codes; x: of any layer's input */
static void run(const apq_int_model *m, const float *image, int16_t **outputs,
                int16_t *x, float *logits) {
    for (int i = 0; i < m->n_convs; i++) {
        const apq_int_conv *l = &m->convs[i];
        size_t n = (size_t)l->ir.in_size * (size_t)l->ir.in_size *
                   (size_t)l->ir.in_channels;
        if (i > 0) {
            read_codes(l, outputs[i - 1], n, x);
        }
        for (size_t k = 0; i == 0 && k < n; k++) {
            x[k] = (int16_t)apq_int_round(image[k] / l->in.step, &l->in);
        }
        int from = l->ir.residual_from;
        convolve(l, x, from < 0 ? NULL : outputs[from], outputs[i]);
    }
    classify(m, outputs[m->n_convs - 1], logits);
}

apq_status apq_int_reference_run(const apq_int_model *m, const float *image,
                                 int16_t *const *codes, float *logits) {
    size_t total = 0, most = 0;
    for (int i = 0; i < m->n_convs; i++) {
        const apq_ir_layer *ir = &m->convs[i].ir;
        size_t n =
            (size_t)ir->in_size * (size_t)ir->in_size * (size_t)ir->in_channels;
        most = n > most ? n : most;
        total += apq_ir_layer_outputs(ir);
    }
    int16_t *memory = apq_calloc(total + most, sizeof *memory);
    if (memory == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer reference: out of memory");
    }
    int16_t *outputs[APQ_IR_MAX_LAYERS];
    int16_t *at = memory + most;
    for (int i = 0; i < m->n_convs; i++) {
        outputs[i] = codes != NULL && codes[i] != NULL ? codes[i] : at;
        at += apq_ir_layer_outputs(&m->convs[i].ir);
    }
    run(m, image, outputs, memory, logits);
    free(memory);
    return APQ_OK;
}
