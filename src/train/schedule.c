/* The cosine schedule with linear warm-up. */
#include "train/schedule.h"

#include <math.h>

double apq_schedule_cosine(double peak, int64_t step, int64_t n_steps,
                           double warmup_steps) {
    double at = (double)step + 0.5;
    if (at < warmup_steps) {
        return peak * at / warmup_steps;
    }
    double phase = (at - warmup_steps) / ((double)n_steps - warmup_steps);
    return 0.5 * peak * (1.0 + cos(3.14159265358979323846 * phase));
}

double apq_schedule_average(double decay, int64_t step) {
    return fmin(decay, (1.0 + (double)step) / (10.0 + (double)step));
}
