#ifndef APQ_TRAIN_SCHEDULE_H
#define APQ_TRAIN_SCHEDULE_H

#include <stdint.h>

/* Learning rate of step 0 <= step < n_steps: linear from 0 over
 * `warmup_steps`, then half a cosine down to 0. */
double apq_schedule_cosine(double peak, int64_t step, int64_t n_steps,
                           double warmup_steps);

#endif
