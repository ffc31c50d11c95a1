/* The curve on made-up records, where float accuracies tell most of the
 * quantised ones: transfer must win; any number of threads gives the same. */
#include "app/curve.h"
#include "app/judge.h"
#include "store/claims.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_FLOAT = 500, N_QUANTISED = 150, N_ACTIVE = 20 };

static double score(const apq_space *space, const apq_policy *policy,
                    bool with_bits) {
    double sum = 0.0;
    for (int i = 0; i < space->n_blocks; i++) {
        if (!apq_space_block_active(space, policy, i)) {
            continue;
        }
        sum += 0.003 * (policy->kernel[i] - 2);
        sum += 0.0004 * (policy->channels[i] - space->blocks[i].min_channels);
        for (int g = 0; with_bits && g < APQ_N_BIT_GENES; g++) {
            sum -= 0.001 * (8 - policy->bits[g][i]);
        }
    }
    return 0.6 + sum;
}

/* All at once: each by itself would wait for the disk as often. */
static void add(apq_records *records, const apq_space *space,
                apq_record_kind kind, int n) {
    apq_record rows[N_FLOAT] = {0};
    char *texts[N_FLOAT];
    size_t n_new;
    assert_true(n <= N_FLOAT);
    for (int seq = 0; seq < n; seq++) {
        apq_policy policy;
        apq_rng rng =
            apq_rng_make(1, APQ_RNG_TEST, (uint64_t)(1000 * (int)kind + seq));
        apq_policy_random(space, &rng, &policy);
        apq_policy_canonical(space, &policy);
        texts[seq] = apq_policy_to_json(space, &policy);
        assert_non_null(texts[seq]);
        rows[seq] = (apq_record){
            .policy = texts[seq],
            .kind = kind,
            .seq = seq,
            .accuracy = score(space, &policy, kind != APQ_RECORD_FLOAT),
            .count = 10000,
            .weights_hash = "0"};
    }
    assert_status(apq_records_merge(records, rows, (size_t)n, &n_new), APQ_OK);
    assert_int_equal(n_new, n);
    for (int seq = 0; seq < n; seq++) {
        free(texts[seq]);
    }
}

static void make_run(const char *dir, bool has_float) {
    char path[64];
    apq_space space;
    apq_records *records;
    (void)snprintf(path, sizeof path, "%s/run.db", dir);
    assert_status(apq_space_load("tiny", &space), APQ_OK);
    assert_status(apq_records_open(path, &records), APQ_OK);
    if (has_float) {
        add(records, &space, APQ_RECORD_FLOAT, N_FLOAT);
    }
    add(records, &space, APQ_RECORD_QUANTISED, N_QUANTISED + N_ACTIVE);
    apq_records_close(records);
}

static apq_recipe make_recipe(void) {
    apq_recipe recipe;
    apq_recipe_default(&recipe);
    (void)strcpy(recipe.space, "tiny");
    recipe.collect.quantised_records = N_QUANTISED;
    recipe.predictor.hidden = 32;
    recipe.predictor.epochs = 60;
    recipe.predictor.held_out = 0.4;
    return recipe;
}

static void remove_run(const char *dir) {
    char command[96];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_transfer_wins(void **state) {
    (void)state;
    char dir[] = "/tmp/apq-curve-XXXXXX";
    assert_non_null(mkdtemp(dir));
    make_run(dir, true);
    apq_recipe recipe = make_recipe();
    const apq_curve_request request = {
        .sizes = {15, 60}, .n_sizes = 2, .n_seeds = 3};
    static apq_curve curve[2];
    for (int threads = 1; threads <= 2; threads++) {
        recipe.threads = threads;
        assert_status(
            apq_app_curve(&recipe, dir, &request, NULL, &curve[threads - 1]),
            APQ_OK);
    }
    assert_memory_equal(&curve[0], &curve[1], sizeof curve[0]);
    const apq_curve *c = &curve[0];
    assert_int_equal(c->n_float, N_FLOAT);
    assert_int_equal(c->n_test, 60);
    assert_int_equal(c->n_pool + c->n_test, N_QUANTISED); /* none is active */
    const apq_curve_scores *few = c->scores[0], *many = c->scores[1];
    print_message("%d records: %.3f without, %.3f with transfer\n", 15,
                  few[APQ_CURVE_SCRATCH].pairwise_accuracy.value,
                  few[APQ_CURVE_TRANSFER].pairwise_accuracy.value);
    assert_true(few[APQ_CURVE_DIFFERENCE].pairwise_accuracy.low > 0.03);
    assert_true(few[APQ_CURVE_DIFFERENCE].rmse.high < 0.0);
    assert_true(many[APQ_CURVE_SCRATCH].kendall_tau.value >
                few[APQ_CURVE_SCRATCH].kendall_tau.value);
    double difference = many[APQ_CURVE_TRANSFER].kendall_tau.value -
                        many[APQ_CURVE_SCRATCH].kendall_tau.value;
    assert_true(fabs(many[APQ_CURVE_DIFFERENCE].kendall_tau.value -
                     difference) <= 1e-12);
    assert_true(c->noise.ceiling > 0.5 && c->noise.ceiling < 1.0);

    char file[64];
    static const char *const tails[] = {".svg",      ".png",      ".pdf",
                                        "-tau.svg",  "-tau.png",  "-tau.pdf",
                                        "-rmse.svg", "-rmse.png", "-rmse.pdf"};
    (void)snprintf(file, sizeof file, "%s/c.svg", dir);
    assert_status(apq_curve_plot(c, file), APQ_OK);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char path[APQ_PATH_MAX], *bytes;
        size_t n;
        assert_status(apq_judge_plot_stem(file, tails[i], path), APQ_OK);
        assert_status(apq_file_read(path, &bytes, &n), APQ_OK);
        assert_true(n > 1000);
        free(bytes);
    }
    remove_run(dir);
}

static void test_sizes(void **state) {
    (void)state;
    char dir[] = "/tmp/apq-curve-XXXXXX";
    assert_non_null(mkdtemp(dir));
    apq_recipe recipe = make_recipe();
    recipe.predictor.epochs = 1;
    static apq_curve curve;
    apq_curve_request request = {.n_seeds = 1};
    assert_int_equal(apq_app_curve(&recipe, dir, &request, NULL, &curve),
                     APQ_ERR_IO);
    make_run(dir, false);
    assert_int_equal(apq_app_curve(&recipe, dir, &request, NULL, &curve),
                     APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "0 float"));
    remove_run(dir);
    (void)strcpy(dir + strlen(dir) - 6, "XXXXXX");
    assert_non_null(mkdtemp(dir));
    make_run(dir, true);
    assert_status(apq_app_curve(&recipe, dir, &request, NULL, &curve), APQ_OK);
    assert_int_equal(curve.n_sizes, 4); /* of 90: 11, 22, 45, 90 */
    assert_int_equal(curve.sizes[0], 11);
    assert_int_equal(curve.sizes[3], 90);
    static const int bad[][2] = {{3, 20}, {20, 20}, {20, 91}};
    request.n_sizes = 2;
    for (size_t i = 0; i < 3; i++) {
        memcpy(request.sizes, bad[i], sizeof bad[i]);
        assert_int_equal(apq_app_curve(&recipe, dir, &request, NULL, &curve),
                         APQ_ERR_ARG);
        assert_non_null(strstr(apq_error_message(), "4..90"));
    }
    remove_run(dir);
}

/* The last are as a search has chosen them; of the first another one was
 * chosen, but was planned and measured before. */
static void choose_last(const char *dir) {
    char path[64];
    apq_records *records;
    apq_record *rows;
    size_t n;
    char *chosen[N_ACTIVE];
    (void)snprintf(path, sizeof path, "%s/run.db", dir);
    assert_status(apq_records_open(path, &records), APQ_OK);
    assert_status(apq_records_all(records, APQ_RECORD_QUANTISED, &rows, &n),
                  APQ_OK);
    for (size_t i = 0; i < N_ACTIVE; i++) {
        chosen[i] = strdup(rows[N_QUANTISED + i].policy);
        assert_non_null(chosen[i]);
    }
    free(rows);
    const apq_claim claim = {.task = APQ_TASK_CHOICE,
                             .kind = APQ_RECORD_QUANTISED};
    assert_status(apq_claims_finish_choice(records, &claim, N_QUANTISED, chosen,
                                           N_ACTIVE),
                  APQ_OK);
    assert_status(apq_claims_finish_choice(records, &claim, 0, chosen, 1),
                  APQ_OK);
    for (size_t i = 0; i < N_ACTIVE; i++) {
        free(chosen[i]);
    }
    apq_records_close(records);
}

static void test_chosen_are_left_out(void **state) {
    (void)state;
    char dir[] = "/tmp/apq-curve-XXXXXX";
    assert_non_null(mkdtemp(dir));
    make_run(dir, true);
    apq_recipe recipe = make_recipe();
    recipe.predictor.epochs = 1;
    recipe.collect.quantised_records = N_QUANTISED + N_ACTIVE;
    static apq_curve curve;
    const apq_curve_request request = {
        .sizes = {20}, .n_sizes = 1, .n_seeds = 1};
    assert_status(apq_app_curve(&recipe, dir, &request, NULL, &curve), APQ_OK);
    assert_int_equal(curve.n_pool + curve.n_test, N_QUANTISED + N_ACTIVE);
    choose_last(dir);
    assert_status(apq_app_curve(&recipe, dir, &request, NULL, &curve), APQ_OK);
    assert_int_equal(curve.n_pool + curve.n_test, N_QUANTISED);
    remove_run(dir);
}

static bool stop(void *ctx) {
    (void)ctx;
    return true;
}

static void test_stopped(void **state) {
    (void)state;
    char dir[] = "/tmp/apq-curve-XXXXXX";
    assert_non_null(mkdtemp(dir));
    make_run(dir, true);
    apq_recipe recipe = make_recipe();
    static apq_curve curve;
    const apq_progress progress = {.stop_requested = stop};
    const apq_curve_request request = {.n_seeds = 2};
    assert_int_equal(apq_app_curve(&recipe, dir, &request, &progress, &curve),
                     APQ_ERR_INTERRUPTED);
    assert_non_null(strstr(apq_error_message(), "stopped after"));
    remove_run(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer_wins),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_chosen_are_left_out),
        cmocka_unit_test(test_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
