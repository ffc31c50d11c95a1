#ifndef APQ_COST_COST_H
#define APQ_COST_COST_H

#include <apq/target.h>

#include "base/status.h"
#include "cost/capability.h"
#include "ir/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The fields of apq_cost, which is public; NaN is JSON null. */
typedef enum apq_cost_field {
    APQ_COST_LATENCY_MS,
    APQ_COST_ENERGY_MJ,
    APQ_COST_BITOPS,
    APQ_COST_SEARCHABLE_BITOPS,
    APQ_COST_MACS,
    APQ_COST_PARAMS,
    APQ_COST_WEIGHT_BYTES,
    APQ_COST_PEAK_ACTIVATION_BYTES,
    APQ_COST_N_FIELDS,
} apq_cost_field;

const char *apq_cost_field_name(apq_cost_field field); /* "latency_ms" ... */
/* NaN for a field the target does not provide. */
double apq_cost_get(const apq_cost *cost, apq_cost_field field);

/* apq_target, public, gives latency and energy of a layer; the analytic fields
 * are the same for every target and computed from ir. */

/* A built-in name ("bitfusion"), a table of layer costs when the text ends in
 * .jsonl (docs/formats/table.md), or a YAML file when it contains '/' or ends
 * in .yaml; its keys are described in docs/formats/target.md. Errors:
 * APQ_ERR_ARG unknown name; APQ_ERR_IO, APQ_ERR_FORMAT the file. */
APQ_NODISCARD apq_status apq_target_load(const char *name_or_path,
                                         apq_target **out);
/* Hash of the file; borrowed. */
const char *apq_target_hash(const apq_target *target);
/* To be called wherever a target meets a space (apq_space_hash).
 * APQ_ERR_MISMATCH when the target is a table of another space. */
APQ_NODISCARD apq_status apq_target_check_space(const apq_target *target,
                                                const char *space,
                                                const char *space_hash);
/* What it executes; borrowed. */
const apq_capability *apq_target_capability(const apq_target *target);
/* How a target is measured, borrowed; NULL when its layers are computed. A
 * measured target prices nothing itself (APQ_ERR_ARG): `apq lut build` makes
 * the table that does. See cost/measured/measured.h. */
const struct apq_measured_config *apq_target_measured(const apq_target *target);
/* The table that a target is, borrowed; NULL when it is none. See
 * cost/lut/lut.h. */
const struct apq_lut *apq_target_table_of(const apq_target *target);

/* Images the target runs together, 1 to APQ_MAX_BATCH. Costs stay those of
 * one image: a batch's latency and energy divided by its size. The file's
 * `batch` holds until it is set. APQ_ERR_ARG when it is out of
 * range or, as a table's is, cannot be changed. */
enum { APQ_MAX_BATCH = 1024 };
APQ_NODISCARD apq_status apq_target_set_batch(apq_target *target, int batch);
int apq_target_batch(const apq_target *target);

/* Latency and energy of one layer; 0 for layers with is_priced false.
 * APQ_ERR_UNSUPPORTED when the target cannot execute it, by its capabilities
 * or its model. Results are cached in the target; one thread per handle. */
APQ_NODISCARD apq_status apq_target_layer(apq_target *target,
                                          const apq_ir_layer *layer,
                                          double *latency_ms,
                                          double *energy_mj);

/* What decided the price of one layer; energies sum to energy_mj. Latency and
 * energies are of one image. Cycles and bits are of the whole batch and of all
 * groups of a depthwise layer together. */
typedef struct apq_layer_cost {
    double latency_ms;
    double energy_mj;
    double compute_energy_mj; /* arithmetic */
    double leakage_energy_mj; /* static power over all cycles */
    double sram_energy_mj;    /* on-chip buffers */
    double dram_energy_mj;
    int64_t cycles;
    int64_t compute_cycles; /* busy cycles of the array */
    int64_t dram_read_bits;
    int64_t dram_write_bits;
    int n_groups; /* dense pieces run one after another; 1 unless depthwise */
    int tile_images;
    int tile_side; /* output tile: side, input and output channels */
    int tile_in_channels;
    int tile_out_channels;
    char loop_order[6]; /* outermost first, of X Y I C; N where batch > 1 */
    bool is_dram_bound; /* else bound by compute plus first fill, last drain */
} apq_layer_cost;

/* Prices one layer afresh (no cache) and says why. The layer is priced even
 * when is_priced is false. APQ_ERR_UNSUPPORTED as apq_target_layer. */
APQ_NODISCARD apq_status apq_target_explain(apq_target *target,
                                            const apq_ir_layer *layer,
                                            apq_layer_cost *out);

/* All additive fields of one layer; peak_activation_bytes is NaN, as it needs
 * the neighbours. apq_cost_network is the sum of these. Without a target
 * latency and energy are NaN. */
APQ_NODISCARD apq_status apq_cost_layer(apq_target *target_or_null,
                                        const apq_ir_layer *layer,
                                        apq_cost *out);

/* Bytes of activations alive while one layer runs: input, output and any
 * residual held across it. The largest is peak_activation_bytes. */
double apq_cost_activation_bytes(const apq_ir_network *network, size_t layer);

/* Whole network: latency and energy are sums over priced layers; NaN without a
 * target. */
APQ_NODISCARD apq_status apq_cost_network(apq_target *target_or_null,
                                          const apq_ir_network *network,
                                          apq_cost *out);

#endif
