/* apq predictor curve: what transfer from float records is worth. */
#include "cli/cmd_predictor.h"

#include "app/app.h"
#include "app/json.h"
#include "cli/commands.h"
#include "cli/step.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct curve_options {
    apq_step_options step;
    const char *out, *plot, *sizes;
    int n_seeds;
} curve_options;

#define AT(member) offsetof(curve_options, member)
static const apq_option table[] = {
    APQ_STEP_TABLE,
    {.name = "sizes",
     .type = APQ_OPTION_TEXT,
     .argument = "N,N,...",
     .help = "quantised records to train on; else halves of all",
     .offset = AT(sizes)},
    {.name = "seeds",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "draws of these records, each with fits of its own (5)",
     .offset = AT(n_seeds),
     .low = 1,
     .high = APQ_CURVE_MAX_SEEDS},
    {.name = "plot",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "scores over records, as FILE.svg, .png and .pdf",
     .offset = AT(plot)},
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "the curve as JSON; -o is short for it",
     .offset = AT(out)},
    {.name = NULL},
};

static apq_status parse_sizes(const char *text, apq_curve_request *request) {
    while (text != NULL) {
        char *end = NULL;
        errno = 0;
        long n = strtol(text, &end, 10);
        if (end == text || (*end != ',' && *end != '\0') || errno != 0 ||
            n < 1 || n > 10000000 || request->n_sizes == APQ_CURVE_MAX_SIZES) {
            APQ_FAIL(APQ_ERR_ARG,
                     "--sizes: \"%s\": expected up to %d numbers in 1 ... 1e7 "
                     "with commas between",
                     text, APQ_CURVE_MAX_SIZES);
        }
        request->sizes[request->n_sizes++] = (int)n;
        text = *end == ',' ? end + 1 : NULL;
    }
    return APQ_OK;
}

static void print_interval(apq_interval i, double scale, int digits) {
    printf(" %8.*f [%.*f, %.*f]", digits, scale * i.value, digits,
           scale * i.low, digits, scale * i.high);
}

static void print_curve(const apq_curve *curve) {
    static const char *const arms[] = {"scratch", "transfer", "difference"};
    printf("%zu float records, %d seeds, %zu test records (95 %% intervals in "
           "brackets)\n"
           "records arm            pairs in order [%%]          Kendall tau"
           "                   RMSE [points]\n",
           curve->n_float, curve->n_seeds, curve->n_test);
    for (int i = 0; i < curve->n_sizes; i++) {
        for (int arm = 0; arm < APQ_CURVE_N_ARMS; arm++) {
            const apq_curve_scores *s = &curve->scores[i][arm];
            printf("%7d %-10s", curve->sizes[i], arms[arm]);
            print_interval(s->pairwise_accuracy, 100, 2);
            print_interval(s->kendall_tau, 1, 4);
            print_interval(s->rmse, 100, 2);
            printf("\n");
        }
    }
    apq_cli_print_noise(&curve->noise);
}

static apq_status leave(const curve_options *o, const apq_curve *curve) {
    if (o->plot != NULL) {
        APQ_TRY(apq_curve_plot(curve, o->plot));
    }
    if (o->out != NULL) {
        APQ_TRY(apq_json_write(apq_curve_json(curve), 6, o->out));
    }
    if (o->step.common.json) {
        apq_cli_print_json(apq_curve_json(curve), false);
    } else {
        print_curve(curve);
    }
    return APQ_OK;
}

static apq_status compare(const curve_options *o) {
    apq_curve_request request = {.n_seeds = o->n_seeds};
    apq_recipe recipe;
    APQ_TRY(parse_sizes(o->sizes, &request));
    APQ_TRY(apq_step_recipe(&o->step, 0, &recipe));
    APQ_TRY(apq_file_check_write(o->out));
    APQ_TRY(apq_file_check_write(o->plot));
    apq_curve *curve = calloc(1, sizeof *curve);
    if (curve == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "curve: out of memory");
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, o->step.common.quiet);
    apq_status st = apq_app_curve(&recipe, o->step.common.run, &request,
                                  &progress.base, curve);
    apq_cli_progress_end(&progress);
    if (st == APQ_OK) {
        st = leave(o, curve);
    }
    free(curve);
    return st;
}

static int run(const apq_command *self, int argc, char **argv) {
    curve_options o = {.n_seeds = 5};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code >= 0) {
        return code;
    }
    if (o.step.common.run == NULL) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--run DIR is required");
        return apq_cli_usage(self);
    }
    return apq_cli_exit(compare(&o));
}

const apq_command apq_command_predictor_curve = {
    .name = "predictor curve",
    .brief = "what transfer from float records is worth",
    .usage = "apq predictor curve --run DIR [KEY=VALUE ...] [options]",
    .summary = "Compares fits with and without transfer from float records. "
               "Scores have 95 %\nbootstrap intervals.",
    .examples = "  apq predictor curve --run runs/first --sizes 100,250 "
                "--seeds 5 --plot curve\n"
                "  apq predictor curve --run runs/first "
                "--out runs/first/predictor-curve.json\n",
    .options = table,
    .max_words = APQ_STEP_MAX_WORDS,
    .run = run,
};
