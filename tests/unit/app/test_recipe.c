/* Recipes: the shipped files load, JSON reads back to the same recipe, and
 * settings are checked. */
#include "app/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_round_trip(void **state) {
    (void)state;
    static const char *const files[] = {"recipes/tiny.yaml",
                                        "recipes/cifar10-quick.yaml"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        apq_recipe recipe, again;
        assert_int_equal(apq_recipe_load(files[i], &recipe), APQ_OK);
        char *text = apq_recipe_to_json(&recipe);
        assert_non_null(text);
        char path[64];
        (void)snprintf(path, sizeof path, "/tmp/apq-test-recipe-%ld.json",
                       (long)getpid());
        assert_int_equal(apq_file_write(path, text, strlen(text)), APQ_OK);
        assert_int_equal(apq_recipe_load(path, &again), APQ_OK);
        (void)remove(path);
        char *second = apq_recipe_to_json(&again);
        assert_string_equal(text, second);
        free(second);
        free(text);
    }
}

static void test_set(void **state) {
    (void)state;
    apq_recipe recipe;
    apq_recipe_default(&recipe);
    assert_int_equal(apq_recipe_set(&recipe, "train.epochs", "7"), APQ_OK);
    assert_int_equal(recipe.train.epochs, 7);
    assert_int_equal(apq_recipe_set(&recipe, "seed", "12"), APQ_OK);
    assert_int_equal(recipe.seed, 12);
    assert_int_equal(apq_recipe_set(&recipe, "search.mutation", "0.25"),
                     APQ_OK);
    assert_true(recipe.search.mutation == 0.25);
    assert_int_equal(apq_recipe_set(&recipe, "space", "tiny"), APQ_OK);
    assert_string_equal(recipe.space, "tiny");
    assert_int_equal(apq_recipe_set(&recipe, "train.flip", "alternating"),
                     APQ_OK);
    assert_int_equal(recipe.train.flip, 1);
    assert_int_equal(apq_recipe_set(&recipe, "train.crop_reflect", "true"),
                     APQ_OK);
    assert_true(recipe.train.crop_reflect);
    static const char *const bad[][2] = {
        {"train.epoch", "7"},       {"epochs", "7"},
        {"train.epochs", "-1"},     {"train.epochs", "1.5"},
        {"train.epochs", "7x"},     {"search.mutation", "nan"},
        {"search.mutation", "1.1"}, {"backend", "gpu"},
        {"finetune.baseline", ""},  {"train.flip", "never"},
        {"train.flip", ""},         {"train.crop_reflect", "2"},
        {"train.cutout", "-1"},     {"train.crop_padding", "-2"},
        {"predictor.loss", "mae"},  {"predictor.ensemble", "65"},
        {"predictor.transfer", ""}, {"predictor.width_code", "binary"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        apq_status st = apq_recipe_set(&recipe, bad[i][0], bad[i][1]);
        assert_true(st == APQ_ERR_ARG || st == APQ_ERR_FORMAT);
    }
}

/* Seeds are integers, not doubles: no digit is lost, and what is written can
 * be read again. */
static void test_seed(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t seed;
    } good[] = {{"0", 0},
                {"9007199254740993", UINT64_C(9007199254740993)},
                {"9223372036854775807", INT64_MAX}};
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/apq-test-seed-%ld.json",
                   (long)getpid());
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        apq_recipe recipe, again;
        apq_recipe_default(&recipe);
        assert_int_equal(apq_recipe_set(&recipe, "seed", good[i].text), APQ_OK);
        assert_true(recipe.seed == good[i].seed);
        char *text = apq_recipe_to_json(&recipe);
        assert_non_null(text);
        assert_int_equal(apq_file_write(path, text, strlen(text)), APQ_OK);
        free(text);
        assert_int_equal(apq_recipe_load(path, &again), APQ_OK);
        (void)remove(path);
        assert_true(again.seed == good[i].seed);
    }
    static const char *const bad[] = {"",     "-1",  "1.5",
                                      "1e3",  " 1",  "9223372036854775808",
                                      "0x10", "nan", "99999999999999999999"};
    apq_recipe recipe;
    apq_recipe_default(&recipe);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(apq_recipe_set(&recipe, "seed", bad[i]), APQ_ERR_ARG);
        assert_true(recipe.seed == 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
