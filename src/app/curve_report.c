/* The curve of `apq predictor curve` as JSON and as three pictures. */
#include "app/curve.h"

#include "app/judge.h"
#include "report/plot.h"

#include <stddef.h>
#include <stdio.h>

static json_t *scores_json(const apq_curve_scores *scores) {
    return json_pack("{s:o, s:o, s:o}", "pairwise_accuracy",
                     apq_interval_json(scores->pairwise_accuracy),
                     "kendall_tau", apq_interval_json(scores->kendall_tau),
                     "rmse", apq_interval_json(scores->rmse));
}

json_t *apq_curve_json(const apq_curve *curve) {
    json_t *rows = json_array();
    for (int i = 0; i < curve->n_sizes; i++) {
        const apq_curve_scores *arms = curve->scores[i];
        (void)json_array_append_new(
            rows,
            json_pack("{s:i, s:o, s:o, s:o}", "quantised_records",
                      curve->sizes[i], "scratch",
                      scores_json(&arms[APQ_CURVE_SCRATCH]), "transfer",
                      scores_json(&arms[APQ_CURVE_TRANSFER]), "difference",
                      scores_json(&arms[APQ_CURVE_DIFFERENCE])));
    }
    return json_pack(
        "{s:I, s:I, s:I, s:i, s:o, s:o}", "float_records",
        (json_int_t)curve->n_float, "pool_records", (json_int_t)curve->n_pool,
        "test_records", (json_int_t)curve->n_test, "seeds", curve->n_seeds,
        "label_noise", apq_label_noise_json(&curve->noise), "sizes", rows);
}

/* A score within apq_curve_scores, and how it is shown. */
typedef struct measure {
    size_t offset;
    double scale;
    const char *y_label, *tail;
} measure;

static apq_status plot_measure(const apq_curve *curve, const measure *m,
                               const char *file) {
    static const char *const labels[] = {"without transfer", "with transfer"};
    double x[APQ_CURVE_DIFFERENCE][APQ_CURVE_MAX_SIZES];
    double y[APQ_CURVE_DIFFERENCE][3][APQ_CURVE_MAX_SIZES];
    apq_plot_series series[APQ_CURVE_DIFFERENCE];
    for (int arm = 0; arm < APQ_CURVE_DIFFERENCE; arm++) {
        for (int i = 0; i < curve->n_sizes; i++) {
            const void *scores = &curve->scores[i][arm];
            const apq_interval *interval =
                (const void *)((const char *)scores + m->offset);
            /* Beside each other, so that neither bar hides the other. */
            double aside = 0.004 * curve->sizes[curve->n_sizes - 1];
            x[arm][i] = curve->sizes[i] + (arm == 0 ? -aside : aside);
            y[arm][0][i] = m->scale * interval->value;
            y[arm][1][i] = m->scale * interval->low;
            y[arm][2][i] = m->scale * interval->high;
        }
        series[arm] = (apq_plot_series){.label = labels[arm],
                                        .x = x[arm],
                                        .y = y[arm][0],
                                        .n = (size_t)curve->n_sizes,
                                        .y_low = y[arm][1],
                                        .y_high = y[arm][2],
                                        .has_line = true,
                                        .is_dashed = arm == 0,
                                        .marker = arm == 0 ? APQ_MARKER_SQUARE
                                                           : APQ_MARKER_CIRCLE,
                                        .color = arm == 0 ? 1 : 0};
    }
    const apq_plot plot = {.title = "Transfer from float records",
                           .x_label = "quantised training records",
                           .y_label = m->y_label,
                           .series = series,
                           .n_series = APQ_CURVE_DIFFERENCE};
    char stem[APQ_PATH_MAX];
    APQ_TRY(apq_judge_plot_stem(file, m->tail, stem));
    return apq_plot_write(&plot, stem);
}

apq_status apq_curve_plot(const apq_curve *curve, const char *file) {
    static const measure measures[] = {
        {offsetof(apq_curve_scores, pairwise_accuracy), 100.0,
         "pairs in the right order [%]", ""},
        {offsetof(apq_curve_scores, kendall_tau), 1.0, "Kendall tau-b", "-tau"},
        {offsetof(apq_curve_scores, rmse), 100.0,
         "RMSE [points of top-1 accuracy]", "-rmse"},
    };
    for (size_t i = 0; i < sizeof measures / sizeof measures[0]; i++) {
        APQ_TRY(plot_measure(curve, &measures[i], file));
    }
    return APQ_OK;
}
