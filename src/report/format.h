#ifndef APQ_REPORT_FORMAT_H
#define APQ_REPORT_FORMAT_H

#include <stddef.h>

/* Numbers as people read them. Each writes a terminated text and returns
 * `out`; APQ_FORMAT_MAX bytes are enough. A value that is not finite is "-". */
enum { APQ_FORMAT_MAX = 32, APQ_SPARKLINE_MAX = 256 };

/* Three significant digits, no exponent: 0.00691, 12.3, 1507. */
const char *apq_format_number(double value, char out[APQ_FORMAT_MAX]);
/* The same, but at most three decimals, for amounts where less than a
 * thousandth is nothing: "< 0.001". */
const char *apq_format_amount(double value, char out[APQ_FORMAT_MAX]);
/* A fraction in per cent: 0.4567 is "45.67 %". */
const char *apq_format_percent(double fraction, char out[APQ_FORMAT_MAX]);
/* Seconds: "4.2 s", "3 min 20 s", "2 h 05 min". */
const char *apq_format_duration(double seconds, char out[APQ_FORMAT_MAX]);

/* The course of `n` values as a line of eight heights, at most 40 characters
 * (UTF-8), lowest and highest value at the ends of the scale. */
const char *apq_format_sparkline(const double *values, size_t n,
                                 char out[APQ_SPARKLINE_MAX]);

#endif
