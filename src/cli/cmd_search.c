/* apq search: the best policy under a budget, and how it compares. */
#include "cli/cmd_search.h"
#include "cli/commands.h"

#include "app/app.h"
#include "app/search.h"
#include "cli/step.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct search_options {
    apq_step_options step;
    const char *predictor, *out, *strategy;
    const char *budget[APQ_BUDGET_N_FIELDS]; /* X, or FROM:TO:POINTS */
    int population, parents, iterations;
    int remeasure, qat_steps;
    double mutation;
    bool all_layers, as_released, sequential;
    double time_limit_s;
} search_options;

#define AT(member) offsetof(search_options, member)
#define BUDGET(option, field, unit)                                            \
    {                                                                          \
        .name = option, .type = APQ_OPTION_TEXT, .argument = "X",              \
        .help = "budget: at most X " unit,                                     \
        .offset = AT(budget) + (field) * sizeof(const char *)                  \
    }

static const apq_option table[] = {
    APQ_STEP_TABLE,
    {.name = "predictor",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "accuracy predictor; else the run's, else the shipped one",
     .offset = AT(predictor)},
    BUDGET("latency-ms", APQ_BUDGET_LATENCY_MS, "ms an image"),
    BUDGET("energy-mj", APQ_BUDGET_ENERGY_MJ, "mJ an image"),
    BUDGET("bitops-g", APQ_BUDGET_BITOPS_G, "1e9 bit operations"),
    BUDGET("size-kb", APQ_BUDGET_SIZE_KB, "1000 bytes of weights"),
    {.name = "strategy",
     .type = APQ_OPTION_TEXT,
     .argument = "STRATEGY",
     .help = "see apq list strategies",
     .offset = AT(strategy)},
    {.name = "population",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "candidates of an iteration",
     .offset = AT(population),
     .low = APQ_SEARCH_MIN_POPULATION,
     .high = APQ_SEARCH_MAX_POPULATION},
    {.name = "parents",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "survivors of an iteration",
     .offset = AT(parents),
     .low = 1,
     .high = APQ_SEARCH_MAX_POPULATION},
    {.name = "iterations",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "iterations, the first population included",
     .offset = AT(iterations),
     .low = 1,
     .high = APQ_SEARCH_MAX_ITERATIONS},
    {.name = "mutation",
     .type = APQ_OPTION_REAL,
     .argument = "P",
     .help = "probability to redraw a block",
     .offset = AT(mutation),
     .low = APQ_SEARCH_MIN_MUTATION,
     .high = 1},
    {.name = "all-layers",
     .type = APQ_OPTION_FLAG,
     .help = "price every layer, also those the space's accounting leaves out",
     .offset = AT(all_layers)},
    {.name = "time-limit-s",
     .type = APQ_OPTION_REAL,
     .argument = "S",
     .help = "stop after S seconds with the best so far",
     .offset = AT(time_limit_s),
     .low = 1e-3,
     .high = 1e9},
    {.name = "remeasure",
     .type = APQ_OPTION_INT,
     .argument = "K",
     .help = "measure the best K with the run's supernet; the best of these "
             "wins",
     .offset = AT(remeasure),
     .low = 1,
     .high = APQ_SEARCH_MAX_TOP},
    {.name = "qat-steps",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "train each of these N steps with quantisation before",
     .offset = AT(qat_steps),
     .low = 0,
     .high = 1000000},
    {.name = "as-released",
     .type = APQ_OPTION_FLAG,
     .help = "evolution with the defects of the authors' code, to compare",
     .offset = AT(as_released)},
    {.name = "sequential",
     .type = APQ_OPTION_FLAG,
     .help = "compare with architecture, widths and bits searched one after "
             "the other",
     .offset = AT(sequential)},
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "write the JSON here, pictures beside it",
     .offset = AT(out)},
    {.name = NULL},
};

static const char *option_name(apq_budget_field field) {
    static const char *const names[] = {"latency-ms", "energy-mj", "bitops-g",
                                        "size-kb"};
    return names[field];
}

static apq_status read_budget(apq_budget_field field, const char *text,
                              double *value) {
    const double low = 1e-12, high = 1e12;
    char *end;
    *value = strtod(text, &end);
    /* Written so that what is no number fails. */
    if (end == text || *end != '\0' || !(*value >= low) || !(*value <= high)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "--%s \"%s\" is not a number in %g ... %g, nor "
                 "FROM:TO:POINTS",
                 option_name(field), text, low, high);
    }
    return APQ_OK;
}

/* The budgets given, 0 for none; the range of the one that has one, else 0
 * points. */
static apq_status read_budgets(const search_options *o,
                               double budget[APQ_BUDGET_N_FIELDS],
                               apq_sweep_range *range) {
    *range = (apq_sweep_range){.n_points = 0};
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        apq_budget_field field = (apq_budget_field)f;
        const char *text = o->budget[f];
        budget[f] = 0;
        if (text == NULL) {
            continue;
        }
        if (strchr(text, ':') == NULL) {
            APQ_TRY(read_budget(field, text, &budget[f]));
            continue;
        }
        if (range->n_points > 0) {
            APQ_FAIL(APQ_ERR_ARG,
                     "--%s %s: one budget can have a range, --%s has one",
                     option_name(field), text, option_name(range->field));
        }
        APQ_TRY(apq_sweep_parse(option_name(field), text, range));
        range->field = field;
        budget[f] = range->to;
    }
    return APQ_OK;
}

static apq_status make_recipe(const search_options *o,
                              const double budget[APQ_BUDGET_N_FIELDS],
                              apq_recipe *out) {
    APQ_TRY(apq_step_recipe(&o->step, 0, out));
    bool has_budget = false;
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        has_budget = has_budget || budget[f] > 0;
    }
    if (has_budget) {
        /* Budgets given here replace those of the recipe together. */
        out->search.latency_ms = budget[APQ_BUDGET_LATENCY_MS];
        out->search.energy_mj = budget[APQ_BUDGET_ENERGY_MJ];
        out->search.bitops_g = budget[APQ_BUDGET_BITOPS_G];
        out->search.size_kb = budget[APQ_BUDGET_SIZE_KB];
    }
    if (o->strategy != NULL) {
        APQ_TRY(apq_recipe_set(out, "search.strategy", o->strategy));
    }
    out->search.population =
        o->population > 0 ? o->population : out->search.population;
    out->search.parents = o->parents > 0 ? o->parents : out->search.parents;
    out->search.iterations =
        o->iterations > 0 ? o->iterations : out->search.iterations;
    out->search.mutation = o->mutation > 0 ? o->mutation : out->search.mutation;
    out->search.remeasure =
        o->remeasure > 0 ? o->remeasure : out->search.remeasure;
    if (o->qat_steps >= 0) {
        out->search.remeasure_qat_steps = o->qat_steps;
    }
    out->search.all_layers |= o->all_layers;
    out->search.as_released |= o->as_released;
    out->search.sequential |= o->sequential;
    out->search.time_limit_s =
        o->time_limit_s > 0 ? o->time_limit_s : out->search.time_limit_s;
    return apq_recipe_check_search(out, NULL);
}

static void print_blocks(const apq_app_search_result *r) {
    const apq_policy *p = &r->best.policy;
    printf("block  kernel  channels  expand/project  depthwise    share of "
           "latency\n"
           "                          weight   act   weight   act\n");
    for (int b = 0; b < r->space.n_blocks; b++) {
        if (!apq_space_block_active(&r->space, p, b)) {
            printf("%5d  skipped\n", b);
            continue;
        }
        char bar[26] = ""; /* with a blank before it */
        double share = r->latency_share[b];
        size_t n = share > 0 ? (size_t)lround(fmin(share, 0.5) * 48) : 0;
        if (n > 0) {
            bar[0] = ' ';
            memset(bar + 1, '#', n);
        }
        printf("%5d  %6d  %8d  %6d  %4d   %6d  %4d    %5.1f %%%s\n", b,
               p->kernel[b], p->channels[b], p->bits[APQ_PW_WEIGHT][b],
               p->bits[APQ_PW_ACT][b], p->bits[APQ_DW_WEIGHT][b],
               p->bits[APQ_DW_ACT][b], 100 * share, bar);
    }
}

static void print_candidate(const char *name, const apq_candidate *c) {
    if (!c->is_found) {
        printf("%-22s none under the budget\n", name);
        return;
    }
    printf("%-22s %8.2f %%", name, 100 * c->accuracy);
    apq_cli_print_number(10, 5, c->cost.latency_ms);
    apq_cli_print_number(10, 5, c->cost.energy_mj);
    printf(" %10.5g %10.5g%s\n", c->cost.bitops / 1e9,
           c->cost.weight_bytes / 1e3, c->meets_budget ? "" : "  over budget");
}

static void print_measured(const apq_app_search_result *r) {
    if (r->n_measured == 0) {
        return;
    }
    printf("\n%-22s %10s %10s %10s %10s %10s %10s\n", "measured again",
           "predicted", "latency ms", "energy mJ", "GBitOps", "size KB",
           "measured");
    for (size_t i = 0; i < r->n_measured; i++) {
        const apq_measured *m = &r->measured[i];
        const apq_candidate *c = &m->candidate;
        bool is_best =
            memcmp(&c->policy, &r->best.policy, sizeof c->policy) == 0;
        printf("%-22s %8.2f %%", is_best ? "  the one found" : "",
               100 * c->accuracy);
        apq_cli_print_number(10, 5, c->cost.latency_ms);
        apq_cli_print_number(10, 5, c->cost.energy_mj);
        printf(" %10.5g %10.5g %8.2f %%\n", c->cost.bitops / 1e9,
               c->cost.weight_bytes / 1e3, 100 * m->accuracy);
    }
}

static void print_result(const apq_app_search_result *r) {
    static const char *const labels[APQ_N_BASELINES] = {
        "largest, 8 bit", "largest, 4 bit", "best found, 8 bit",
        "best found, 4 bit", "sequential"};
    int n = r->has_sequential ? APQ_N_BASELINES : APQ_N_UNIFORM_BASELINES;
    print_blocks(r);
    printf("\n%-22s %10s %10s %10s %10s %10s\n", "", "accuracy", "latency ms",
           "energy mJ", "GBitOps", "size KB");
    print_candidate("found, mixed", &r->best);
    for (int i = 0; i < n; i++) {
        print_candidate(labels[i], &r->baselines[i]);
    }
    print_measured(r);
    printf("\n%-22s %10s", "range of the space", "");
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        apq_cli_print_number(10, 5, r->low[f]);
    }
    printf("  smallest\n%-22s %10s", "", "");
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        apq_cli_print_number(10, 5, r->high[f]);
    }
    printf("  largest\n%-22s %10s", "budget", "");
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        if (r->budget[f] > 0) {
            printf(" %10.5g", r->budget[f]);
        } else {
            printf(" %10s", "-");
        }
    }
    printf("\n\nAccuracies are predicted%s. %" PRIu64
           " networks scored, %.2f s in all.\n",
           r->n_measured > 0 ? ", but for the column 'measured'" : "",
           r->evaluations, r->seconds);
}

apq_status apq_cmd_search_stem(const char *path, char out[APQ_PATH_MAX]) {
    size_t n = strlen(path);
    if (n >= APQ_PATH_MAX) {
        APQ_FAIL(APQ_ERR_ARG, "--out is longer than %d characters",
                 APQ_PATH_MAX - 1);
    }
    bool has_ending = n > 5 && strcmp(path + n - 5, ".json") == 0;
    (void)snprintf(out, APQ_PATH_MAX, "%.*s", (int)(has_ending ? n - 5 : n),
                   path);
    return APQ_OK;
}

/* FILE.json and FILE.svg, .png, .pdf. */
static apq_status write_out(const apq_app_search_result *result,
                            const char *path) {
    char stem[APQ_PATH_MAX];
    APQ_TRY(apq_cmd_search_stem(path, stem));
    return apq_app_search_write(result, path, stem);
}

static apq_status show(const search_options *options,
                       const apq_app_search_result *result) {
    if (options->out != NULL) {
        APQ_TRY(write_out(result, options->out));
    }
    if (!options->step.common.json) {
        print_result(result);
        return APQ_OK;
    }
    char *text = apq_app_search_json(result);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    printf("%s\n", text);
    free(text);
    return APQ_OK;
}

apq_status apq_cmd_search_stopped(const char *path_or_null) {
    if (path_or_null == NULL) {
        return APQ_ERR_INTERRUPTED;
    }
    APQ_FAIL(APQ_ERR_INTERRUPTED, "search stopped, best so far in %s",
             path_or_null);
}

/* Options that need each other. */
static apq_status check_options(const search_options *o,
                                const apq_sweep_range *range) {
    if (o->remeasure > 0 && range->n_points > 0) {
        APQ_FAIL(APQ_ERR_ARG, "--remeasure is of one budget, --%s has a range",
                 option_name(range->field));
    }
    if (o->remeasure > 0 && o->step.common.run == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "--remeasure needs the supernet of a run: use "
                              "--run DIR");
    }
    return APQ_OK;
}

/* One budget of each cost. */
static apq_status search_once(const search_options *options,
                              const apq_recipe *recipe,
                              apq_cli_progress *progress) {
    apq_app_search_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    apq_status st = apq_app_search(recipe, options->step.common.run,
                                   options->predictor, &progress->base, result);
    apq_cli_progress_end(progress);
    bool has_best = st == APQ_ERR_INTERRUPTED && result->search != NULL &&
                    result->search->is_stopped;
    if (st == APQ_OK || has_best) {
        apq_status shown = show(options, result);
        st = shown != APQ_OK ? shown
             : has_best      ? apq_cmd_search_stopped(options->out)
                             : APQ_OK;
    }
    apq_app_search_fini(result);
    free(result);
    return st;
}

static int run(const apq_command *self, int argc, char **argv) {
    search_options options = {.qat_steps = -1};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    double budget[APQ_BUDGET_N_FIELDS];
    apq_sweep_range range;
    if (read_budgets(&options, budget, &range) != APQ_OK ||
        check_options(&options, &range) != APQ_OK) {
        return apq_cli_usage(self);
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, options.step.common.quiet);
    apq_recipe recipe;
    apq_status st = make_recipe(&options, budget, &recipe);
    /* The recipe may give the other. */
    if (st == APQ_OK && options.qat_steps >= 0 &&
        recipe.search.remeasure == 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--qat-steps needs --remeasure K");
        return apq_cli_usage(self);
    }
    if (st == APQ_OK) {
        st = apq_file_check_write(options.out);
    }
    if (st == APQ_OK && range.n_points > 0) {
        st = apq_cmd_search_sweep(
            &(apq_sweep_request){.recipe = &recipe,
                                 .range = range,
                                 .run_dir = options.step.common.run,
                                 .predictor = options.predictor,
                                 .out_path = options.out,
                                 .is_json = options.step.common.json},
            &progress);
    } else if (st == APQ_OK) {
        st = search_once(&options, &recipe, &progress);
    }
    apq_cli_progress_end(&progress);
    return apq_cli_exit(st);
}

const apq_command apq_command_search = {
    .name = "search",
    .brief = "find the best policy under a budget",
    .usage = "apq search [RECIPE] [KEY=VALUE ...] [--latency-ms X] [options]",
    .summary =
        "Finds architecture, channels and bit-widths together: the "
        "highest predicted\naccuracy under the budgets. One budget may be "
        "FROM:TO:POINTS: evenly spaced ones,\nanswered together. With --run, "
        "the same command goes on after a kill.",
    .examples = "  apq search --space cifar10 --target bitfusion --latency-ms "
                "0.5\n"
                "  apq search --space cifar10 --energy-mj 0.6 --size-kb 500 "
                "--json\n"
                "  apq search --run runs/first --latency-ms 0.5 --remeasure "
                "8\n"
                "  apq search --space cifar10 --latency-ms 0.3:0.6:7 -o "
                "front.json\n",
    .options = table,
    .max_words = APQ_STEP_MAX_WORDS,
    .is_parallel = true,
    .run = run,
};
