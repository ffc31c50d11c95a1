#ifndef APQ_TRAIN_PROBE_H
#define APQ_TRAIN_PROBE_H

#include "backend/backend.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/data.h"
#include "supernet/supernet.h"

#include <stdint.h>

/* Accuracy of a few fixed sub-networks while a supernet is trained: the
 * largest, the smallest and two random ones, the `random:1` and `random:2` of
 * apq eval. */
enum { APQ_N_PROBED = 4 };

typedef struct apq_probe apq_probe;

typedef struct apq_probe_result {
    double top1[APQ_N_PROBED]; /* fraction, in the order above */
    int64_t n_images;
    double seconds;
} apq_probe_result;

/* On up to n_images validation images; *out is NULL when the data have none.
 * The dataset is borrowed. */
APQ_NODISCARD apq_status apq_probe_create(const apq_dataset *dataset,
                                          int n_images, uint64_t seed,
                                          apq_probe **out);
void apq_probe_destroy(apq_probe *probe);

/* In floating point, each after recalibration on 500 training images; resets
 * the arena and changes no weight. */
APQ_NODISCARD apq_status apq_probe_run(const apq_probe *probe,
                                       apq_supernet *supernet,
                                       const apq_backend *backend,
                                       apq_arena *arena, apq_probe_result *out);

#endif
