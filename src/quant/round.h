#ifndef APQ_QUANT_ROUND_H
#define APQ_QUANT_ROUND_H

#include <stddef.h>

/* What the loops of both quantisers have in common. */

/* Round half to even by leaving no fraction bits, for |v| < 2^22. Unlike
 * rintf this vectorises on every instruction set. */
static inline float round_even(float v) {
    const float shift = 12582912.0f; /* 1.5 * 2^23 */
    return (v + shift) - shift;
}

static inline float clamp(float x, float low, float high) {
    x = x < low ? low : x; /* NaN stays NaN */
    return x > high ? high : x;
}

/* n cut into parts of whole cache lines, so that threads share none. */
static inline size_t part_begin(size_t n, int part, int parts) {
    size_t lines = (n + 15) / 16;
    size_t begin = lines * (size_t)part / (size_t)parts * 16;
    return begin < n ? begin : n;
}

#endif
