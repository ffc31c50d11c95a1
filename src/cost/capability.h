#ifndef APQ_COST_CAPABILITY_H
#define APQ_COST_CAPABILITY_H

#include "base/status.h"
#include "base/yaml.h"
#include "ir/network.h"

#include <stdbool.h>
#include <stddef.h>

/* Which pairs of weight and activation bits a target executes, by operator,
 * and in which container: the width that the arithmetic has. On most
 * processors the containers are 8 bits whatever is asked, so that fewer bits
 * save storage and no time. */
enum {
    APQ_CAPABILITY_MAX_ROWS = 16,
    APQ_CAPABILITY_MAX_BITS = 8,
    APQ_CAPABILITY_MAX_CONTAINER = 64,
};

/* All pairs of the two sets run in one kind of container. */
typedef struct apq_capability_row {
    bool weight_bits[APQ_CAPABILITY_MAX_BITS + 1];
    bool act_bits[APQ_CAPABILITY_MAX_BITS + 1];
    int weight_container_bits; /* 0: the asked bits themselves */
    int act_container_bits;
} apq_capability_row;

typedef struct apq_capability {
    bool is_given; /* false: the target's model alone decides */
    size_t n_rows[APQ_IR_N_KINDS];
    apq_capability_row rows[APQ_IR_N_KINDS][APQ_CAPABILITY_MAX_ROWS];
} apq_capability;

/* Reads the key `capabilities` of the document (docs/formats/target.md); all
 * four operators must be listed and no pair twice. Absent and optional gives
 * is_given false. Errors: FORMAT with file and line. */
APQ_NODISCARD apq_status apq_capability_read(const apq_yaml *yaml,
                                             bool optional,
                                             apq_capability *out);

/* Containers of a pair; false when the operator does not run it. Without
 * capabilities every pair runs as asked. */
bool apq_capability_find(const apq_capability *capability, apq_ir_kind kind,
                         int weight_bits, int act_bits,
                         int *weight_container_bits, int *act_container_bits);

/* APQ_ERR_UNSUPPORTED, naming layer and bits, when the layer's pair is not
 * listed. */
APQ_NODISCARD apq_status apq_capability_check(const apq_capability *capability,
                                              const apq_ir_layer *layer);

#endif
