/* The network that training simulates against the integer model of it. Both
 * round the same numbers, but those of the simulation were added up in float:
 * where one is next to a tie, its code may be the neighbour, and whatever reads
 * it differs a little: many networks agree in every code, and were anything
 * wrong, none would. */
#include "deploy/int_reference.h"
#include "unit/deploy/subnets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N_COMPARED = 3 };

/* Shares of codes, and of the range of the logits. */
typedef struct limits {
    double others;   /* codes that are not the same */
    double far_off;  /* codes that are not the same or the next */
    double logit;    /* largest difference */
    int least_exact; /* networks without another code */
} limits;

typedef struct tally {
    int64_t n, n_others, n_far;
} tally;

/* Codes of one layer's stored output. */
static void count(const apq_nn_layer *l, float step, const float *y,
                  const int16_t *codes, tally *t) {
    int n = l->ir.out_size * l->ir.out_size * l->ir.out_channels;
    for (int i = 0; i < n; i++) {
        double off = fabs(rint((double)y[i] / (double)step) - codes[i]);
        t->n++;
        t->n_others += !(off < 0.5);
        t->n_far += !(off < 1.5);
    }
}

static void run_reference(const apq_int_model *m, const apq_nn_net *net,
                          const float *image, int number, float *logits,
                          tally *t) {
    int16_t *codes[APQ_IR_MAX_LAYERS] = {0};
    for (int i = 0; i < m->n_convs; i++) {
        const apq_nn_layer *l = &net->layers[i];
        if (l->y != NULL) { /* linear layers and the last */
            size_t side = (size_t)l->ir.out_size;
            codes[i] = malloc(side * side * (size_t)l->ir.out_channels *
                              sizeof *codes[i]);
            assert_non_null(codes[i]);
        }
    }
    assert_int_equal(apq_int_reference_run(m, image, codes, logits), APQ_OK);
    for (int i = 0; i < m->n_convs; i++) {
        const apq_nn_layer *l = &net->layers[i];
        if (codes[i] != NULL) {
            int64_t n =
                (int64_t)l->ir.out_size * l->ir.out_size * l->ir.out_channels;
            count(l, m->convs[i].out.step, l->y + number * n, codes[i], t);
            free(codes[i]);
        }
    }
}

/* The share of codes that are others. */
static double compare(const subnets *s, apq_subnet *subnet, limits limit) {
    float *expected, actual[64];
    int classes = s->space.n_classes;
    assert_true(classes <= 64);
    apq_int_model *m;
    assert_int_equal(apq_int_model_create(&subnet->net, &m), APQ_OK);
    assert_int_equal(apq_nn_forward(&subnet->net, APQ_NN_EVAL, s->images,
                                    N_COMPARED, &expected),
                     APQ_OK);
    tally t = {0};
    double low = (double)INFINITY, high = -low, worst = 0;
    for (int i = 0; i < N_COMPARED; i++) {
        run_reference(m, &subnet->net, s->images + (size_t)i * s->image_values,
                      i, actual, &t);
        for (int k = 0; k < classes; k++) {
            double logit = (double)expected[i * classes + k];
            low = fmin(low, logit);
            high = fmax(high, logit);
            double off = fabs(logit - (double)actual[k]);
            worst = off <= worst ? worst : off; /* keeps NaN */
        }
    }
    apq_int_model_destroy(m);
    double n = (double)t.n;
    assert_true(high - low > 0.05 && t.n > 1000);
    if (!((double)t.n_others <= limit.others * n &&
          (double)t.n_far <= limit.far_off * n &&
          worst <= limit.logit * (high - low))) {
        fail_msg("of %.0f codes %.4f are others, %.5f far off; logits are off "
                 "by %.4f ranges",
                 n, (double)t.n_others / n, (double)t.n_far / n,
                 worst / (high - low));
    }
    return (double)t.n_others / n;
}

/* Mixed policies, then the corners at 4, 6 and 8 bits. */
static void compare_policies(const char *space, apq_quantiser quantiser,
                             int n_random, limits limit) {
    subnets s;
    double others = 0;
    int n = n_random + 3, n_exact = 0;
    subnets_open(&s, space);
    for (int i = 0; i < n; i++) {
        apq_policy policy;
        apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, (uint64_t)i);
        apq_policy_random(&s.space, &rng, &policy);
        if (i == n_random) {
            apq_policy_smallest(&s.space, 4, &policy);
        } else if (i == n_random + 1) {
            apq_policy_largest(&s.space, 6, &policy);
        } else if (i == n_random + 2) {
            apq_policy_largest(&s.space, 8, &policy);
        }
        apq_subnet subnet;
        subnets_calibrate(&s, &policy, quantiser, &subnet);
        double share = compare(&s, &subnet, limit);
        others += share / n;
        n_exact += !(share > 0);
        apq_subnet_fini(&subnet);
    }
    assert_true(others <= 0.05);
    assert_in_range(n_exact, limit.least_exact, n);
    subnets_close(&s);
}

static void tiny_nets_agree(void **state) {
    (void)state;
    limits limit = {0.1, 0.05, 0.05, 8};
    compare_policies("tiny", APQ_QUANTISER_APQ, 8, limit);
    compare_policies("tiny", APQ_QUANTISER_LSQ, 8, limit);
}

static void cifar10_nets_agree(void **state) {
    (void)state;
    limits limit = {0.2, 0.1, 0.1, 1};
    compare_policies("cifar10", APQ_QUANTISER_APQ, 2, limit);
    compare_policies("cifar10", APQ_QUANTISER_LSQ, 2, limit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_nets_agree),
        cmocka_unit_test(cifar10_nets_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
