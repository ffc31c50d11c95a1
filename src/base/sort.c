/* Sorting of plain numbers, for medians and quantiles: the standard library's
 * qsort() with the one order they need. */
#include "base/sort.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void apq_sort_doubles(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare);
}
