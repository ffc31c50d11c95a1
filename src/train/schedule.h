#ifndef APQ_TRAIN_SCHEDULE_H
#define APQ_TRAIN_SCHEDULE_H

#include <stdint.h>

typedef enum apq_rate_shape {
    APQ_RATE_COSINE, /* half a cosine */
    APQ_RATE_LINEAR, /* a straight line; with the warm-up a triangle */
} apq_rate_shape;

typedef struct apq_rate_plan {
    apq_rate_shape shape; /* of the way down */
    double peak;
    double final_fraction; /* of the peak, 0 ... 1, where the way down ends */
    double warmup_steps;   /* linear from 0 */
} apq_rate_plan;

/* Learning rate of step 0 <= step < n_steps, taken in its middle. */
double apq_schedule_rate(const apq_rate_plan *plan, int64_t step,
                         int64_t n_steps);
/* The same of a cosine that ends at 0. */
double apq_schedule_cosine(double peak, int64_t step, int64_t n_steps,
                           double warmup_steps);

/* Decay of a running average after step 0, 1, ...: (1 + step) / (10 + step)
 * up to `decay`. Its window stays a tenth of what has passed, so that the
 * first, random weights leave no trace.
 * Source: the usual warm-up of averages (TensorFlow's ExponentialMovingAverage
 * with num_updates). */
double apq_schedule_average(double decay, int64_t step);

#endif
