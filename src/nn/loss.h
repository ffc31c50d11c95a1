#ifndef APQ_NN_LOSS_H
#define APQ_NN_LOSS_H

#include <stdint.h>

typedef struct apq_loss_sum {
    double loss;     /* summed over images */
    double squares;  /* of each image's loss, summed; apq_loss_labels only */
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

/* The larger, image by image, of two divergences of q = softmax(logits) from
 * targets p (N, K): KL(p||q), which punishes where q lacks what p has, and
 * (sum q^2/p - 1) / 2, which punishes where q claims too much; with alpha 1 and
 * -1 of the alpha-divergences. The ratio q/p of the latter is at most 5.
 * dlogits as above: with ratios as constants, the mean's gradient.
 * Source: AlphaNet (ICML 2021) section 3 and its code, in which the ratio of
 * alpha 1 is not clipped either. */
apq_loss_sum apq_loss_alpha(const float *logits, const float *targets,
                            const int *labels, int n, int n_classes,
                            int accumulate, float *dlogits);

/* probabilities (N, K); may alias logits. */
void apq_softmax(const float *logits, int n, int n_classes,
                 float *probabilities);

#endif
