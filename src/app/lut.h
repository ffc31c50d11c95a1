#ifndef APQ_APP_LUT_H
#define APQ_APP_LUT_H

#include "base/log.h"
#include "base/status.h"
#include "cost/cost.h"
#include "cost/lut/lut.h"
#include "measure/measure.h"
#include "space/space.h"

#include <stdbool.h>
#include <stddef.h>

/* The distinct layers that policies of a space can contain and that count in
 * its prices, each once, in a fixed order. */
typedef struct apq_lut_plan {
    apq_ir_layer *layers;
    size_t n;
} apq_lut_plan;

/* Widths of a block are taken `width_step` channels apart, its smallest and
 * largest always; 0: all. APQ_ERR_ARG unless the step is a multiple of the
 * space's own. */
APQ_NODISCARD apq_status apq_lut_plan_make(const apq_space *space,
                                           int width_step, apq_lut_plan *out);
void apq_lut_plan_fini(apq_lut_plan *plan);

/* What a target answers when asked for one layer. Computed answers are always
 * the same, measured ones scatter. */
typedef struct apq_app_source {
    apq_lut_source source;
    char name[APQ_LUT_NAME_MAX], hash[APQ_HASH_MAX];
    bool is_measured;
    apq_target *target;
    apq_measure *measure; /* NULL: computed */
} apq_app_source;

/* A target as apq_target_load takes it; progress is borrowed until closed and
 * ends long waits. Close also after an error. */
APQ_NODISCARD apq_status apq_app_source_open(const char *target,
                                             const apq_progress *progress,
                                             apq_app_source *out);
void apq_app_source_close(apq_app_source *source);
/* A note when the machine was not steady while the source was asked. */
void apq_app_source_note(const apq_app_source *source,
                         const apq_progress *progress);

/* Relative errors of interpolation over the layers it was tried on. */
typedef struct apq_lut_error {
    size_t n;
    double median, p95, max; /* fractions; NaN when n is 0 */
} apq_lut_error;

typedef struct apq_lut_build_options {
    const char *space, *target; /* names or files */
    const char *run_dir;        /* whose classes the space has; may be NULL */
    const char *path;           /* the table to write */
    const char *date;           /* UTC, goes to the header */
    int width_step;             /* 0: every width of the space */
    double save_s;              /* seconds between writes of PATH.part */
    bool all_layers;            /* also those the space does not price */
} apq_lut_build_options;

typedef struct apq_lut_build_report {
    size_t n_rows, n_unsupported;
    size_t n_resumed;     /* rows taken over from an interrupted build */
    bool is_built_before; /* nothing was asked, PATH is as it was */
    double seconds;
    /* Computed targets: the widths left out. Measured ones: each row from its
     * neighbours. Zero rows where there was nothing to try. */
    apq_lut_error latency_error, energy_error;
    bool is_measured;
    size_t n_interpolated; /* layers of the space without a row */
} apq_lut_build_report;

/* Asks the target for every layer of the plan. What is known is kept in
 * PATH.part every save_s seconds and when the build ends early for whatever
 * reason, and a later build goes on with it.
 * PATH itself, where it is there, is this table, and then nothing is done.
 * Errors: MISMATCH PATH or PATH.part is of another build; FORMAT PATH is no
 * table; INTERRUPTED, kept. */
APQ_NODISCARD apq_status apq_app_lut_build(const apq_lut_build_options *options,
                                           const apq_progress *progress,
                                           apq_lut_build_report *out);

/* What may be wrong with a table. */
typedef enum apq_lut_finding {
    APQ_LUT_DISAGREES,    /* asked again, beyond the spread */
    APQ_LUT_MISSING,      /* of the space, and cannot be interpolated */
    APQ_LUT_INTERPOLATED, /* of the space, no row of its own */
    APQ_LUT_WIDER_FASTER, /* more channels cost less, beyond the spread */
    APQ_LUT_FEWER_BITS_SLOWER,
    APQ_LUT_N_FINDINGS,
} apq_lut_finding;
/* "disagrees", ... */
const char *apq_lut_finding_name(apq_lut_finding finding);

typedef struct apq_lut_check_options {
    const char *path;
    const char *target; /* NULL: not asked again */
    const char *space;  /* NULL: missing layers are not looked for */
    size_t n_asked;     /* rows to ask again, drawn by the seed; 0: all */
    double tolerance;   /* relative, beside three times both spreads */
    uint64_t seed;
    bool all_layers; /* as the table was built */
} apq_lut_check_options;

enum { APQ_LUT_MAX_EXAMPLES = 20, APQ_LUT_EXAMPLE_BYTES = 192 };

typedef struct apq_lut_check_report {
    size_t n_rows, n_asked;
    /* Relative; NaN when there was nothing to compare. */
    double max_latency_difference, max_energy_difference;
    size_t counts[APQ_LUT_N_FINDINGS];
    /* The first of each kind. */
    char examples[APQ_LUT_N_FINDINGS][APQ_LUT_MAX_EXAMPLES]
                 [APQ_LUT_EXAMPLE_BYTES];
} apq_lut_check_report;

/* Errors: MISMATCH the table is of another space. Findings are no errors. */
APQ_NODISCARD apq_status apq_app_lut_check(const apq_lut_check_options *options,
                                           const apq_progress *progress,
                                           apq_lut_check_report *out);

/* Whole networks, measured, against the sums of a table's layers. */
typedef struct apq_lut_networks_options {
    const char *path;   /* the table */
    const char *target; /* measured */
    const char *space;  /* of the networks: random policies, drawn by seed */
    size_t n;           /* >= 1 */
    uint64_t seed;
} apq_lut_networks_options;

/* All layers of the networks are summed up, whatever the space prices.
 * Bits that the target does not execute are drawn again. Errors: ARG for a
 * target that is computed; MISMATCH for a table of another space or without a
 * layer; UNSUPPORTED when no network can be drawn; those of measuring. */
APQ_NODISCARD apq_status
apq_app_lut_networks(const apq_lut_networks_options *options,
                     const apq_progress *progress, apq_measure_agreement *out);

/* apq_target_check_space with the name and the hash of a space. */
APQ_NODISCARD apq_status apq_app_check_target(const apq_space *space,
                                              const apq_target *target);

#endif
