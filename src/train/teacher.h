#ifndef APQ_TRAIN_TEACHER_H
#define APQ_TRAIN_TEACHER_H

#include "backend/backend.h"
#include "base/status.h"
#include "data/data.h"
#include "supernet/supernet.h"

/* The largest network of a supernet as a teacher: in float, with batch-norm
 * statistics of its own, so that what it says of an image does not depend on
 * the others of its batch. Source: Hinton et al. 2015, at temperature 1. */
typedef struct apq_teacher apq_teacher;

/* Borrows the supernet, whose weights must stay as they are, and recalibrates
 * on the first n_batches of the loader. Errors: NOMEM; those of the loader. */
APQ_NODISCARD apq_status apq_teacher_create(apq_supernet *supernet,
                                            const apq_backend *backend,
                                            apq_loader *calibration,
                                            int n_batches, apq_teacher **out);
void apq_teacher_destroy(apq_teacher *teacher);

/* probabilities (n, n_classes) of the classes of n images. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_teacher_ask(apq_teacher *teacher,
                                         const float *images, int n,
                                         float *probabilities);

#endif
