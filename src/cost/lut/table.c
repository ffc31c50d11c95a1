/* A table of layer costs in the place of the model or the machine that made
 * it: rows as they are, missing widths interpolated, all else refused. */
#include "cost/lut/table.h"

#include "cost/lut/lut.h"

#include <math.h>
#include <stdio.h>

typedef struct table_state {
    apq_lut *lut;
} table_state;

apq_status apq_table_open(void *state, const char *path, char *name,
                          size_t size) {
    table_state *self = state;
    apq_lut *lut = NULL;
    APQ_TRY(apq_lut_load(path, &lut));
    if (!apq_lut_header_of(lut)->is_complete) {
        apq_lut_destroy(lut);
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: the table is unfinished; apq lut build goes on with it",
                 path);
    }
    (void)snprintf(name, size, "%s", apq_lut_header_of(lut)->target);
    self->lut = lut;
    return APQ_OK;
}

const struct apq_lut *apq_table_of(const void *state) {
    const table_state *self = state;
    return self->lut;
}

static apq_status table_layer(const void *state, const apq_ir_layer *layer,
                              apq_layer_cost *out) {
    const table_state *self = state;
    apq_lut_sample sample;
    APQ_TRY(apq_lut_price(self->lut, layer, &sample));
    /* A table does not say where time and energy went. */
    *out = (apq_layer_cost){
        .latency_ms = sample.latency_ms,
        .energy_mj = sample.energy_mj,
        .compute_energy_mj = (double)NAN,
        .leakage_energy_mj = (double)NAN,
        .sram_energy_mj = (double)NAN,
        .dram_energy_mj = (double)NAN,
        .n_groups = 1,
    };
    return APQ_OK;
}

static apq_status table_check_space(const void *state, const char *space,
                                    const char *space_hash) {
    const table_state *self = state;
    return apq_lut_check_space(self->lut, space, space_hash);
}

static int table_batch(const void *state) {
    const table_state *self = state;
    return apq_lut_header_of(self->lut)->batch;
}

static void table_fini(void *state) {
    table_state *self = state;
    apq_lut_destroy(self->lut);
}

const apq_target_ops apq_target_table = {
    .model = "table",
    .summary = "a table of layer costs, from apq lut build or import",
    .state_bytes = sizeof(table_state),
    .layer = table_layer,
    .check_space = table_check_space,
    .batch = table_batch,
    .fini = table_fini,
};
