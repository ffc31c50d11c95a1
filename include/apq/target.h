#ifndef APQ_TARGET_H
#define APQ_TARGET_H

#include <apq/export.h>
#include <apq/space.h>
#include <apq/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A hardware target: prices networks. It remembers the layers it has priced,
 * so use one per thread. */
typedef struct apq_target apq_target;

/* What one image costs, all >= 0; on a target that runs batches, a batch's
 * latency and energy divided by its size. Fields a target does not provide are
 * NaN. */
typedef struct apq_cost {
    double latency_ms;
    double energy_mj;
    double bitops; /* sum of MACs * weight bits * act bits, all layers */
    double searchable_bitops; /* of the layers whose bits are searched */
    double macs;
    double params;       /* weights, biases and batch norm scale/shift */
    double weight_bytes; /* weights at their bits, rest at 32 bits */
    double peak_activation_bytes; /* largest input + output (+ residual) of a
                                     layer, at their bits */
} apq_cost;

/* NULL-terminated names of the built-in targets; static. Measured ones price
 * nothing (ARG) until `apq lut build` has made a table of them. */
APQ_API const char *const *apq_target_names(void);

/* A built-in target by name, a table of layer costs when the text ends in
 * .jsonl (docs/formats/table.md), or a YAML file when it contains '/' or ends
 * in .yaml (docs/formats/target.md).
 * Errors: ARG unknown name; IO, FORMAT the file; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_target_create(const char *name_or_path,
                                                   apq_target **out);
/* NULL is fine. */
APQ_API void apq_target_destroy(apq_target *target);

/* The file's `name`, of a table that of the target it was made on; borrowed. */
APQ_API const char *apq_target_name(const apq_target *target);

/* The price of a policy, as `apq cost` gives it.
 * Errors: FORMAT the policy is not of this space; UNSUPPORTED the target cannot
 * execute one of its layers; MISMATCH it is a table of another space, or lacks
 * one of the layers; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_target_cost(apq_target *target,
                                                 const apq_space *space,
                                                 const apq_policy *policy,
                                                 apq_cost *out);

/* Smallest and largest value of each field over all policies of the space that
 * the target can execute: which budgets make sense. Exact; each field on its
 * own, so no policy need reach two of them.
 * Errors: ARG the target can execute none, naming layer and buffers; MISMATCH
 * as above; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_target_range(apq_target *target,
                                                  const apq_space *space,
                                                  apq_cost *low,
                                                  apq_cost *high);

#ifdef __cplusplus
}
#endif

#endif
