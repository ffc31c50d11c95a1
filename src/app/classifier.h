#ifndef APQ_APP_CLASSIFIER_H
#define APQ_APP_CLASSIFIER_H

#include <apq/classifier.h>

#include <stddef.h>
#include <stdint.h>

/* What the image classified last was made into: (resolution, resolution, 3) RGB
 * bytes, *n_bytes of them, borrowed until the next image. */
const uint8_t *apq_classifier_input(const apq_classifier *classifier,
                                    size_t *n_bytes);

#endif
