/* apq bench: speed on this machine, one row a case. Pricing is measured here,
 * the others by the application. */
#include "cli/step.h"
#include "cli/commands.h"

#include "app/app.h"
#include "app/export.h"
#include "app/json.h"
#include "app/lut.h"
#include "app/machine.h"
#include "app/parts.h"
#include "app/price.h"
#include "base/sort.h"
#include "cli/bench_print.h"
#include "cli/bench_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"train", "eval",  "search",
                                    "cost",  "infer", NULL};
static const double MIN_SECONDS = 0.5;

typedef struct bench_options {
    apq_step_options step;
    const char *dtype, *model, *runtime;
} bench_options;

static const char *const dtypes[] = {"float32", "bfloat16", "int8", NULL};
static const apq_option table[] = {
    APQ_STEP_TABLE,
    {.name = "dtype",
     .type = APQ_OPTION_CHOICE,
     .argument = "TYPE",
     .help = "train, eval, infer: arithmetic, int8 of eval and infer; else all "
             "that the machine has",
     .offset = offsetof(bench_options, dtype),
     .choices = dtypes},
    {.name = "model",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "infer: network.safetensors; else the run's, else the shipped one",
     .offset = offsetof(bench_options, model)},
    {.name = "runtime",
     .type = APQ_OPTION_TEXT,
     .argument = "LIB",
     .help = "infer: libonnxruntime.so to compare with; else $APQ_ORT",
     .offset = offsetof(bench_options, runtime)},
    {.name = NULL},
};

static double price_random(const apq_space *space, apq_target *target,
                           uint64_t seed, int n, apq_status *st) {
    apq_rng rng = apq_rng_make(seed, APQ_RNG_POLICY, 0);
    double start_s = apq_now_s();
    for (int i = 0; i < n && *st == APQ_OK; i++) {
        apq_policy policy;
        apq_ir_network network;
        apq_cost cost;
        apq_policy_random(space, &rng, &policy);
        *st = apq_policy_lower(space, &policy, &network);
        if (*st == APQ_OK) {
            *st = apq_cost_network(target, &network, &cost);
        }
    }
    return apq_now_s() - start_s;
}

/* Whole networks priced, the cache of layer prices cold, then warm. */
static apq_status bench_cost(const apq_recipe *recipe, json_t *rows) {
    enum { N = 256 };
    apq_space space;
    apq_target *target = NULL;
    APQ_TRY(apq_space_load(recipe->space, &space));
    APQ_TRY(apq_target_load(recipe->target, &target));
    apq_status st = apq_app_check_target(&space, target);
    double cold_s = price_random(&space, target, recipe->seed, N, &st);
    double warm_s = 0;
    int n_warm = 0;
    while (st == APQ_OK && warm_s < MIN_SECONDS) {
        warm_s += price_random(&space, target, recipe->seed, N, &st);
        n_warm += N;
    }
    apq_target_destroy(target);
    APQ_TRY(st);
    (void)json_array_append_new(
        rows,
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:f}", "case", "cold", "space",
                  space.name, "target", recipe->target, "threads", 1,
                  "policies", N, "policies_per_s", N / cold_s));
    (void)json_array_append_new(
        rows,
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:f}", "case", "warm", "space",
                  space.name, "target", recipe->target, "threads", 1,
                  "policies", n_warm, "policies_per_s", n_warm / warm_s));
    return APQ_OK;
}

/* Every layer of the plan asked for and filed, in memory. */
static apq_status build_table(const apq_space *space,
                              const apq_app_source *source, size_t *n_rows) {
    apq_lut_plan plan;
    apq_lut *lut = NULL;
    const apq_lut_header header = {.batch = 1, .has_flags = true};
    APQ_TRY(apq_lut_plan_make(space, 0, &plan));
    apq_status st = apq_lut_create(&header, &lut);
    for (size_t i = 0; st == APQ_OK && i < plan.n; i++) {
        apq_lut_sample sample;
        st = source->source.layer(source->source.ctx, &plan.layers[i], &sample);
        /* A target that is a table has no row for what no policy contains. */
        if (st == APQ_OK || st == APQ_ERR_UNSUPPORTED ||
            st == APQ_ERR_MISMATCH) {
            st = apq_lut_add(lut, &plan.layers[i],
                             st == APQ_OK ? &sample : NULL);
        }
    }
    if (st == APQ_OK) {
        st = apq_lut_index(lut);
        *n_rows = apq_lut_n_rows(lut);
    }
    apq_lut_destroy(lut);
    apq_lut_plan_fini(&plan);
    return st;
}

/* Bit pairs that no policy contains (7 x 7 with 4-bit input) are asked for
 * as well: with imagenet-apq these are the paper's 779 shapes, 9 pairs each. */
static apq_status bench_table(const apq_recipe *recipe, json_t *rows) {
    enum { MAX_RUNS = 25 };
    static const double ASKED_SECONDS = 0.08;
    double seconds[MAX_RUNS];
    int n_runs = 0;
    size_t n_rows = 0;
    apq_space space;
    apq_app_source source;
    APQ_TRY(apq_space_load(recipe->space, &space));
    space.forbids_k7_dw_act4 = false;
    apq_status st = apq_app_source_open(recipe->target, NULL, &source);
    double start_s = apq_now_s();
    while (st == APQ_OK && n_runs < MAX_RUNS &&
           (n_runs == 0 || apq_now_s() - start_s < MIN_SECONDS)) {
        double run_s = apq_now_s();
        st = build_table(&space, &source, &n_rows);
        seconds[n_runs++] = apq_now_s() - run_s;
    }
    apq_app_source_close(&source);
    APQ_TRY(st);
    apq_sort_doubles(seconds, (size_t)n_runs);
    (void)json_array_append_new(
        rows,
        json_pack("{s:s, s:s, s:s, s:i, s:I, s:i, s:f, s:f, s:f}", "case",
                  "build table", "space", space.name, "target", recipe->target,
                  "threads", 1, "layers", (json_int_t)n_rows, "runs", n_runs,
                  "seconds", seconds[n_runs / 2], "least_seconds", seconds[0],
                  "asked_seconds", ASKED_SECONDS));
    return APQ_OK;
}

/* Random policies from the table of block prices, as a search prices them:
 * from genes to places in the table and the sum. Drawing them is not timed. */
static apq_status bench_prices(const apq_recipe *recipe, json_t *rows) {
    enum { N = 1 << 14 };
    static const double ASKED_PER_S = 2e6;
    apq_space space;
    apq_target *target = NULL;
    apq_price_table *prices = NULL;
    apq_policy *policies = NULL;
    double sum = 0;
    APQ_TRY(apq_space_load(recipe->space, &space));
    APQ_TRY(apq_target_load(recipe->target, &target));
    double fill_s = apq_now_s();
    apq_status st = apq_price_table_create(&space, target, &prices);
    fill_s = apq_now_s() - fill_s;
    if (st == APQ_OK && (policies = calloc(N, sizeof *policies)) == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "no memory for %d policies", N);
    }
    apq_rng rng = apq_rng_make(recipe->seed, APQ_RNG_POLICY, 0);
    for (int i = 0; st == APQ_OK && i < N; i++) {
        apq_policy_random(&space, &rng, &policies[i]);
    }
    double start_s = apq_now_s(), seconds = 0;
    uint64_t n = 0;
    while (st == APQ_OK && seconds < MIN_SECONDS) {
        for (int i = 0; i < N; i++) {
            double cost[APQ_BUDGET_N_FIELDS];
            apq_price_policy(prices, &policies[i], cost);
            sum += cost[APQ_BUDGET_LATENCY_MS];
        }
        n += N;
        seconds = apq_now_s() - start_s;
    }
    free(policies);
    apq_price_table_destroy(prices);
    apq_target_destroy(target);
    APQ_TRY(st);
    (void)json_array_append_new(
        rows,
        json_pack("{s:s, s:s, s:s, s:i, s:I, s:o, s:f, s:f, s:f}", "case",
                  "price from table", "space", space.name, "target",
                  recipe->target, "threads", 1, "policies", (json_int_t)n,
                  "mean_latency_ms", apq_json_number(sum / (double)n),
                  "fill_seconds", fill_s, "policies_per_s", (double)n / seconds,
                  "asked_policies_per_s", ASKED_PER_S));
    return APQ_OK;
}

static const char *kind_of(const bench_options *options) {
    return options->step.common.words[0];
}

static apq_status measure_infer(const bench_options *options,
                                const apq_recipe *recipe,
                                const apq_progress *progress, char **text) {
    const char *run_dir = options->step.common.run;
    const char *space = options->step.space;
    return apq_app_bench_infer(
        recipe,
        &(apq_bench_infer_request){
            .model = options->model,
            .run_dir = run_dir,
            .space = space == NULL && run_dir != NULL ? recipe->space : space,
            .runtime =
                options->runtime != NULL ? options->runtime : apq_app_runtime(),
            .dtype = options->dtype,
        },
        progress, text);
}

static apq_status measure_app(const bench_options *options,
                              const apq_recipe *recipe,
                              const apq_progress *progress, json_t **out) {
    const char *kind = kind_of(options);
    bool is_search = strcmp(kind, "search") == 0;
    char *text = NULL;
    if (is_search) {
        APQ_TRY(apq_app_bench_search(recipe, &text));
    } else if (strcmp(kind, "infer") == 0) {
        APQ_TRY(measure_infer(options, recipe, progress, &text));
    } else {
        APQ_TRY(apq_app_bench(recipe, kind, options->dtype, progress, &text));
    }
    *out = json_loads(text, 0, NULL);
    free(text);
    return is_search
               ? apq_bench_processes(recipe, json_object_get(*out, "results"))
               : APQ_OK;
}

static apq_status measure(const bench_options *options,
                          const apq_recipe *recipe,
                          const apq_progress *progress, json_t **out) {
    if (strcmp(kind_of(options), "cost") != 0) {
        return measure_app(options, recipe, progress, out);
    }
    json_t *rows = json_array();
    apq_status st = bench_cost(recipe, rows);
    if (st == APQ_OK) {
        st = bench_prices(recipe, rows);
    }
    if (st == APQ_OK) {
        st = bench_table(recipe, rows);
    }
    if (st != APQ_OK) {
        json_decref(rows);
        return st;
    }
    apq_machine machine;
    apq_machine_probe(&machine);
    char *text = apq_machine_to_json(&machine);
    *out = json_pack("{s:o, s:o}", "machine",
                     text != NULL ? json_loads(text, 0, NULL) : json_null(),
                     "results", rows);
    free(text);
    return APQ_OK;
}

static bool is_kind(const char *word) {
    for (size_t i = 0; kinds[i] != NULL; i++) {
        if (strcmp(kinds[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* Options that are not for every kind. */
static apq_status check_options(const bench_options *o) {
    const char *kind = kind_of(o), *dtype = o->dtype;
    bool is_infer = strcmp(kind, "infer") == 0;
    if (dtype != NULL &&
        (strcmp(kind, "search") == 0 || strcmp(kind, "cost") == 0)) {
        APQ_FAIL(APQ_ERR_ARG, "--dtype: of bench train, eval and infer only");
    }
    if (dtype != NULL && strcmp(dtype, "int8") == 0 && !is_infer &&
        strcmp(kind, "eval") != 0) {
        APQ_FAIL(APQ_ERR_ARG, "--dtype int8: of bench eval and infer only");
    }
    if (dtype != NULL && strcmp(dtype, "bfloat16") == 0 && is_infer) {
        APQ_FAIL(APQ_ERR_ARG, "--dtype bfloat16: of bench train and eval only");
    }
    if (!is_infer && (o->model != NULL || o->runtime != NULL)) {
        APQ_FAIL(APQ_ERR_ARG, "--model and --runtime: of bench infer only");
    }
    return APQ_OK;
}

static int run(const apq_command *self, int argc, char **argv) {
    bench_options options = {.dtype = NULL};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if (options.step.common.n_words == 0 || !is_kind(kind_of(&options))) {
        (void)APQ_ERROR(APQ_ERR_ARG,
                        "bench what? one of train, eval, search, cost, infer");
        return apq_cli_usage(self);
    }
    if (check_options(&options) != APQ_OK) {
        return apq_cli_usage(self);
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, options.step.common.quiet);
    apq_recipe recipe;
    json_t *document = NULL;
    apq_status st = apq_step_recipe(&options.step, 1, &recipe);
    if (st == APQ_OK) {
        apq_machine_set_threads(recipe.threads);
        st = measure(&options, &recipe, &progress.base, &document);
    }
    apq_cli_progress_end(&progress);
    if (st == APQ_OK && options.step.common.json) {
        apq_cli_print_json(document, false);
        return apq_cli_exit(st);
    }
    if (st == APQ_OK) {
        apq_bench_print(kind_of(&options), document);
    }
    json_decref(document);
    return apq_cli_exit(st);
}

const apq_command apq_command_bench = {
    .name = "bench",
    .brief = "speed of training, evaluation, search, cost, inference",
    .usage = "apq bench train|eval|search|cost|infer [options]",
    .summary = "Speed on this machine.",
    .examples = "  apq bench train --space cifar10 --json\n"
                "  apq bench cost --space imagenet-apq --target bitfusion\n"
                "  apq bench search --space imagenet-apq --target bitfusion "
                "--threads 1\n"
                "  apq bench infer --runtime libonnxruntime.so\n",
    .options = table,
    .max_words = APQ_STEP_MAX_WORDS,
    .words = kinds,
    .is_parallel = true,
    .run = run,
};
