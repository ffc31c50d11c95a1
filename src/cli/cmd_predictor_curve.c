/* apq predictor curve: what transfer from float records is worth. */
#include "cli/cmd_predictor.h"

#include "app/app.h"
#include "app/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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

static apq_status leave(const apq_predictor_command *o,
                        const apq_curve *curve) {
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

apq_status apq_cli_predictor_curve(const apq_predictor_command *o) {
    apq_curve_request request = {.n_seeds = o->n_seeds};
    apq_recipe recipe;
    APQ_TRY(parse_sizes(o->sizes, &request));
    APQ_TRY(apq_step_recipe(&o->step, 1, &recipe));
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
