#ifndef APQ_NN_LOSS_H
#define APQ_NN_LOSS_H

#include <stdint.h>

typedef struct apq_loss_sum {
    double loss;     /* summed over images */
    int64_t correct; /* arg-max equals the label */
} apq_loss_sum;

/* Cross-entropy of softmax(logits) (N, K) with smoothed labels: target
 * (1 - smoothing) + smoothing / K on the label, smoothing / K elsewhere.
 * dlogits (N, K), if not NULL, is the gradient of the mean over N. */
apq_loss_sum apq_loss_labels(const float *logits, const int *labels, int n,
                             int n_classes, double smoothing, float *dlogits);

/* Cross-entropy against soft targets (N, K), e.g. a teacher's softmax;
 * dlogits as above, scaled by `weight`, accumulated when `accumulate`. */
apq_loss_sum apq_loss_soft(const float *logits, const float *targets,
                           const int *labels, int n, int n_classes,
                           double weight, int accumulate, float *dlogits);

/* probabilities (N, K); may alias logits. */
void apq_softmax(const float *logits, int n, int n_classes,
                 float *probabilities);

#endif
