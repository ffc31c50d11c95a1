/* What tests of deploy share that run networks of spaces. */
#include "unit/deploy/subnets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void subnets_open(subnets *s, const char *space) {
    *s = (subnets){0};
    assert_int_equal(apq_space_load(space, &s->space), APQ_OK);
    assert_int_equal(apq_supernet_create(&s->space, 3, &s->supernet), APQ_OK);
    assert_int_equal(apq_arena_create(&s->arena), APQ_OK);
    assert_int_equal(apq_backend_find("auto", &s->backend), APQ_OK);
    apq_rng rng = apq_rng_make(5, APQ_RNG_TEST, 0);
    s->image_values = (size_t)s->space.resolution *
                      (size_t)s->space.resolution *
                      (size_t)s->space.image_channels;
    size_t n = SUBNET_IMAGES * s->image_values;
    s->images = malloc(n * sizeof *s->images);
    assert_non_null(s->images);
    for (size_t i = 0; i < n; i++) {
        s->images[i] = (float)apq_rng_normal(&rng);
    }
    /* Away from gamma 1, beta 0 and identity matrices. */
    apq_params *p = apq_supernet_params(s->supernet);
    for (size_t i = 0; i < p->n_values; i++) {
        p->value[i] += 0.05F * (float)apq_rng_normal(&rng);
    }
    for (size_t t = 0; t < p->n_items; t++) {
        if (strstr(p->items[t].name, "gamma") != NULL) {
            float *gamma = apq_params_value(p, t);
            gamma[1] *= -1.0F;
            gamma[2] = 0.0F;
            gamma[3] = 1e-30F;
        }
    }
}

void subnets_close(subnets *s) {
    free(s->images);
    apq_supernet_destroy(s->supernet);
    apq_arena_destroy(s->arena);
}

void subnets_calibrate(subnets *s, const apq_policy *policy,
                       apq_quantiser quantiser, apq_subnet *subnet) {
    apq_arena_reset(s->arena);
    assert_int_equal(
        apq_subnet_bind(s->supernet, policy, s->backend, s->arena, subnet),
        APQ_OK);
    subnet->net.quantiser = quantiser;
    assert_int_equal(apq_nn_calibrate(&subnet->net, s->images, SUBNET_IMAGES),
                     APQ_OK);
    float *logits;
    apq_nn_recalibrate_reset(&subnet->net);
    assert_int_equal(apq_nn_forward(&subnet->net, APQ_NN_RECALIBRATE, s->images,
                                    SUBNET_IMAGES, &logits),
                     APQ_OK);
}
