/* Learning rates: linear warm-up, then a cosine or a line; decays of running
 * averages. */
#include "train/schedule.h"

#include <math.h>

double apq_schedule_rate(const apq_rate_plan *plan, int64_t step,
                         int64_t n_steps) {
    double at = (double)step + 0.5, warmup = plan->warmup_steps;
    if (at < warmup) {
        return plan->peak * at / warmup;
    }
    double phase = (at - warmup) / ((double)n_steps - warmup);
    double left = plan->shape == APQ_RATE_LINEAR
                      ? 1.0 - phase
                      : 0.5 * (1.0 + cos(3.14159265358979323846 * phase));
    double last = plan->final_fraction;
    return plan->peak * (last + (1.0 - last) * left);
}

double apq_schedule_cosine(double peak, int64_t step, int64_t n_steps,
                           double warmup_steps) {
    const apq_rate_plan plan = {.peak = peak, .warmup_steps = warmup_steps};
    return apq_schedule_rate(&plan, step, n_steps);
}

double apq_schedule_average(double decay, int64_t step) {
    return fmin(decay, (1.0 + (double)step) / (10.0 + (double)step));
}
