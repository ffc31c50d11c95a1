/* An exported network on emulated Cortex-M4 and M7 processors prints what it
 * prints on the host. */
#include "export/c99.h"

#include "model_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { N_IMAGES = 3, SKIPPED = 77 };

static void run_on(const model_shape *shape, const char *board) {
    char dir[] = "/tmp/apq-test-cortex-XXXXXX", command[256];
    assert_non_null(mkdtemp(dir));
    apq_int_model *model = build_model(shape, 6);
    uint8_t *images = draw_pixels(model, N_IMAGES, 6);
    apq_c99_options o = APQ_C99_OPTIONS_INIT;
    o.images = images;
    o.n_images = N_IMAGES;
    assert_int_equal(apq_export_c(model, &o, dir, NULL), APQ_OK);
    (void)snprintf(command, sizeof command,
                   "sh tests/unit/export/cortex/run.sh %s %s", dir, board);
    int status = system(command);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
    free(images);
    apq_int_model_destroy(model);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) {
        skip(); /* run.sh said why */
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void cortex_m4(void **state) {
    (void)state;
    run_on(&mixed_shape, "cortex-m4 mps2-an386");
}

static void cortex_m7(void **state) {
    (void)state;
    run_on(&odd_shape, "cortex-m7 mps2-an500");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cortex_m4),
        cmocka_unit_test(cortex_m7),
    };
    return cmocka_run_group_tests_name("c99_cortex", tests, NULL, NULL);
}
