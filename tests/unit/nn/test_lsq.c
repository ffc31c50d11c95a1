/* Learned steps through a whole network: every gradient against differences of
 * a network written here in double, whose rounding errors and clamped sides
 * are kept as they were found, which is what straight-through means. */
#include "nn/model.h"
#include "nn/quantised.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3, SIDE = 4, ROWS = N * SIDE * SIDE, N_LAYERS = 5, WIDEST = 6 };
enum { CLASSES = 3, N_SLOTS = 2048 };

/* Channels of the layers' outputs; a stem, a depthwise layer, a bottleneck, an
 * expansion with a signed input, a classifier. */
static const int widths[N_LAYERS] = {4, 4, 5, WIDEST, CLASSES};
static const apq_ir_kind kinds[N_LAYERS] = {APQ_IR_CONV, APQ_IR_DEPTHWISE,
                                            APQ_IR_POINTWISE, APQ_IR_POINTWISE,
                                            APQ_IR_LINEAR};

typedef struct slot {
    int side; /* -1 below, 1 above */
    double error;
} slot;

typedef struct twin {
    apq_model *model;
    apq_nn_net net;
    apq_arena *arena;
    float images[ROWS * 3], dlogits[N * CLASSES];
    /* The double network reads parameters in double. */
    double *value;
    bool is_found; /* slots are filled */
    int n_slots;   /* of this pass */
    slot slots[N_SLOTS];
} twin;

static void build(apq_ir_network *ir, int bits) {
    *ir = (apq_ir_network){
        .n_layers = N_LAYERS, .n_classes = CLASSES, .resolution = SIDE};
    for (int i = 0; i < N_LAYERS; i++) {
        apq_ir_layer *l = &ir->layers[i];
        *l = (apq_ir_layer){
            .kind = kinds[i],
            .block = -1,
            .in_channels = i == 0 ? 3 : widths[i - 1],
            .out_channels = widths[i],
            .kernel = kinds[i] == APQ_IR_DEPTHWISE ? 3 : 1,
            .stride = 1,
            .in_size = SIDE,
            .out_size = i + 1 == N_LAYERS ? 1 : SIDE,
            .weight_bits = bits,
            .act_bits = bits,
            .is_input_image = i == 0,
            .is_act_signed = i == 3,
            .has_relu6 = i != 2 && i + 1 < N_LAYERS,
            .residual_from = -1,
        };
        (void)snprintf(l->name, sizeof l->name, "layer%d", i);
    }
    assert_int_equal(apq_ir_check(ir), APQ_OK);
}

static void draw(float *x, size_t n, uint64_t number, double deviation) {
    apq_rng rng = apq_rng_make(12, APQ_RNG_TEST, number);
    for (size_t i = 0; i < n; i++) {
        x[i] += (float)(deviation * apq_rng_normal(&rng));
    }
}

/* Ranges and steps a little narrower than calibrated, so that all clip. */
static void open_twin(twin *t, const char *backend, int bits) {
    *t = (twin){0};
    apq_ir_network ir;
    build(&ir, bits);
    const apq_backend *b;
    assert_int_equal(apq_backend_find(backend, &b), APQ_OK);
    assert_int_equal(apq_arena_create(&t->arena), APQ_OK);
    assert_int_equal(apq_model_create(&ir, 3, APQ_QUANTISER_LSQ, &t->model),
                     APQ_OK);
    apq_params *p = &t->model->params;
    draw(p->value, p->n_values, 0, 0.5);
    draw(t->images, ROWS * 3, 1, 1.0);
    draw(t->dlogits, N * CLASSES, 2, 1.0);
    apq_params_init_constant(p, t->model->act_range, 6.0F);
    assert_int_equal(apq_model_bind(t->model, b, t->arena, &t->net), APQ_OK);
    assert_int_equal(apq_nn_calibrate(&t->net, t->images, N), APQ_OK);
    apq_model_store_ranges(t->model, &t->net);
    for (int i = 0; i < N_LAYERS; i++) {
        apq_params_value(p, t->model->act_range)[i] *= 0.6F;
        for (int k = 0; k < widths[i]; k++) {
            apq_params_value(p, t->model->weight_step[i])[k] *= 0.7F;
        }
    }
    apq_model_pull_ranges(t->model, &t->net);
    t->value = malloc(p->n_values * sizeof *t->value);
    assert_non_null(t->value);
    for (size_t i = 0; i < p->n_values; i++) {
        t->value[i] = (double)p->value[i];
    }
}

static void close_twin(twin *t) {
    free(t->value);
    apq_nn_net_fini(&t->net);
    apq_model_destroy(t->model);
    apq_arena_destroy(t->arena);
}

/* Codes low .. high. */
static double quantise(twin *t, double x, double step, double low,
                       double high) {
    assert_true(t->n_slots < N_SLOTS);
    slot *s = &t->slots[t->n_slots++];
    if (!t->is_found) {
        double v = x / step;
        s->side = v <= low ? -1 : v >= high ? 1 : 0;
        s->error = rint(v) - v;
    }
    return s->side == 0 ? x + step * s->error
                        : step * (s->side < 0 ? low : high);
}

/* Signed codes of 8 bits whose range is frozen: whatever rounding and clamp
 * do to x is passed over. */
static double pass(twin *t, double x, float range) {
    assert_true(t->n_slots < N_SLOTS);
    slot *s = &t->slots[t->n_slots++];
    if (!t->is_found) {
        double step = (double)range / 127;
        s->error = step * fmin(fmax(rint(x / step), -128), 127) - x;
    }
    return x + s->error;
}

static double *parameter(const twin *t, size_t index) {
    return t->value + t->model->params.items[index].offset;
}

/* Batch norm over rows, of channel c of K, in place. */
static void normalise(double *z, int K, int c, double gamma, double beta) {
    double mean = 0, variance = 0;
    for (int r = 0; r < ROWS; r++) {
        mean += z[r * K + c] / ROWS;
    }
    for (int r = 0; r < ROWS; r++) {
        variance += pow(z[r * K + c] - mean, 2) / ROWS;
    }
    for (int r = 0; r < ROWS; r++) {
        z[r * K + c] =
            gamma * (z[r * K + c] - mean) / sqrt(variance + 1e-3) + beta;
    }
}

/* Output channel k of pixel r; w (K, C) or (9, C). */
static double convolve(const apq_ir_layer *l, const double *x, const double *w,
                       int r, int k) {
    int C = l->in_channels;
    double sum = 0;
    if (l->kind != APQ_IR_DEPTHWISE) {
        for (int c = 0; c < C; c++) {
            sum += x[r * C + c] * w[k * C + c];
        }
        return sum;
    }
    int row = r / SIDE % SIDE, column = r % SIDE;
    for (int tap = 0; tap < 9; tap++) {
        int dy = tap / 3 - 1, dx = tap % 3 - 1;
        if (row + dy >= 0 && row + dy < SIDE && column + dx >= 0 &&
            column + dx < SIDE) {
            sum += x[(r + dy * SIDE + dx) * C + k] * w[tap * C + k];
        }
    }
    return sum;
}

static void pool(const double *x, int C, double *pooled) {
    for (int i = 0; i < N * C; i++) {
        pooled[i] = 0;
        for (int p = 0; p < SIDE * SIDE; p++) {
            double y = x[(i / C * SIDE * SIDE + p) * C + i % C];
            pooled[i] += y / (SIDE * SIDE);
        }
    }
}

/* The loss sum(dlogits * logits) of the double network. */
static double loss_of(twin *t) {
    double x[ROWS * WIDEST], z[ROWS * WIDEST], w[9 * WIDEST * WIDEST];
    double loss = 0;
    t->n_slots = 0;
    for (int i = 0; i < ROWS * 3; i++) {
        x[i] = pass(t, (double)t->images[i], t->net.layers[0].act_range);
    }
    for (int i = 0; i < N_LAYERS; i++) {
        const apq_ir_layer *l = &t->model->ir.layers[i];
        int K = l->out_channels, C = l->in_channels;
        bool is_last = i + 1 == N_LAYERS, is_by_column = i == 1;
        int rows = is_last ? N : ROWS;
        if (is_last) {
            pool(x, C, z);
            memcpy(x, z, sizeof x);
        }
        double width = parameter(t, t->model->act_range)[i];
        double highest = pow(2, l->act_bits - (i == 3 ? 1 : 0)) - 1;
        bool is_rounded = i > 0 && !(i == 3 && l->act_bits == 8);
        for (int k = 0; is_rounded && k < rows * C; k++) {
            x[k] = quantise(t, x[k], width / highest, i == 3 ? -highest - 1 : 0,
                            highest);
        }
        const double *steps = parameter(t, t->model->weight_step[i]);
        const double *weight = parameter(t, t->model->weight[i]);
        double heaviest = pow(2, l->weight_bits - 1) - 1;
        for (int k = 0; k < (is_by_column ? 9 : K) * C; k++) {
            double step = steps[is_by_column ? k % C : k / C];
            w[k] = quantise(t, weight[k], step, -heaviest, heaviest);
        }
        for (int k = 0; k < rows * K; k++) {
            z[k] = convolve(l, x, w, k / K, k % K);
        }
        const double *gamma = parameter(t, t->model->gamma[i]);
        for (int k = 0; k < K && !is_last; k++) {
            normalise(z, K, k, gamma[k], parameter(t, t->model->beta[i])[k]);
        }
        for (int k = 0; k < rows * K && is_last; k++) {
            loss += (double)t->dlogits[k] * (z[k] + gamma[k % K]);
        }
        float range = t->net.layers[i].out_range;
        for (int k = 0; k < rows * K && i == 2; k++) {
            z[k] = pass(t, z[k], range);
        }
        for (int k = 0; k < rows * K && i == 3; k++) { /* with ReLU6 */
            z[k] = quantise(t, z[k], (double)range / 255, 0, 255);
        }
        memcpy(x, z, sizeof x);
    }
    t->is_found = true;
    return loss;
}

static double step_scale(int n, double highest, double highest_at_4) {
    return pow(fmin(highest_at_4 / highest, 1.0), 1.5) / sqrt(n * highest);
}

/* What LSQ makes of a slope by parameter i of tensor k: steps are scaled, and
 * ranges move as their step would. */
static double scale_of(const twin *t, size_t k, size_t i) {
    const apq_model *m = t->model;
    for (int layer = 0; layer < N_LAYERS; layer++) {
        const apq_ir_layer *l = &m->ir.layers[layer];
        if (k == m->weight_step[layer]) {
            int n = l->kind == APQ_IR_DEPTHWISE ? 9 : l->in_channels;
            return step_scale(n, pow(2, l->weight_bits - 1) - 1, 7);
        }
    }
    if (k != m->act_range) {
        return 1;
    }
    const apq_ir_layer *l = &m->ir.layers[i];
    double highest = pow(2, l->act_bits - (l->is_act_signed ? 1 : 0)) - 1;
    int n = l->in_channels * (i + 1 == N_LAYERS ? 1 : SIDE * SIDE);
    return highest * highest *
           step_scale(n, highest, l->is_act_signed ? 7 : 15);
}

static void check_gradients(const char *backend, int bits) {
    twin t;
    open_twin(&t, backend, bits);
    apq_params *p = &t.model->params;
    float *logits;
    assert_int_equal(apq_nn_forward(&t.net, APQ_NN_TRAIN, t.images, N, &logits),
                     APQ_OK);
    apq_params_zero_grad(p);
    assert_int_equal(apq_nn_backward(&t.net, t.dlogits), APQ_OK);
    apq_model_push_range_grads(t.model, &t.net);
    double loss = 0;
    for (int i = 0; i < N * CLASSES; i++) {
        loss += (double)t.dlogits[i] * (double)logits[i];
    }
    double want = loss_of(&t);
    assert_true(fabs(loss - want) <= 1e-4 * (1 + fabs(want)));
    for (size_t k = 0; k < p->n_items; k++) {
        double largest = 0, worst = 0;
        for (size_t i = 0; i < p->items[k].n; i++) {
            double *value = parameter(&t, k) + i, keep = *value;
            *value = keep + 1e-6;
            double up = loss_of(&t);
            *value = keep - 1e-6;
            double slope = (up - loss_of(&t)) / 2e-6 * scale_of(&t, k, i);
            *value = keep;
            double off = fabs(slope - (double)apq_params_grad(p, k)[i]);
            largest = fmax(largest, fabs(slope));
            worst = off <= worst ? worst : off; /* keeps NaN */
        }
        if (!(worst <= 1e-5 + 1e-3 * largest)) {
            fail_msg("%s, %d bits, %s: off by %g of %g", backend, bits,
                     p->items[k].name, worst, largest);
        }
        /* The norm of layer 3 takes off what is added to an input that is
         * neither clipped nor rounded by itself. */
        bool vanishes = bits == 8 && k == t.model->beta[2];
        assert_true(vanishes == (largest <= 1e-3));
    }
    close_twin(&t);
}

static void gradients_match_differences(void **state) {
    (void)state;
    for (int bits = 4; bits <= 8; bits += 2) {
        check_gradients("ref", bits);
        check_gradients("cpu", bits);
    }
}

/* Gradients of steps are handed over, and add up until they are cleared. */
static void step_gradients_are_handed_over(void **state) {
    (void)state;
    twin t;
    open_twin(&t, "ref", 4);
    float *logits;
    assert_int_equal(apq_nn_forward(&t.net, APQ_NN_TRAIN, t.images, N, &logits),
                     APQ_OK);
    size_t k = t.model->weight_step[2];
    const float *g = apq_params_grad(&t.model->params, k);
    float once = 0;
    for (int pass = 1; pass <= 2; pass++) {
        assert_int_equal(apq_nn_backward(&t.net, t.dlogits), APQ_OK);
        assert_true(t.net.layers[2].weight_step_grad[0] != 0.0F);
        apq_model_push_range_grads(t.model, &t.net);
        assert_true(t.net.layers[2].weight_step_grad[0] == 0.0F);
        once = pass == 1 ? g[0] : once;
        assert_true(fabsf(g[0] - (float)pass * once) <= 1e-5F * fabsf(g[0]));
    }
    close_twin(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(step_gradients_are_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
