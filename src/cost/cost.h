#ifndef APQ_COST_COST_H
#define APQ_COST_COST_H

#include "base/status.h"
#include "ir/network.h"

#include <stdbool.h>
#include <stddef.h>

/* What one inference of one image costs. Fields a model does not provide are
 * NaN (JSON null). */
typedef struct apq_cost {
    double latency_ms;
    double energy_mj;
    double bitops;            /* sum of MACs * weight bits * act bits, all layers */
    double macs;
    double params;            /* weights, biases and batch norm scale/shift */
    double weight_bytes;      /* weights at their bits, rest at 32 bits */
    double peak_activation_bytes; /* largest input + output (+ residual) of a
                                     layer, at their bits */
} apq_cost;

typedef enum apq_cost_field {
    APQ_COST_LATENCY_MS,
    APQ_COST_ENERGY_MJ,
    APQ_COST_BITOPS,
    APQ_COST_MACS,
    APQ_COST_PARAMS,
    APQ_COST_WEIGHT_BYTES,
    APQ_COST_PEAK_ACTIVATION_BYTES,
    APQ_COST_N_FIELDS,
} apq_cost_field;

const char *apq_cost_field_name(apq_cost_field field); /* "latency_ms" ... */
double apq_cost_get(const apq_cost *cost, apq_cost_field field);

/* A hardware target. `layer` gives latency and energy of one layer; the
 * analytic fields are the same for every target and computed from ir. */
typedef struct apq_target apq_target;

/* "bitfusion" (or another built-in), or a YAML file of configs/targets. */
APQ_NODISCARD apq_status apq_target_load(const char *name_or_path,
                                         apq_target **out);
void apq_target_destroy(apq_target *target);
const char *apq_target_name(const apq_target *target);
const char *const *apq_target_names(void);

/* Latency and energy of one layer; 0 for layers with is_priced false.
 * APQ_ERR_UNSUPPORTED when the target cannot execute it. Results are cached
 * in the target; one thread per handle. */
APQ_NODISCARD apq_status apq_target_layer(apq_target *target,
                                          const apq_ir_layer *layer,
                                          double *latency_ms,
                                          double *energy_mj);

/* Whole network: latency and energy are sums over priced layers. */
APQ_NODISCARD apq_status apq_cost_network(apq_target *target,
                                          const apq_ir_network *network,
                                          apq_cost *out);

#endif
