#ifndef APQ_TESTS_UNIT_TRAIN_TRAINEE_H
#define APQ_TESTS_UNIT_TRAIN_TRAINEE_H

#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "data/data.h"
#include "nn/params.h"
#include "space/space.h"
#include "supernet/supernet.h"
#include "train/finetune.h"
#include "train/method.h"
#include "train/supernet_train.h"

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
#define WITH_TRAINEE(test)                                                     \
    cmocka_unit_test_setup_teardown(test, trainee_open, trainee_close)

/* A progress that asks to stop at the `left`-th question. */
typedef struct stopper {
    int left;
    apq_progress progress;
} stopper;
void stopper_set(stopper *s, int steps);

/* Three epochs of the sandwich with a step of everything. */
apq_train_options trainee_options(const trainee *t);
apq_supernet *trainee_supernet(const apq_space *space);
/* From new weights, or from the options' checkpoint, to the end. The supernet
 * has steps where the options share bits. */
apq_supernet *trainee_train(const trainee *t, const apq_train_options *o);
/* Stops after `steps` more steps, in a process that starts anew. */
void trainee_stop(const trainee *t, apq_train_options o, int steps);
/* A training with these options fails with `expected`. */
void trainee_refuse(const trainee *t, const apq_train_options *o,
                    apq_status expected);
/* Goes on to the end, where the supernet is `whole` bit for bit; destroys
 * that. */
void trainee_expect_same(const trainee *t, const apq_train_options *o,
                         apq_supernet *whole);

/* A method alone, on one batch of every step. */
typedef struct driver {
    const apq_train_method *method;
    apq_train_options options;
    apq_train_env env;
    void *state;
    apq_loader *loader;
    const float *images;
    const int *labels;
    int n;
} driver;

enum { DRIVER_BATCH = 4 };

void driver_open(driver *d, const apq_train_method *method, const trainee *t,
                 const apq_space *space, apq_train_options options);
void driver_close(driver *d);
/* The gradients of a step and nothing else are in the parameters then. */
apq_train_sums driver_gradients(driver *d, int64_t step);

/* Eight steps of quantisation-aware training: an epoch and a part of the
 * next. */
apq_finetune_options trainee_finetune_options(const trainee *t);

/* A folder of its own for a checkpoint, whose path is written. */
void *trainee_open_checkpoint(char path[APQ_PATH_MAX]);
void trainee_close_checkpoint(void *folder);

/* The values of a checkpoint's tensor; NULL where there is none. */
const float *trainee_tensor(const apq_tensor_file *file, const char *name,
                            size_t *n_bytes);
/* Largest difference of values over the largest value. */
double trainee_distance(apq_supernet *a, apq_supernet *b);
/* Values and momenta agree bit for bit. */
void assert_same_params(const apq_params *a, const apq_params *b);

#endif
