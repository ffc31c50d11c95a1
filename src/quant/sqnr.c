/* Signal to quantisation noise: how much of a tensor its rounding leaves. The
 * measure by which Lin, Talathi and Annapureddy choose bit-widths (Fixed Point
 * Quantization of Deep Convolutional Networks, ICML 2016). */
#include "quant/quant.h"

#include <math.h>

double apq_quant_sqnr_db(const float *x, const float *quantised, size_t n) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double value = (double)x[i];
        double error = value - (double)quantised[i];
        signal += value * value;
        noise += error * error;
    }
    return 10 * log10(signal / noise);
}
