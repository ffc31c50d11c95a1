#ifndef APQ_EXPORT_DESCRIBE_H
#define APQ_EXPORT_DESCRIBE_H

#include <jansson.h>

/* What every export tells of images and classes, beside the network itself
 * (docs/export.md). New values, the caller's; NULL when memory is out. */

/* How an image becomes the network's input. mean, std: of the channels in units
 * of 0 .. 1; NULL: not known, and left out. */
json_t *apq_describe_preprocessing(int resolution, const float *mean,
                                   const float *std);

/* n names in UTF-8 in the order of the logits; NULL: not known, null. */
json_t *apq_describe_classes(char *const *names, int n);

#endif
