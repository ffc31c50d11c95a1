#ifndef APQ_BASE_SORT_H
#define APQ_BASE_SORT_H

#include <stddef.h>

/* Ascending, in place. Values that are no numbers must not be among them. */
void apq_sort_doubles(double *values, size_t n);

#endif
