/* Numbers, durations and small curves as text, without digits that mean
 * nothing. */
#include "report/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SPARKLINE_WIDTH = 40, N_HEIGHTS = 8 };

/* Decimals that show three significant digits. */
static int decimals_of(double value) {
    double magnitude = fabs(value);
    if (!(magnitude > 0)) {
        return 0;
    }
    double digits = 2 - floor(log10(magnitude));
    return digits < 0 ? 0 : digits > 12 ? 12 : (int)digits;
}

const char *apq_format_number(double value, char out[APQ_FORMAT_MAX]) {
    if (!isfinite(value)) {
        return strcpy(out, "-");
    }
    if (fabs(value) >= 1e15) {
        (void)snprintf(out, APQ_FORMAT_MAX, "%.3g", value);
    } else {
        (void)snprintf(out, APQ_FORMAT_MAX, "%.*f", decimals_of(value), value);
    }
    return out;
}

const char *apq_format_amount(double value, char out[APQ_FORMAT_MAX]) {
    if (!isfinite(value) || fabs(value) >= 1) {
        return apq_format_number(value, out);
    }
    if (value > 0 && value < 0.001) {
        return strcpy(out, "< 0.001");
    }
    (void)snprintf(out, APQ_FORMAT_MAX, value == 0 ? "%.0f" : "%.3f", value);
    return out;
}

const char *apq_format_percent(double fraction, char out[APQ_FORMAT_MAX]) {
    if (!isfinite(fraction)) {
        return strcpy(out, "-");
    }
    (void)snprintf(out, APQ_FORMAT_MAX, "%.2f %%", 100 * fraction);
    return out;
}

const char *apq_format_duration(double seconds, char out[APQ_FORMAT_MAX]) {
    if (!isfinite(seconds)) {
        return strcpy(out, "-");
    }
    /* Rounded before it is split, so that 59.99 s is 1 min 00 s. */
    double s = seconds < 59.95 ? seconds : round(seconds);
    if (s < 0.05) {
        (void)snprintf(out, APQ_FORMAT_MAX, "%.0f ms", 1000 * s);
    } else if (s < 59.95) {
        (void)snprintf(out, APQ_FORMAT_MAX, "%.1f s", s);
    } else if (s < 3600) {
        (void)snprintf(out, APQ_FORMAT_MAX, "%.0f min %02.0f s", floor(s / 60),
                       fmod(s, 60));
    } else {
        double minutes = round(s / 60);
        (void)snprintf(out, APQ_FORMAT_MAX, "%.0f h %02.0f min",
                       floor(minutes / 60), fmod(minutes, 60));
    }
    return out;
}

const char *apq_format_sparkline(const double *values, size_t n,
                                 char out[APQ_SPARKLINE_MAX]) {
    static const char *const heights[N_HEIGHTS] = {"\u2581", "\u2582", "\u2583",
                                                   "\u2584", "\u2585", "\u2586",
                                                   "\u2587", "\u2588"};
    double low = (double)INFINITY, high = (double)-INFINITY;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    size_t width = n < SPARKLINE_WIDTH ? n : SPARKLINE_WIDTH;
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < width; i++) {
        /* Evenly spaced values; the first and the last are among them. */
        size_t at = width < 2 ? 0 : i * (n - 1) / (width - 1);
        double part = high > low ? (values[at] - low) / (high - low) : 0;
        int height = isfinite(part) ? (int)(part * (N_HEIGHTS - 1) + 0.5) : 0;
        used += (size_t)snprintf(out + used, APQ_SPARKLINE_MAX - used, "%s",
                                 heights[height]);
    }
    return out;
}
