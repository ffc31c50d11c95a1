/* The integer engine against the fake-quantised network in evaluation mode,
 * and the nets that it must refuse. */
#include "deploy/int_engine.h"

#include "unit/deploy/subnets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A batch is its images one by one, whatever the number of threads. */
static void batches_do_not_matter(void **state) {
    (void)state;
    subnets s;
    subnets_open(&s, "tiny");
    apq_policy policy;
    apq_policy_largest(&s.space, 8, &policy);
    apq_subnet subnet;
    subnets_calibrate(&s, &policy, APQ_QUANTISER_APQ, &subnet);
    apq_int_engine *engine;
    assert_int_equal(apq_int_engine_create(&subnet.net, &engine), APQ_OK);
    /* The engine has its own copy of everything. */
    apq_subnet_fini(&subnet);
    apq_arena_reset(s.arena);
    int classes = s.space.n_classes;
    size_t pixels = (size_t)s.space.resolution * (size_t)s.space.resolution *
                    (size_t)s.space.image_channels;
    size_t n = (size_t)SUBNET_IMAGES * (size_t)classes;
    float *together = malloc(n * sizeof *together);
    float *alone = malloc((size_t)classes * sizeof *alone);
    assert_non_null(together);
    assert_non_null(alone);
    assert_int_equal(
        apq_int_engine_run(engine, s.images, SUBNET_IMAGES, together), APQ_OK);
    for (int i = 0; i < SUBNET_IMAGES; i++) {
        assert_int_equal(
            apq_int_engine_run(engine, s.images + (size_t)i * pixels, 1, alone),
            APQ_OK);
        for (int k = 0; k < classes; k++) {
            assert_true(alone[k] == together[i * classes + k]);
        }
    }
    assert_int_equal(apq_int_engine_run(engine, s.images, 0, together), APQ_OK);
    free(together);
    free(alone);
    apq_int_engine_destroy(engine);
    subnets_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
