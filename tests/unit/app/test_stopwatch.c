/* Metering: intervals of a step add up to its time, and energy counters are
 * summed over packages and memory and through their wrap-around. */
#include "app/stopwatch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/apq-test-watch-XXXXXX";

static void put(const char *zone, const char *name, const char *text) {
    char folder[APQ_PATH_MAX], path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(folder, root, zone), APQ_OK);
    assert_int_equal(apq_dir_make(folder), APQ_OK);
    assert_int_equal(apq_path_join(path, folder, name), APQ_OK);
    assert_int_equal(apq_file_write(path, text, strlen(text)), APQ_OK);
}

static void energy_counters(void **state) {
    (void)state;
    static const char package[] = "intel-rapl:0";
    static const char dram[] = "intel-rapl:0/intel-rapl:0:1";
    static const char core[] = "intel-rapl:0/intel-rapl:0:0";
    apq_rapl rapl;
    apq_rapl_open(&rapl, root);
    assert_true(isnan(apq_rapl_joules(&rapl)));
    put(package, "name", "package-0\n");
    put(package, "energy_uj", "9000000\n");
    put(package, "max_energy_range_uj", "10000000\n");
    put(dram, "name", "dram\n");
    put(dram, "energy_uj", "500000\n");
    put(dram, "max_energy_range_uj", "10000000\n");
    put(core, "name", "core\n");
    put(core, "energy_uj", "100\n");
    put(core, "max_energy_range_uj", "10000000\n");
    apq_rapl_open(&rapl, root);
    assert_int_equal(rapl.n_zones, 2);
    put(package, "energy_uj", "2000000\n"); /* 3 J on, through the end */
    put(dram, "energy_uj", "750000\n");
    put(core, "energy_uj", "9000000\n"); /* part of the package */
    double joules = apq_rapl_joules(&rapl);
    if (!(fabs(joules - 3.25) <= 1e-9)) {
        fail_msg("%g J, expected 3.25", joules);
    }
    joules = apq_rapl_joules(&rapl);
    if (!(fabs(joules) <= 1e-9)) {
        fail_msg("%g J, expected 0", joules);
    }
}

/* Computes for `s` seconds and reports on the way. */
static void work(apq_stopwatch *watch, double s) {
    double end_s = apq_now_s() + s;
    while (apq_now_s() < end_s) {
        apq_progress_update(&watch->base, "work", 1, 2, "");
    }
}

static void intervals_add_up(void **state) {
    (void)state;
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, root, "cost.jsonl"), APQ_OK);
    apq_stopwatch watch;
    const double first_s = 0.15, second_s = 0.35;
    double start_s = apq_now_s();
    apq_stopwatch_start(&watch, 0, NULL);
    work(&watch, first_s); /* not assigned yet: kept for the first line */
    assert_false(apq_file_exists(path));
    assert_int_equal(apq_stopwatch_assign(&watch, root, "train", "aa"), APQ_OK);
    work(&watch, second_s);
    apq_stopwatch_set_flop(&watch, 5e9);
    assert_int_equal(apq_stopwatch_write(&watch), APQ_OK);
    double total_s = apq_now_s() - start_s;
    apq_effort *lines;
    size_t n;
    assert_int_equal(apq_effort_read(path, &lines, &n), APQ_OK);
    assert_true(n >= 2); /* every 0.1 s or longer, and the last */
    double wall_s = 0, core_s = 0;
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(lines[i].step, "train");
        wall_s += lines[i].wall_s;
        core_s += lines[i].core_s;
    }
    /* However long the machine let it wait. */
    if (!(wall_s >= first_s + second_s && wall_s <= total_s)) {
        fail_msg("lines sum to %g s of %g s", wall_s, total_s);
    }
    assert_true((double)(n - 1) <= wall_s / 0.1);
    assert_true(core_s > 0 && core_s <= wall_s + 0.05);
    assert_true(lines[0].flop == 0 && lines[n - 1].flop == 5e9);
    free(lines);
}

static int make_root(void **state) {
    (void)state;
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int remove_root(void **state) {
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", root);
    return system(command); /* a fixed, generated name */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(energy_counters),
        cmocka_unit_test(intervals_add_up),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
