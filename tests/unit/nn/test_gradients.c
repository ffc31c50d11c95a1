/* Backward pass of a whole network: single weights against differences of
 * the loss, the straight-through pass along each tensor's gradient, and the
 * fast backend against the reference. */
#include "unit/nn/toy.h"

#include "nn/streams.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_PROBES = 4, MAX_VALUES = 256 };

/* A shift that only a batch norm reads is removed by it. */
static bool must_vanish(const char *name) {
    return strcmp(name, "first.pointwise.beta") == 0 ||
           strstr(name, "project.beta") != NULL;
}

/* The entry of largest gradient that `is_taken` has not. */
static size_t steepest(const float *g, size_t n, const bool *is_taken) {
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (!is_taken[i] && (best == n || fabsf(g[i]) > fabsf(g[best]))) {
            best = i;
        }
    }
    return best;
}

/* Differs least over three steps: the loss has kinks where ReLU6 clips. */
static double nearest_slope(toy *t, float *w, double gradient) {
    double best = (double)INFINITY;
    for (double step = 8e-3; step > 4e-4; step /= 4) {
        float keep = *w;
        float high = keep + (float)step, low = keep - (float)step;
        *w = high;
        double up = toy_loss(t, false);
        *w = low;
        double down = toy_loss(t, false);
        *w = keep;
        double slope = (up - down) / ((double)high - (double)low);
        if (fabs(slope - gradient) < fabs(best - gradient)) {
            best = slope;
        }
    }
    return best;
}

static void weights_match_differences(void **state) {
    (void)state;
    toy t;
    toy_open(&t, "ref", 8);
    const apq_params *p = &t.model->params;
    (void)toy_loss(&t, true);
    for (size_t k = 0; k < p->n_items; k++) {
        const apq_param *item = &p->items[k];
        bool is_taken[MAX_VALUES] = {false};
        assert_true(item->n <= MAX_VALUES);
        for (int probe = 0; probe < N_PROBES && k != t.model->act_range;
             probe++) {
            const float *g = apq_params_grad(p, k);
            size_t i = steepest(g, item->n, is_taken);
            if (i == item->n) {
                break;
            }
            is_taken[i] = true;
            double gradient = (double)g[i];
            if (must_vanish(item->name)) {
                assert_true(fabs(gradient) <= 1e-6);
            } else if (probe == 0) {
                assert_true(fabs(gradient) >= 5e-3);
            }
            double slope =
                nearest_slope(&t, apq_params_value(p, k) + i, gradient);
            if (!(fabs(slope - gradient) <= 1e-3 + 0.02 * fabs(gradient))) {
                fail_msg("%s[%zu]: gradient %g, slope %g", item->name, i,
                         gradient, slope);
            }
        }
    }
    toy_close(&t);
}

/* Mean slope of the loss along the unit vector g / norm in tensor k, over
 * steps of several lengths so that single codes average out. */
static double slope_along(toy *t, size_t k, const float *g, double norm) {
    static const double lengths[] = {0.03, 0.05, 0.07, 0.09, 0.11};
    enum { N_LENGTHS = sizeof lengths / sizeof lengths[0] };
    size_t n = t->model->params.items[k].n;
    float *w = apq_params_value(&t->model->params, k);
    float keep[MAX_VALUES];
    memcpy(keep, w, n * sizeof *w);
    double slope = 0;
    for (int side = 0; side < 2 * N_LENGTHS; side++) {
        double sign = side % 2 == 0 ? 1.0 : -1.0;
        double h = lengths[side / 2] / 2;
        for (size_t i = 0; i < n; i++) {
            w[i] = keep[i] + (float)(sign * h / norm) * g[i];
        }
        apq_model_pull_ranges(t->model, &t->net);
        slope += sign * toy_loss(t, false) / (2 * h) / N_LENGTHS;
    }
    memcpy(w, keep, n * sizeof *w);
    apq_model_pull_ranges(t->model, &t->net);
    return slope;
}

/* A calibrated toy whose trained ranges are narrowed so that they clip, with
 * the gradients of its loss. */
static void open_clipped(toy *t) {
    toy_open(t, "ref", 8);
    assert_int_equal(apq_nn_calibrate(&t->net, t->images, TOY_IMAGES), APQ_OK);
    for (size_t i = 0; i < t->net.n_layers; i++) {
        apq_nn_layer *l = &t->net.layers[i];
        l->act_range *= apq_nn_has_frozen_range(&t->net, i) ? 1.0F : 0.5F;
    }
    apq_model_store_ranges(t->model, &t->net);
    (void)toy_loss(t, true);
}

/* With 8 bits the codes are fine, so a step much longer than a code sees
 * about the slope that straight-through gradients claim. */
static void quantised_gradients_point_uphill(void **state) {
    (void)state;
    toy t;
    open_clipped(&t);
    const apq_params *p = &t.model->params;
    int n_checked = 0;
    for (size_t k = 0; k < p->n_items; k++) {
        const float *g = apq_params_grad(p, k);
        double norm = 0;
        for (size_t i = 0; i < p->items[k].n; i++) {
            norm += (double)g[i] * (double)g[i];
        }
        norm = sqrt(norm);
        if (norm < 0.03) {
            continue; /* lost in rounding */
        }
        n_checked++;
        double slope = slope_along(&t, k, g, norm);
        if (!(fabs(slope - norm) <= 0.4 * norm + 0.01)) {
            fail_msg("%s: gradient %g, slope %g\n", p->items[k].name, norm,
                     slope);
        }
    }
    assert_true(n_checked >= 15);
    toy_close(&t);
}

/* Every quantised input was clipped somewhere; the ranges of the image and of
 * layers that read a stream are frozen. */
static void ranges_have_gradients(void **state) {
    (void)state;
    toy t;
    open_clipped(&t);
    const float *g = apq_params_grad(&t.model->params, t.model->act_range);
    assert_true(g[0] == 0.0F);
    for (size_t i = 1; i < t.net.n_layers; i++) {
        if (t.net.layers[i].ir.is_act_signed) {
            assert_true(g[i] == 0.0F);
        } else {
            assert_true(fabsf(g[i]) > 1e-5F);
        }
        assert_true(t.net.layers[i].act_range_grad == 0.0); /* handed over */
    }
    toy_close(&t);
}

static void assert_close(const char *what, const float *a, const float *b,
                         size_t n, double tolerance) {
    double scale = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        scale = fmax(scale, fabs((double)a[i]));
        double difference = fabs((double)a[i] - (double)b[i]);
        worst = difference <= worst ? worst : difference; /* keeps NaN */
    }
    if (!(worst <= tolerance * scale)) {
        fail_msg("%s: off by %g of %g", what, worst, scale);
    }
}

/* Loss, gradients and the trained ranges' gradients of both backends. */
static void cpu_matches_ref(void **state) {
    (void)state;
    for (int quantised = 0; quantised < 3; quantised++) { /* not, APQ, LSQ */
        toy ref, cpu;
        void (*open)(toy *, const char *, int) =
            quantised == 2 ? toy_open_lsq : toy_open;
        open(&ref, "ref", 6);
        open(&cpu, "cpu", 6);
        if (quantised != 0) {
            assert_int_equal(apq_nn_calibrate(&ref.net, ref.images, TOY_IMAGES),
                             APQ_OK);
            assert_int_equal(apq_nn_calibrate(&cpu.net, cpu.images, TOY_IMAGES),
                             APQ_OK);
        }
        double a = toy_loss(&ref, true), b = toy_loss(&cpu, true);
        assert_true(fabs(a - b) <= 1e-5 * fabs(a));
        const apq_params *p = &ref.model->params;
        for (size_t k = 0; k < p->n_items; k++) {
            if (!must_vanish(p->items[k].name)) {
                assert_close(p->items[k].name, apq_params_grad(p, k),
                             apq_params_grad(&cpu.model->params, k),
                             p->items[k].n, 1e-4);
            }
        }
        toy_close(&ref);
        toy_close(&cpu);
    }
}

/* Gradients add up until they are cleared. */
static void gradients_accumulate(void **state) {
    (void)state;
    toy t;
    toy_open(&t, "ref", 8);
    (void)toy_loss(&t, true);
    const apq_params *p = &t.model->params;
    float *once = malloc(p->n_values * sizeof *once);
    assert_non_null(once);
    memcpy(once, p->grad, p->n_values * sizeof *once);
    float dlogits[TOY_IMAGES * TOY_CLASSES] = {0};
    assert_int_equal(apq_nn_backward(&t.net, dlogits), APQ_OK);
    assert_close("nothing added", once, p->grad, p->n_values, 0.0);
    free(once);
    toy_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_match_differences),
        cmocka_unit_test(quantised_gradients_point_uphill),
        cmocka_unit_test(ranges_have_gradients),
        cmocka_unit_test(cpu_matches_ref),
        cmocka_unit_test(gradients_accumulate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
