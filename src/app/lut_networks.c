/* apq lut check --networks: what a table is for. Random networks are measured
 * whole and compared with the sums of their layers' rows. */
#include "app/lut.h"

#include <stdlib.h>

enum { MAX_DRAWS = 1000 };

typedef struct network_check {
    const apq_lut_networks_options *options;
    apq_space space;
    apq_target *table;
    apq_app_source source;
    apq_ir_network *networks; /* (n) */
    double *sums, *measured;  /* (n) */
} network_check;

/* The n-th policy that the table prices; bits that the target lacks are drawn
 * anew. */
static apq_status draw(network_check *self, apq_rng *rng, size_t i) {
    apq_status st = APQ_ERR_UNSUPPORTED;
    for (int tries = 0; tries < MAX_DRAWS && st == APQ_ERR_UNSUPPORTED;
         tries++) {
        apq_policy policy;
        apq_cost cost;
        apq_policy_random(&self->space, rng, &policy);
        APQ_TRY(apq_policy_lower(&self->space, &policy, &self->networks[i]));
        st = apq_cost_network(self->table, &self->networks[i], &cost);
        self->sums[i] = cost.latency_ms;
    }
    return st;
}

static apq_status compare(network_check *self, const apq_progress *progress,
                          apq_measure_agreement *out) {
    const apq_lut_networks_options *o = self->options;
    APQ_TRY(apq_space_load(o->space, &self->space));
    self->space.prices_all_layers = true;
    APQ_TRY(apq_target_load(o->path, &self->table));
    APQ_TRY(apq_app_source_open(o->target, &self->source));
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
        APQ_TRY(draw(self, &rng, i));
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
