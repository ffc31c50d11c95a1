#ifndef APQ_TRAIN_SCHEDULE_H
#define APQ_TRAIN_SCHEDULE_H

#include <stdint.h>

/* Learning rate of step 0 <= step < n_steps: linear from 0 over
 * `warmup_steps`, then half a cosine down to 0. */
double apq_schedule_cosine(double peak, int64_t step, int64_t n_steps,
                           double warmup_steps);

/* Decay of a running average after step 0, 1, ...: (1 + step) / (10 + step)
 * up to `decay`. Its window stays a tenth of what has passed, so that the
 * first, random weights leave no trace.
 * Source: the usual warm-up of averages (TensorFlow's ExponentialMovingAverage
 * with num_updates). */
double apq_schedule_average(double decay, int64_t step);

#endif
