/* The integer engine of networks of spaces: the definition to the bit, whatever
 * the batch, in one go or layer by layer. */
#include "deploy/int_engine.h"

#include "deploy/int_reference.h"
#include "unit/deploy/subnets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An engine, which has its own copy of everything, and what it has to say. */
typedef struct fixture {
    subnets all;
    apq_int_engine *engine;
    int classes, n_layers;
    float *expected; /* (SUBNET_IMAGES, classes) */
} fixture;

static void open_fixture(fixture *f, int bits, apq_quantiser quantiser) {
    subnets_open(&f->all, "tiny");
    f->classes = f->all.space.n_classes;
    apq_policy policy;
    apq_policy_largest(&f->all.space, bits, &policy);
    apq_subnet subnet;
    subnets_calibrate(&f->all, &policy, quantiser, &subnet);
    apq_int_model *m;
    assert_int_equal(apq_int_model_create(&subnet.net, &m), APQ_OK);
    apq_subnet_fini(&subnet);
    apq_arena_reset(f->all.arena);
    f->n_layers = m->n_convs + 1;
    f->expected = malloc(sizeof(float) * (size_t)(SUBNET_IMAGES * f->classes));
    assert_non_null(f->expected);
    for (int i = 0; i < SUBNET_IMAGES; i++) {
        assert_int_equal(apq_int_reference_run(
                             m, f->all.images + (size_t)i * f->all.image_values,
                             NULL, f->expected + (int64_t)i * f->classes),
                         APQ_OK);
    }
    assert_int_equal(apq_int_engine_create(m, &f->engine), APQ_OK);
    apq_int_model_destroy(m);
}

static void close_fixture(fixture *f) {
    free(f->expected);
    apq_int_engine_destroy(f->engine);
    subnets_close(&f->all);
}

static void assert_same(const fixture *f, const float *logits, int image,
                        int n) {
    assert_memory_equal(logits, f->expected + (int64_t)image * f->classes,
                        sizeof *logits * (size_t)(n * f->classes));
}

/* A batch is its images one by one, whatever the number of threads. */
static void batches_do_not_matter(void **state) {
    (void)state;
    for (int bits = 4; bits <= 8; bits += 2) {
        fixture f;
        open_fixture(&f, bits,
                     bits == 6 ? APQ_QUANTISER_LSQ : APQ_QUANTISER_APQ);
        float *logits =
            malloc(sizeof(float) * (size_t)(SUBNET_IMAGES * f.classes));
        assert_non_null(logits);
        assert_int_equal(
            apq_int_engine_run(f.engine, f.all.images, SUBNET_IMAGES, logits),
            APQ_OK);
        assert_same(&f, logits, 0, SUBNET_IMAGES);
        for (int i = 0; i < SUBNET_IMAGES; i++) {
            const float *image = f.all.images + (size_t)i * f.all.image_values;
            assert_int_equal(apq_int_engine_run(f.engine, image, 1, logits),
                             APQ_OK);
            assert_same(&f, logits, i, 1);
        }
        assert_int_equal(apq_int_engine_run(f.engine, f.all.images, 0, logits),
                         APQ_OK);
        free(logits);
        close_fixture(&f);
    }
}

/* Layers may be run one by one, and each again and again. */
static void layers_can_be_repeated(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, 4, APQ_QUANTISER_APQ);
    void *workspace = apq_calloc(apq_int_engine_workspace_bytes(f.engine), 1);
    float *logits = malloc(sizeof(float) * (size_t)f.classes);
    assert_true(workspace != NULL && logits != NULL);
    for (int i = 0; i < 3; i++) {
        const float *image = f.all.images + (size_t)i * f.all.image_values;
        for (int l = 0; l < f.n_layers; l++) {
            apq_int_engine_run_layers(f.engine, l, l + 1, image, workspace,
                                      logits);
            apq_int_engine_run_layers(f.engine, l, l + 1, image, workspace,
                                      logits);
        }
        assert_same(&f, logits, i, 1);
    }
    free(workspace);
    free(logits);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_do_not_matter),
        cmocka_unit_test(layers_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
