/* Softmax cross-entropy with hard, smoothed or soft targets. */
#include "nn/loss.h"

#include <math.h>
#include <stddef.h>

static int argmax(const float *x, int n) {
    int best = 0;
    for (int k = 1; k < n; k++) {
        best = x[k] > x[best] ? k : best;
    }
    return best;
}

/* Returns log(sum(exp(x))). */
static double log_sum_exp(const float *x, int n) {
    double top = (double)x[argmax(x, n)];
    double sum = 0;
    for (int k = 0; k < n; k++) {
        sum += exp((double)x[k] - top);
    }
    return top + log(sum);
}

void apq_softmax(const float *logits, int n, int n_classes,
                 float *probabilities) {
    for (int i = 0; i < n; i++) {
        const float *x = logits + (int64_t)i * n_classes;
        double norm = log_sum_exp(x, n_classes);
        for (int k = 0; k < n_classes; k++) {
            probabilities[(int64_t)i * n_classes + k] =
                (float)exp((double)x[k] - norm);
        }
    }
}

apq_loss_sum apq_loss_labels(const float *logits, const int *labels, int n,
                             int n_classes, double smoothing, float *dlogits) {
    apq_loss_sum sum = {0};
    double off = smoothing / n_classes;
    for (int i = 0; i < n; i++) {
        const float *x = logits + (int64_t)i * n_classes;
        double norm = log_sum_exp(x, n_classes), before = sum.loss;
        for (int k = 0; k < n_classes; k++) {
            double target = off + (k == labels[i] ? 1.0 - smoothing : 0.0);
            double log_p = (double)x[k] - norm;
            sum.loss -= target * log_p;
            if (dlogits != NULL) {
                dlogits[(int64_t)i * n_classes + k] =
                    (float)((exp(log_p) - target) / n);
            }
        }
        sum.squares += (sum.loss - before) * (sum.loss - before);
        sum.correct += argmax(x, n_classes) == labels[i];
    }
    return sum;
}

apq_loss_sum apq_loss_soft(const float *logits, const float *targets,
                           const int *labels, int n, int n_classes,
                           double weight, int accumulate, float *dlogits) {
    apq_loss_sum sum = {0};
    for (int i = 0; i < n; i++) {
        int64_t row = (int64_t)i * n_classes;
        double norm = log_sum_exp(logits + row, n_classes);
        for (int k = 0; k < n_classes; k++) {
            double log_p = (double)logits[row + k] - norm;
            double target = (double)targets[row + k];
            sum.loss -= target * log_p;
            float g = (float)(weight * (exp(log_p) - target) / n);
            dlogits[row + k] = accumulate ? dlogits[row + k] + g : g;
        }
        sum.correct += argmax(logits + row, n_classes) == labels[i];
    }
    return sum;
}

/* q/p, at most 5 (AlphaNet's clip), also where p is 0. */
static double clipped_ratio(double q, double p) {
    return q < 5.0 * p ? q / p : 5.0;
}

apq_loss_sum apq_loss_alpha(const float *logits, const float *targets,
                            const int *labels, int n, int n_classes,
                            int accumulate, float *dlogits) {
    apq_loss_sum sum = {0};
    for (int i = 0; i < n; i++) {
        const float *x = logits + (int64_t)i * n_classes;
        const float *target = targets + (int64_t)i * n_classes;
        float *dx = dlogits + (int64_t)i * n_classes;
        double norm = log_sum_exp(x, n_classes);
        double kl = 0, mean_ratio = 0; /* under q */
        for (int k = 0; k < n_classes; k++) {
            double log_q = (double)x[k] - norm, p = (double)target[k];
            kl += p > 0 ? p * (log(p) - log_q) : 0;
            mean_ratio += exp(log_q) * clipped_ratio(exp(log_q), p);
        }
        double claims = (mean_ratio - 1) / 2;
        sum.loss += claims > kl ? claims : kl;
        for (int k = 0; k < n_classes; k++) {
            double q = exp((double)x[k] - norm), p = (double)target[k];
            double g =
                claims > kl ? q * (clipped_ratio(q, p) - mean_ratio) : q - p;
            dx[k] = (accumulate ? dx[k] : 0.0F) + (float)(g / n);
        }
        sum.correct += argmax(x, n_classes) == labels[i];
    }
    return sum;
}
