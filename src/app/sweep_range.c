/* The budgets of a sweep, from the text FROM:TO:POINTS. */
#include "app/sweep.h"

#include <math.h>
#include <stdlib.h>

static const double MAX_BUDGET = 1e12;

/* A number that ends at `end`; NULL when there is none. */
static const char *read_number(const char *text, char end, double *out) {
    char *after;
    *out = strtod(text, &after);
    return after == text || *after != end ? NULL : after;
}

apq_status apq_sweep_parse(const char *option, const char *text,
                           apq_sweep_range *out) {
    double from = 0, to = 0, n = 0;
    const char *at = read_number(text, ':', &from);
    at = at == NULL ? NULL : read_number(at + 1, ':', &to);
    at = at == NULL ? NULL : read_number(at + 1, '\0', &n);
    if (at == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "--%s \"%s\" is not FROM:TO:POINTS", option,
                 text);
    }
    /* Written so that what is no number fails. */
    if (!(from > 0) || !(from < to) || !(to <= MAX_BUDGET)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "--%s \"%s\": FROM %g and TO %g are not in order in 0 ... %g",
                 option, text, from, to, MAX_BUDGET);
    }
    if (!(n >= 2) || !(n <= APQ_SWEEP_MAX_POINTS) || n != rint(n)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "--%s \"%s\": POINTS %g is not an integer in 2 ... %d", option,
                 text, n, APQ_SWEEP_MAX_POINTS);
    }
    out->from = from;
    out->to = to;
    out->n_points = (int)n;
    return APQ_OK;
}

double apq_sweep_budget(const apq_sweep_range *range, int i) {
    double share = (double)i / (range->n_points - 1);
    /* The ends exactly as given. */
    return i == range->n_points - 1
               ? range->to
               : range->from + share * (range->to - range->from);
}
