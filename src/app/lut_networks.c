/* apq lut check --networks: what a table is for. Random networks are measured
 * whole and compared with the sums of their layers' rows. */
#include "app/lut.h"

#include <stdlib.h>

enum { MAX_DRAWS = 20000 };

typedef struct network_check {
    const apq_lut_networks_options *options;
    apq_space space;
    apq_target *table;
    apq_app_source source;
    apq_ir_network *networks; /* (n) */
    double *sums, *measured;  /* (n) */
} network_check;

/* New bits for the operator of a layer in its block. */
static void redraw(const apq_space *space, const apq_ir_layer *layer,
                   apq_rng *rng, apq_policy *policy) {
    bool is_depthwise = layer->kind == APQ_IR_DEPTHWISE;
    const apq_bit_gene genes[2] = {
        is_depthwise ? APQ_DW_WEIGHT : APQ_PW_WEIGHT,
        is_depthwise ? APQ_DW_ACT : APQ_PW_ACT,
    };
    for (int i = 0; i < 2; i++) {
        uint32_t at = apq_rng_below(rng, (uint32_t)space->n_bits);
        policy->bits[genes[i]][layer->block] = (int8_t)space->bits[at];
    }
}

/* A random network that the target executes, and its price: bits it lacks are
 * drawn again, layer by layer, as whole policies would hardly ever pass. */
static apq_status draw(network_check *self, apq_rng *rng,
                       apq_ir_network *network, double *sum_ms) {
    apq_policy policy;
    apq_policy_random(&self->space, rng, &policy);
    for (int n_draws = 0;; n_draws++) {
        APQ_TRY(apq_policy_lower(&self->space, &policy, network));
        apq_status st = APQ_OK;
        double sum = 0.0;
        size_t i = 0;
        for (; i < network->n_layers && st == APQ_OK; i++) {
            double latency_ms, energy_mj;
            st = apq_target_layer(self->table, &network->layers[i], &latency_ms,
                                  &energy_mj);
            sum += st == APQ_OK ? latency_ms : 0.0;
        }
        if (st == APQ_OK) {
            *sum_ms = sum;
            return APQ_OK;
        }
        const apq_ir_layer *refused = &network->layers[i - 1];
        if (st != APQ_ERR_UNSUPPORTED || refused->block < 0 ||
            n_draws == MAX_DRAWS) {
            return st;
        }
        redraw(&self->space, refused, rng, &policy);
    }
}

static apq_status compare(network_check *self, const apq_progress *progress,
                          apq_measure_agreement *out) {
    const apq_lut_networks_options *o = self->options;
    APQ_TRY(apq_space_load(o->space, &self->space));
    self->space.prices_all_layers = true;
    APQ_TRY(apq_target_load(o->path, &self->table));
    APQ_TRY(apq_app_source_open(o->target, progress, &self->source));
    if (!self->source.is_measured) {
        APQ_FAIL(APQ_ERR_ARG,
                 "target %s is computed: its networks are sums of layers",
                 self->source.name);
    }
    self->networks = calloc(o->n, sizeof *self->networks);
    self->sums = calloc(o->n, sizeof *self->sums);
    self->measured = calloc(o->n, sizeof *self->measured);
    if (self->networks == NULL || self->sums == NULL ||
        self->measured == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "no memory for %zu networks", o->n);
    }
    apq_rng rng = apq_rng_make(o->seed, APQ_RNG_POLICY, 0);
    for (size_t i = 0; i < o->n; i++) {
        APQ_TRY(draw(self, &rng, &self->networks[i], &self->sums[i]));
    }
    APQ_TRY(apq_measure_compare(self->source.measure, self->networks, o->n,
                                self->sums, self->measured, out));
    apq_app_source_note(&self->source, progress);
    return APQ_OK;
}

apq_status apq_app_lut_networks(const apq_lut_networks_options *options,
                                const apq_progress *progress,
                                apq_measure_agreement *out) {
    network_check self = {.options = options};
    apq_status st = compare(&self, progress, out);
    apq_app_source_close(&self.source);
    apq_target_destroy(self.table);
    free(self.networks);
    free(self.sums);
    free(self.measured);
    return st;
}
