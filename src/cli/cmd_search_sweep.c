/* apq search --latency-ms FROM:TO:POINTS: a table with a row for each
 * budget. */
#include "cli/cmd_search.h"

#include "cli/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void print_accuracy(const apq_candidate *c) {
    if (c->is_found) {
        printf(" %8.2f %%", 100 * c->accuracy);
    } else {
        printf(" %10s", "-");
    }
}

static void print_sweep(const apq_sweep_result *r) {
    static const char *const units[] = {"latency ms", "energy mJ", "GBitOps",
                                        "size KB"};
    printf("%-10s %10s %10s %10s %10s %10s %10s %10s\n", "budget", "accuracy",
           "latency ms", "energy mJ", "GBitOps", "size KB", "8 bit", "4 bit");
    for (int i = 0; i < r->n_points; i++) {
        const apq_sweep_point *p = &r->points[i];
        printf("%-10.5g", p->budget[r->range.field]);
        print_accuracy(&p->best);
        apq_cli_print_number(10, 5, p->best.cost.latency_ms);
        apq_cli_print_number(10, 5, p->best.cost.energy_mj);
        printf(" %10.5g %10.5g", p->best.cost.bitops / 1e9,
               p->best.cost.weight_bytes / 1e3);
        print_accuracy(&p->uniform8);
        print_accuracy(&p->uniform4);
        printf("\n");
    }
    printf("\nBudgets are %s. Accuracies are predicted; the last two columns "
           "are the best\nnetworks of one bit-width.",
           units[r->range.field]);
    if (r->n_skipped > 0) {
        printf(" %d budgets below the smallest possible, %.6g, were skipped.",
               r->n_skipped, r->common.low[r->range.field]);
    }
    printf("\n%" PRIu64 " networks scored, %.2f s in all.\n", r->evaluations,
           r->seconds);
}

static apq_status show(const apq_sweep_request *request,
                       const apq_sweep_result *result) {
    if (!request->is_json) {
        print_sweep(result);
        return APQ_OK;
    }
    char *text = apq_app_sweep_json(result);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    printf("%s\n", text);
    free(text);
    return APQ_OK;
}

static apq_status write_out(const apq_sweep_request *request,
                            const apq_sweep_result *result) {
    char stem[APQ_PATH_MAX];
    if (request->out_path == NULL) {
        return APQ_OK;
    }
    APQ_TRY(apq_cmd_search_stem(request->out_path, stem));
    return apq_app_sweep_write(result, request->out_path, stem);
}

apq_status apq_cmd_search_sweep(const apq_sweep_request *request,
                                apq_cli_progress *progress) {
    apq_sweep_result result;
    apq_status st =
        apq_app_sweep(request->recipe, &request->range, request->run_dir,
                      request->predictor, &progress->base, &result);
    apq_cli_progress_end(progress);
    bool has_best = st == APQ_ERR_INTERRUPTED && result.n_front > 0;
    if (st == APQ_OK || has_best) {
        apq_status shown = write_out(request, &result);
        shown = shown == APQ_OK ? show(request, &result) : shown;
        st = shown != APQ_OK ? shown
             : has_best      ? apq_cmd_search_stopped(request->out_path)
                             : APQ_OK;
    }
    apq_app_sweep_fini(&result);
    return st;
}
