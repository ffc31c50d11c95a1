#ifndef APQ_TRAIN_WHITEN_H
#define APQ_TRAIN_WHITEN_H

#include "base/status.h"
#include "data/data.h"
#include "supernet/supernet.h"

/* The first filters of the stem become the eigenvectors of the covariance of
 * 3x3 patches of up to 5,000 training images, without augmentation and evenly
 * spread over the classes: in the order of falling variance, then, as far as
 * there are more filters, the same with the other sign. Filters beyond these
 * stay as they are.
 *
 * They are as long as the usual initial weights are on average, sqrt(2). The
 * batch norm behind the stem divides each response by its deviation, so that
 * responses to v are v.x / sqrt(variance + epsilon / 2): whitened, with the
 * epsilon of 5e-4 that Jordan uses. Filters of one length also share the range
 * of a quantiser, as filters scaled by 1 / sqrt(variance) could not.
 *
 * Errors: APQ_ERR_ARG the supernet's images have other channels than the
 * dataset's; what reading images gives.
 * Source: Jordan 2024 (arXiv 2404.00498), there 2x2 patches, both signs. */
APQ_NODISCARD apq_status apq_train_whiten_stem(apq_supernet *supernet,
                                               const apq_dataset *dataset);

#endif
