/* One handle for the two kinds of measured targets, and the comparison of
 * sums of layers with whole networks. */
#include "measure/measure.h"

#include "cost/measured/measured.h"
#include "measure/cpu.h"
#include "measure/exec.h"
#include "predictor/metrics.h"

#include <math.h>
#include <stdlib.h>

struct apq_measure {
    const apq_target *target;
    const apq_measured_config *config;
    apq_cpu *cpu;
    apq_exec *exec;
};

/* Our kernels have one container each; a file cannot say otherwise. */
static apq_status check_containers(const apq_target *target,
                                   const apq_measured_config *config) {
    const apq_capability *c = apq_target_capability(target);
    int bits = config->arithmetic == APQ_MEASURED_INT8 ? 8 : 32;
    for (int kind = 0; kind < APQ_IR_N_KINDS; kind++) {
        for (size_t i = 0; i < c->n_rows[kind]; i++) {
            const apq_capability_row *row = &c->rows[kind][i];
            if (row->weight_container_bits != bits ||
                row->act_container_bits != bits) {
                APQ_FAIL(APQ_ERR_FORMAT,
                         "target %s: %s: container_bits [%d, %d], the "
                         "arithmetic has [%d, %d]",
                         apq_target_name(target),
                         apq_ir_kind_name((apq_ir_kind)kind),
                         row->weight_container_bits, row->act_container_bits,
                         bits, bits);
            }
        }
    }
    return APQ_OK;
}

apq_status apq_measure_open(const apq_target *target,
                            const apq_progress *progress, apq_measure **out) {
    const apq_measured_config *config = apq_target_measured(target);
    if (config == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "target %s is computed, not measured",
                 apq_target_name(target));
    }
    if (config->kind == APQ_MEASURED_CPU) {
        APQ_TRY(check_containers(target, config));
    }
    apq_measure *m = calloc(1, sizeof *m);
    if (m == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
    }
    m->target = target;
    m->config = config;
    apq_status st = config->kind == APQ_MEASURED_CPU
                        ? apq_cpu_open(config, &m->cpu)
                        : apq_exec_open(config, apq_target_name(target),
                                        progress, &m->exec);
    if (st != APQ_OK) {
        apq_measure_close(m);
        return st;
    }
    *out = m;
    return APQ_OK;
}

void apq_measure_close(apq_measure *measure) {
    if (measure != NULL) {
        apq_cpu_close(measure->cpu);
        apq_exec_close(measure->exec);
        free(measure);
    }
}

static apq_status measure_layer(void *ctx, const apq_ir_layer *layer,
                                apq_lut_sample *out) {
    apq_measure *m = ctx;
    const apq_capability *c = apq_target_capability(m->target);
    int weight_container, act_container;
    APQ_TRY(apq_capability_check(c, layer));
    (void)apq_capability_find(c, layer->kind, layer->weight_bits,
                              layer->act_bits, &weight_container,
                              &act_container);
    apq_lut_sample sample;
    APQ_TRY(m->cpu != NULL ? apq_cpu_layer(m->cpu, layer, &sample)
                           : apq_exec_layer(m->exec, layer, weight_container,
                                            act_container, &sample));
    sample.weight_container_bits = weight_container;
    sample.act_container_bits = act_container;
    *out = sample;
    return APQ_OK;
}

apq_lut_source apq_measure_source(apq_measure *measure) {
    return (apq_lut_source){.layer = measure_layer, .ctx = measure};
}

apq_status apq_measure_network(apq_measure *measure,
                               const apq_ir_network *network,
                               apq_lut_sample *out) {
    const apq_capability *c = apq_target_capability(measure->target);
    for (size_t i = 0; i < network->n_layers; i++) {
        APQ_TRY(apq_capability_check(c, &network->layers[i]));
    }
    return measure->cpu != NULL
               ? apq_cpu_network(measure->cpu, network, out)
               : apq_exec_network(measure->exec, network, c, out);
}

apq_measure_drift apq_measure_get_drift(const apq_measure *measure) {
    if (measure->cpu == NULL) {
        return (apq_measure_drift){0};
    }
    const apq_timing_clock *clock = apq_cpu_clock(measure->cpu);
    return (apq_measure_drift){.n_repeated = clock->n_repeated,
                               .n_unsettled = clock->n_unsettled,
                               .n_stale = clock->n_stale};
}

apq_status apq_measure_compare(apq_measure *measure,
                               const apq_ir_network *networks, size_t n,
                               const double *predicted_ms, double *measured_ms,
                               apq_measure_agreement *out) {
    APQ_ASSERT(n >= 1);
    double *errors = calloc(n, sizeof *errors);
    if (errors == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
    }
    apq_status st = APQ_OK;
    bool knows_time = true;
    for (size_t i = 0; i < n && st == APQ_OK; i++) {
        apq_lut_sample sample;
        st = apq_measure_network(measure, &networks[i], &sample);
        if (st == APQ_OK) {
            measured_ms[i] = sample.latency_ms;
            errors[i] = fabs(predicted_ms[i] - measured_ms[i]) / measured_ms[i];
            knows_time = knows_time && measured_ms[i] > 0;
        }
    }
    if (st == APQ_OK) {
        double ignored;
        *out = (apq_measure_agreement){(double)NAN, (double)NAN, 0};
        if (knows_time) {
            apq_timing_median(errors, n, &out->median_error, &ignored);
            out->max_error = errors[n - 1]; /* sorted by now */
        }
        out->kendall_tau = apq_kendall_tau_b(predicted_ms, measured_ms, n);
    }
    free(errors);
    return st;
}
