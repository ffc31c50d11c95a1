#ifndef APQ_EXPORT_C99_INTERNAL_H
#define APQ_EXPORT_C99_INTERNAL_H

#include "deploy/int_reference.h"
#include "export/c99.h"

#include <stdbool.h>
#include <stdio.h>

/* The parts of the C99 export. A network is a row of chains, each three
 * convolutions of which the second is depthwise and the third linear, then the
 * feature mix, the pool and the classifier. A chain runs row by row:
 *
 *   a row of its input -> a row of the first layer, kept in a ring of as many
 *   rows as the depthwise kernel reads -> a row of the depthwise layer -> a row
 *   of the output
 *
 * so that the wide tensors between its layers are never whole in memory. All
 * inputs and outputs of chains share the array `stream`: an output row takes
 * the place of input rows that were read already. */
typedef struct apq_c99_chain {
    char name[APQ_IR_NAME_MAX]; /* identifier; "first", "block0" ... */
    int head;                   /* index of its first layer */
    int in_at, out_at;          /* offsets in stream; in_at of the first: 0 */
    int ring_rows;
} apq_c99_chain;

typedef struct apq_c99_plan {
    const apq_int_model *model;
    const apq_c99_options *options;
    char upper[APQ_C99_PREFIX_MAX]; /* the prefix as macros have it */
    char names[APQ_IR_MAX_LAYERS][APQ_IR_NAME_MAX]; /* identifiers */
    int n_chains;
    apq_c99_chain chains[APQ_IR_MAX_LAYERS / 3];
    int mix;       /* index of the feature mix */
    int mix_in_at; /* offset in stream */
    int stream_bytes;
    int scratch_bytes; /* of the largest chain or the end */
    apq_c99_sizes sizes;
    /* Of the logits: sums[k] * 2^unit_bits * scale[k] / largest scale, which
     * are the sums where all scales are equal. */
    bool has_equal_scales;
    int unit_bits;
    float unit; /* what 1 in the logits stands for */
} apq_c99_plan;

/* Errors: ARG, UNSUPPORTED, NUMERIC of apq_export_c. */
APQ_NODISCARD apq_status apq_c99_plan_make(const apq_int_model *model,
                                           const apq_c99_options *options,
                                           apq_c99_plan *plan);

/* Bits that a layer's weights have in the arrays, 4, 6 or 8, and the bytes of
 * one output channel's: rows begin on whole bytes. */
int apq_c99_container_bits(const apq_ir_layer *ir);
int apq_c99_row_bytes(const apq_ir_layer *ir);
/* "int8_t" or "uint8_t". */
const char *apq_c99_type(const apq_int_codes *codes);

/* The texts of the files, written to `out`; its errors are the caller's. */
void apq_c99_write_network_h(const apq_c99_plan *plan, FILE *out);
/* The names of classes: declared, and defined; nothing where they are not
 * known. */
void apq_c99_declare_names(const apq_c99_plan *plan, FILE *out);
void apq_c99_define_names(const apq_c99_plan *plan, FILE *out);
void apq_c99_write_network_c(const apq_c99_plan *plan, FILE *out);
void apq_c99_write_weights_h(const apq_c99_plan *plan, FILE *out);
void apq_c99_write_weights_c(const apq_c99_plan *plan, FILE *out);

/* A layer as a comment has it: shapes, bits, multiply-accumulates. */
void apq_c99_write_layer_comment(const apq_c99_plan *plan, int i, FILE *out);

/* float32 scale > 0 in the form that requantise() of arith.h reads. */
uint32_t apq_c99_scale(float scale);
/* Code of each of 256 values of a pixel, which the network sees as
 * (v / 255 - mean) / std. */
int apq_c99_pixel_code(const apq_int_codes *image, float mean, float std,
                       int v);
/* The value, as the data module's loader computes it. */
float apq_c99_pixel_value(float mean, float std, int v);
/* One image, (H, W, 3) bytes, run by the reference -> the classifier's sums
 * with the bias, before logit_scale, and the logits, (n_classes) each.
 * checksums: NULL, or one of the codes of each convolution. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_c99_reference(const apq_int_model *model,
                                           const float mean[3],
                                           const float std[3],
                                           const uint8_t *image, int32_t *sums,
                                           float *logits, uint32_t *checksums);
/* What sums of class k are multiplied with, 30 bits after the point, where
 * scales are not equal; and the logit that comes of it. */
int32_t apq_c99_logit_factor(const apq_c99_plan *plan, int k);
int32_t apq_c99_logit(const apq_c99_plan *plan, int k, int32_t sum);

/* Files whose text is the same in all exports but for NAME and name. */
extern const char apq_c99_arith_h[];
extern const char apq_c99_license[];
extern const char apq_c99_main_test_c[];
extern const char apq_c99_makefile[];
extern const char apq_c99_readme_md[];

#endif
