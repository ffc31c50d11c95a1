/* Whitened stems: responses to the training images' patches, computed here
 * from the images, do not correlate, and their order is that of variance. */
#include "train/whiten.h"

#include "unit/train/trainee.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, N_TAPS = 27 };

/* Covariance of responses of filters a and b at every place of every image. */
static double covariance(const trainee *t, const float *a, const float *b) {
    apq_loader *loader = NULL;
    assert_int_equal(
        apq_loader_create(
            t->dataset,
            &(apq_loader_options){.split = APQ_SPLIT_TRAIN, .batch = 90},
            &loader),
        APQ_OK);
    assert_int_equal(apq_loader_start(loader, 0, 0), APQ_OK);
    const float *images;
    const int *labels;
    int n;
    assert_int_equal(apq_loader_next(loader, &images, &labels, &n), APQ_OK);
    assert_int_equal(n, 90);
    double sum_a = 0, sum_b = 0, product = 0, count = 0;
    for (int i = 0; i < n; i++) {
        for (int at = 0; at < (SIDE - 2) * (SIDE - 2); at++) {
            double u = 0, v = 0;
            for (int k = 0; k < N_TAPS; k++) {
                int y = at / (SIDE - 2) + k / 9,
                    x = at % (SIDE - 2) + k / 3 % 3;
                double pixel =
                    (double)images[((i * SIDE + y) * SIDE + x) * 3 + k % 3];
                u += (double)a[k] * pixel;
                v += (double)b[k] * pixel;
            }
            sum_a += u;
            sum_b += v;
            product += u * v;
            count++;
        }
    }
    apq_loader_destroy(loader);
    return product / count - sum_a / count * (sum_b / count);
}

static apq_supernet *whitened(const trainee *t, int stem_channels) {
    apq_space space = t->space;
    space.stem_channels = stem_channels;
    apq_supernet *s = trainee_supernet(&space);
    assert_int_equal(apq_train_whiten_stem(s, t->dataset), APQ_OK);
    return s;
}

static const float *filter(apq_supernet *s, int k) {
    return apq_params_value(apq_supernet_params(s), apq_supernet_stem(s)) +
           (size_t)k * N_TAPS;
}

static void responses_do_not_correlate(void **state) {
    const trainee *t = *state;
    apq_supernet *s = whitened(t, 8);
    double last = INFINITY;
    for (int i = 0; i < 8; i++) {
        double length = 0, variance = covariance(t, filter(s, i), filter(s, i));
        for (int k = 0; k < N_TAPS; k++) {
            length += (double)filter(s, i)[k] * (double)filter(s, i)[k];
        }
        assert_true(fabs(length - 2) <= 1e-5);
        assert_true(variance > 0 && variance <= last);
        last = variance;
        for (int j = 0; j < i; j++) {
            double scale = covariance(t, filter(s, j), filter(s, j));
            double c = covariance(t, filter(s, i), filter(s, j));
            assert_true(fabs(c) <= 1e-4 * sqrt(scale * variance));
        }
    }
    apq_supernet_destroy(s);
}

static void wide_stems_have_both_signs_and_a_rest(void **state) {
    const trainee *t = *state;
    enum { WIDTH = 60 };
    apq_supernet *s = whitened(t, WIDTH), *narrow = whitened(t, 8);
    apq_space space = t->space;
    space.stem_channels = WIDTH;
    apq_supernet *fresh = trainee_supernet(&space);
    for (int k = 0; k < WIDTH; k++) {
        for (int i = 0; i < N_TAPS; i++) {
            float expected = k < 8            ? filter(narrow, k)[i]
                             : k < N_TAPS     ? filter(s, k)[i]
                             : k < 2 * N_TAPS ? -filter(s, k - N_TAPS)[i]
                                              : filter(fresh, k)[i];
            assert_true(filter(s, k)[i] == expected);
        }
    }
    const apq_params *p = apq_supernet_params(s);
    const apq_params *q = apq_supernet_params(fresh);
    size_t n = p->items[apq_supernet_stem(s)].n;
    assert_int_equal(apq_supernet_stem(s), 0); /* the rest is as it was */
    assert_memory_equal(p->value + n, q->value + n,
                        (p->n_values - n) * sizeof(float));
    apq_supernet_destroy(s);
    apq_supernet_destroy(narrow);
    apq_supernet_destroy(fresh);
}

static void other_channels_are_refused(void **state) {
    const trainee *t = *state;
    apq_space space = t->space;
    space.image_channels = 1;
    apq_supernet *s = trainee_supernet(&space);
    assert_int_equal(apq_train_whiten_stem(s, t->dataset), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "9 taps"));
    apq_supernet_destroy(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(responses_do_not_correlate),
        WITH_TRAINEE(wide_stems_have_both_signs_and_a_rest),
        WITH_TRAINEE(other_channels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
