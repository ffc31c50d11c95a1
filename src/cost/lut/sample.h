#ifndef APQ_COST_LUT_SAMPLE_H
#define APQ_COST_LUT_SAMPLE_H

#include "base/status.h"
#include "ir/network.h"

#include <stdint.h>

/* What a target measured or computed for one layer. */
typedef struct apq_lut_sample {
    double latency_ms, latency_spread_ms; /* median; half the interquartile
                                             range; 0 when computed */
    double energy_mj, energy_spread_mj;   /* NaN: not known */
    int64_t count;                        /* repetitions; 1 when computed */
    int weight_container_bits,
        act_container_bits; /* what is executed; the
                               asked bits for BitFusion */
} apq_lut_sample;

/* Where samples come from. APQ_ERR_UNSUPPORTED from `layer`: the target
 * cannot execute it; the table records that. Any other error ends the build.
 * Called from one thread. */
typedef struct apq_lut_source {
    apq_status (*layer)(void *ctx, const apq_ir_layer *layer,
                        apq_lut_sample *out);
    void *ctx;
} apq_lut_source;

#endif
