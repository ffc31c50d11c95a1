/* What the tests of supernets share. */
#include "unit/supernet/sample.h"

#include "nn/loss.h"

#include "unit/asserts.h"

#include <stdlib.h>

static sample *open_space(apq_rng *rng) {
    sample *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_status(apq_space_load("tiny", &s->space), APQ_OK);
    assert_int_equal(s->space.resolution, SIDE);
    apq_space_set_classes(&s->space, N_CLASSES);
    assert_status(apq_arena_create(&s->arena), APQ_OK);
    assert_status(apq_backend_find("ref", &s->backend), APQ_OK);
    *rng = apq_rng_make(5, APQ_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof s->images / sizeof s->images[0]; i++) {
        s->images[i] = (float)apq_rng_normal(rng);
    }
    for (int i = 0; i < N_IMAGES; i++) {
        s->labels[i] = i % N_CLASSES;
    }
    return s;
}

int sample_open(void **state) {
    apq_rng rng;
    sample *s = open_space(&rng);
    assert_status(apq_supernet_create(&s->space, 3, &s->supernet), APQ_OK);
    /* Away from gamma 1, beta 0 and identity matrices. */
    apq_params *p = apq_supernet_params(s->supernet);
    for (size_t i = 0; i < p->n_values; i++) {
        p->value[i] += 0.05F * (float)apq_rng_normal(&rng);
    }
    *state = s;
    return 0;
}

int sample_open_shared(void **state) {
    apq_rng rng;
    sample *s = open_space(&rng);
    assert_status(apq_supernet_create_shared(&s->space, 3, &s->supernet),
                  APQ_OK);
    assert_status(apq_supernet_start_steps(s->supernet, s->backend, s->arena,
                                           s->images, N_IMAGES),
                  APQ_OK);
    *state = s;
    return 0;
}

int sample_close(void **state) {
    sample *s = *state;
    apq_supernet_destroy(s->supernet);
    apq_arena_destroy(s->arena);
    free(s);
    return 0;
}

void sample_bind(const sample *s, const apq_policy *policy, apq_subnet *out) {
    assert_status(
        apq_subnet_bind(s->supernet, policy, s->backend, s->arena, out),
        APQ_OK);
}

double sample_loss(const sample *s, apq_nn_net *net, bool with_gradient) {
    float *logits;
    float dlogits[N_IMAGES * N_CLASSES];
    assert_status(
        apq_nn_forward(net, APQ_NN_TRAIN, s->images, N_IMAGES, &logits),
        APQ_OK);
    apq_loss_sum sum =
        apq_loss_labels(logits, s->labels, N_IMAGES, N_CLASSES, 0.1, dlogits);
    if (with_gradient) {
        assert_status(apq_nn_backward(net, dlogits), APQ_OK);
    }
    return sum.loss / N_IMAGES;
}
