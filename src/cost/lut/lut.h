#ifndef APQ_COST_LUT_LUT_H
#define APQ_COST_LUT_LUT_H

#include "base/file.h"
#include "cost/capability.h"
#include "cost/lut/sample.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A table of layer costs: one row for each distinct layer, found by integers.
 * The file is described in docs/formats/table.md. */
typedef struct apq_lut apq_lut;

enum { APQ_LUT_SCHEMA = 1, APQ_LUT_NAME_MAX = 64 };

/* Everything a price may depend on, in the order rows are sorted by. */
enum {
    APQ_LUT_KIND,
    APQ_LUT_INPUT_IMAGE, /* 0 or 1, as the two below */
    APQ_LUT_ACT_SIGNED,
    APQ_LUT_RELU6,
    APQ_LUT_KERNEL,
    APQ_LUT_STRIDE,
    APQ_LUT_SIZE, /* side of the input */
    APQ_LUT_WEIGHT_BITS,
    APQ_LUT_ACT_BITS,
    APQ_LUT_IN_CHANNELS,
    APQ_LUT_OUT_CHANNELS,
    APQ_LUT_N_KEY,
};

typedef struct apq_lut_header {
    char target[APQ_LUT_NAME_MAX], target_hash[APQ_HASH_MAX]; /* hash "":
                                                                 unknown */
    char space[APQ_LUT_NAME_MAX], space_hash[APQ_HASH_MAX];
    char date[32];         /* as given by who built it, UTC */
    char tool_version[32]; /* of the build */
    int batch;             /* images of one execution */
    int width_step;        /* channels between neighbouring widths */
    bool has_flags;        /* false: act_signed and relu6 are not told apart */
    bool is_complete;      /* false: a build that was interrupted */
} apq_lut_header;

typedef struct apq_lut_row {
    int32_t key[APQ_LUT_N_KEY];
    bool is_supported; /* false: the target cannot execute the layer */
    apq_lut_sample sample;
} apq_lut_row;

APQ_NODISCARD apq_status apq_lut_create(const apq_lut_header *header,
                                        apq_lut **out);
void apq_lut_destroy(apq_lut *lut);

/* Borrowed. */
const apq_lut_header *apq_lut_header_of(const apq_lut *lut);
void apq_lut_set_complete(apq_lut *lut);
size_t apq_lut_n_rows(const apq_lut *lut);
/* Borrowed until the next add; rows keep the order they were added in. */
const apq_lut_row *apq_lut_row_at(const apq_lut *lut, size_t i);
/* The kind of a name, or -1. */
int apq_lut_kind_find(const char *name);
/* Name and legal range of an integer of the key; static. */
const char *apq_lut_key_name(int field);
void apq_lut_key_range(int field, int32_t *low, int32_t *high);

/* The layer a row was made from, as far as prices go; its name says what it
 * is ("pointwise 96->464, size 14, kernel 1, stride 1, W4A8"). */
void apq_lut_row_layer(const apq_lut_row *row, apq_ir_layer *out);

/* Adds a row; sample NULL: not supported. APQ_ERR_FORMAT when the layer has a
 * row already or a number is outside its range. */
APQ_NODISCARD apq_status apq_lut_add(apq_lut *lut, const apq_ir_layer *layer,
                                     const apq_lut_sample *sample);
/* The layer's own row, or NULL; in constant time. */
const apq_lut_row *apq_lut_find(const apq_lut *lut, const apq_ir_layer *layer);

/* Prepares interpolation; call after the last add. */
APQ_NODISCARD apq_status apq_lut_index(apq_lut *lut);
/* Linear between the nearest narrower and wider row of the otherwise same
 * layer, its own row left aside: over output channels, else over input
 * channels (over both together for depthwise layers). Containers are those of
 * the wider row, count is 0.
 * Errors: MISMATCH no row on one side; UNSUPPORTED the target executes one
 * of the two rows not. Both name the layer. */
APQ_NODISCARD apq_status apq_lut_interpolate(const apq_lut *lut,
                                             const apq_ir_layer *layer,
                                             apq_lut_sample *out);
/* The layer's own row, else interpolated. Errors as above. */
APQ_NODISCARD apq_status apq_lut_price(const apq_lut *lut,
                                       const apq_ir_layer *layer,
                                       apq_lut_sample *out);

/* Row i of an order over widths and the next wider row of the otherwise same
 * layer; false when there is none. `along_in`: widths are input channels, else
 * output channels. Needs the index. */
bool apq_lut_width_pair(const apq_lut *lut, bool along_in, size_t i,
                        const apq_lut_row *out[2]);

/* The bits of the rows that are supported, and what they are executed as; of
 * each operator the first APQ_CAPABILITY_MAX_ROWS weight widths and
 * containers. */
void apq_lut_bits(const apq_lut *lut, apq_capability *out);

/* APQ_ERR_MISMATCH with both names unless the table is of this space. */
APQ_NODISCARD apq_status apq_lut_check_space(const apq_lut *lut,
                                             const char *space,
                                             const char *space_hash);

/* Reads and indexes a table; unfinished ones too. Errors: APQ_ERR_IO;
 * APQ_ERR_FORMAT with file and line. */
APQ_NODISCARD apq_status apq_lut_load(const char *path, apq_lut **out);
/* Replaces the file atomically. */
APQ_NODISCARD apq_status apq_lut_save(const apq_lut *lut, const char *path);

#endif
