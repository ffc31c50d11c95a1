#ifndef APQ_COST_LUT_DICT_H
#define APQ_COST_LUT_DICT_H

#include "cost/lut/lut.h"

/* The table of the APQ authors, one JSON object: keys
 * "(in, out, size, kernel, stride, pad, groups)-WwAa" and "head", "tail",
 * values {"energy": mJ, "latency": ms}. `size` is the side of the input. */

/* Adds every entry, in order; the header says what the file cannot (its
 * has_flags is not used: such a table has none).
 * Errors: APQ_ERR_IO; APQ_ERR_FORMAT naming the key. */
APQ_NODISCARD apq_status apq_dict_load(const char *path,
                                       const apq_lut_header *header,
                                       apq_lut **out);
/* Rows in order; those not supported have no entry, as in the authors' file.
 * APQ_ERR_UNSUPPORTED, and no file, for a row the format cannot hold: a
 * linear layer, one without energy, or two that differ in flags only but not
 * in cost. */
APQ_NODISCARD apq_status apq_dict_save(const apq_lut *lut, const char *path);

/* All columns of a row, one layer a line, RFC 4180; unknown is empty. */
APQ_NODISCARD apq_status apq_lut_save_csv(const apq_lut *lut, const char *path);

#endif
