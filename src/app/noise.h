#ifndef APQ_APP_NOISE_H
#define APQ_APP_NOISE_H

#include "store/records.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* How much of the difference between labels is noise. Values that are not
 * known are NaN. */
typedef struct apq_label_spread {
    double mean, sd;     /* over the records, noise included */
    double image_error;  /* by the choice of images: root mean square of the
                            labels' standard errors */
    double repeat_error; /* by other random numbers: sd of a label over its
                            repeats */
    double noise;        /* E: both, of those that are known */
    double ceiling;      /* of pairwise accuracy: 1/2 + atan(S/E)/pi, S being
                            the sd without the noise */
} apq_label_spread;

typedef struct apq_noise {
    apq_record_kind kind;
    size_t n_records, n_repeats;
    double images, seconds; /* means over the records */
    apq_label_spread accuracy, loss;
} apq_noise;

/* Of the records of one kind. All networks are scored on the same images, and
 * those that are hard for one are hard for others, so for comparisons the
 * image error is an upper bound and the ceiling a lower one. From
 * pairs of measurements, sd = sqrt(mean difference^2 / 2). */
APQ_NODISCARD apq_status apq_noise_of(apq_records *records,
                                      apq_record_kind kind, apq_noise *out);

/* What other random numbers change in top-1, from the repeats of the float or
 * of all quantised records; 0: there are none. */
APQ_NODISCARD apq_status apq_noise_repeat_error(apq_records *records,
                                                bool with_bits, double *out);

/* The two lines that people read: no trailing line feed, `size` >= 512. */
void apq_noise_text(const apq_noise *noise, char *out, size_t size);
/* As in docs/formats/report.md; null without records. */
json_t *apq_noise_json(const apq_noise *noise);

#endif
