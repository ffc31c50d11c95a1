#ifndef APQ_TESTS_UNIT_TRAIN_TRAINEE_H
#define APQ_TESTS_UNIT_TRAIN_TRAINEE_H

#include "backend/backend.h"
#include "base/log.h"
#include "data/data.h"
#include "nn/params.h"
#include "space/space.h"

/* What a training of the tiny space on drawn images needs: 90 training
 * images, 5 batches of 16 an epoch. */
typedef struct trainee {
    apq_space space;
    apq_dataset *dataset;
    const apq_backend *backend;
} trainee;

enum { TRAINEE_BATCH = 16, TRAINEE_STEPS_PER_EPOCH = 5 };

/* cmocka set-up and tear-down; *state is the trainee. */
int trainee_open(void **state);
int trainee_close(void **state);

/* A progress that asks to stop at the `left`-th question. */
typedef struct stopper {
    int left;
    apq_progress progress;
} stopper;
void stopper_set(stopper *s, int steps);

/* Values and momenta agree bit for bit. */
void assert_same_params(const apq_params *a, const apq_params *b);

#endif
