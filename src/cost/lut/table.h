#ifndef APQ_COST_LUT_TABLE_H
#define APQ_COST_LUT_TABLE_H

#include "cost/target_ops.h"

/* A finished table as a target. Layers without a row are interpolated over
 * width; see apq_lut_price. Its state is opened from the table's own file
 * instead of `init`. */
extern const apq_target_ops apq_target_table;

/* Errors: those of apq_lut_load; APQ_ERR_FORMAT an unfinished table. `name`
 * (of `size` bytes) becomes that of the target the table was made on. */
APQ_NODISCARD apq_status apq_table_open(void *state, const char *path,
                                        char *name, size_t size);
/* The table of such a state; borrowed. */
const struct apq_lut *apq_table_of(const void *state);

#endif
