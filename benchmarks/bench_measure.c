/* How well sums of measured layers meet whole networks, and two tables each
 * other: apq_measure over random policies of a space.
 * Usage: bench_measure [target [space [networks [passes]]]] */
#include "measure/measure.h"

#include "base/log.h"
#include "space/space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct bench {
    apq_space space;
    apq_target *target;
    apq_measure *measure;
    size_t n, n_passes;
    apq_ir_network *networks;
    apq_lut_sample *samples; /* (n_passes, n, APQ_IR_MAX_LAYERS) */
} bench;

static void check(apq_status st) {
    if (st != APQ_OK) {
        (void)fprintf(stderr, "bench_measure: %s\n", apq_error_message());
        exit(1);
    }
}

static apq_lut_sample *sample_at(const bench *b, size_t pass, size_t i,
                                 size_t layer) {
    return &b->samples[(pass * b->n + i) * APQ_IR_MAX_LAYERS + layer];
}

/* Each pass is a table of its own, so it opens anew: nothing is remembered. */
static void measure_layers(bench *b, size_t pass) {
    apq_measure_close(b->measure);
    b->measure = NULL;
    check(apq_measure_open(b->target, NULL, &b->measure));
    apq_lut_source source = apq_measure_source(b->measure);
    double start = apq_now_s();
    for (size_t i = 0; i < b->n; i++) {
        for (size_t l = 0; l < b->networks[i].n_layers; l++) {
            check(source.layer(source.ctx, &b->networks[i].layers[l],
                               sample_at(b, pass, i, l)));
        }
    }
    apq_measure_drift drift = apq_measure_get_drift(b->measure);
    printf("table %zu: %.1f s, %zu batches repeated, %zu results unsettled, "
           "%zu faster clocks\n",
           pass + 1, apq_now_s() - start, drift.n_repeated, drift.n_unsettled,
           drift.n_stale);
}

static void compare(const bench *b, size_t pass) {
    double *sums = calloc(b->n, sizeof *sums);
    double *measured = calloc(b->n, sizeof *measured);
    if (sums == NULL || measured == NULL) {
        check(APQ_ERROR(APQ_ERR_NOMEM, "out of memory"));
        return;
    }
    for (size_t i = 0; i < b->n; i++) {
        for (size_t l = 0; l < b->networks[i].n_layers; l++) {
            sums[i] += sample_at(b, pass, i, l)->latency_ms;
        }
    }
    apq_measure_agreement agreement;
    check(apq_measure_compare(b->measure, b->networks, b->n, sums, measured,
                              &agreement));
    double ratio = 0.0;
    for (size_t i = 0; i < b->n; i++) {
        ratio += sums[i] / measured[i] / (double)b->n;
    }
    printf("sums of table %zu against %zu networks: median error %.2f %%, "
           "largest %.2f %%, mean ratio %.3f, Kendall tau %.3f\n",
           pass + 1, b->n, 100.0 * agreement.median_error,
           100.0 * agreement.max_error, ratio, agreement.kendall_tau);
    free(sums);
    free(measured);
}

/* Layers whose two medians differ by no more than both spreads together. */
static void compare_tables(const bench *b, size_t pass) {
    size_t n_within = 0, n_near = 0, n = 0;
    for (size_t i = 0; i < b->n; i++) {
        for (size_t l = 0; l < b->networks[i].n_layers; l++) {
            const apq_lut_sample *x = sample_at(b, pass - 1, i, l);
            const apq_lut_sample *y = sample_at(b, pass, i, l);
            double difference = fabs(x->latency_ms - y->latency_ms);
            n++;
            n_within +=
                difference <= x->latency_spread_ms + y->latency_spread_ms;
            n_near += difference <= 0.05 * x->latency_ms;
        }
    }
    printf("tables %zu and %zu: %.1f %% of %zu layers agree within their "
           "spreads, %.1f %% within 5 %%\n",
           pass, pass + 1, 100.0 * (double)n_within / (double)n, n,
           100.0 * (double)n_near / (double)n);
}

int main(int argc, char **argv) {
    bench b = {.n = argc > 3 ? strtoul(argv[3], NULL, 10) : 30,
               .n_passes = argc > 4 ? strtoul(argv[4], NULL, 10) : 2};
    check(apq_target_load(argc > 1 ? argv[1] : "cpu", &b.target));
    check(apq_space_load(argc > 2 ? argv[2] : "cifar10", &b.space));
    b.networks = calloc(b.n, sizeof *b.networks);
    b.samples = calloc(b.n_passes * b.n * APQ_IR_MAX_LAYERS, sizeof *b.samples);
    if (b.networks == NULL || b.samples == NULL || b.n == 0) {
        check(APQ_ERROR(APQ_ERR_NOMEM, "no memory, or no networks"));
    }
    for (size_t i = 0; i < b.n; i++) {
        apq_policy policy;
        apq_rng rng = apq_rng_make(1, APQ_RNG_POLICY, i);
        apq_policy_random(&b.space, &rng, &policy);
        check(apq_policy_lower(&b.space, &policy, &b.networks[i]));
    }
    for (size_t pass = 0; pass < b.n_passes; pass++) {
        measure_layers(&b, pass);
        compare(&b, pass);
        if (pass > 0) {
            compare_tables(&b, pass);
        }
    }
    free(b.networks);
    free(b.samples);
    apq_measure_close(b.measure);
    apq_target_destroy(b.target);
    return 0;
}
