/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the apq authors */
#ifndef APQ_EXPORT_C99_ARITH_H
#define APQ_EXPORT_C99_ARITH_H

#include <stdint.h>

/* Arithmetic of an exported network: whole numbers only, C99. Every export
 * contains this file as it is. Right shifts are of numbers that are not
 * negative, so nothing depends on the compiler. */

/* An error here: int has less than the 32 bits that sums need. */
typedef char int_has_32_bits[(unsigned int)-1 >= 0xFFFFFFFF ? 1 : -1];

static inline int clamp(int code, int low, int high) {
    code = code < low ? low : code;
    return code > high ? high : code;
}

/* a < 2^31 rounded to 24 significant bits, halves to even: the magnitude of
 * the float that a converts to. */
static inline uint32_t round_to_24_bits(uint32_t a) {
    int drop = 0;
    while (a >> drop >= UINT32_C(1) << 24) {
        drop++;
    }
    if (drop == 0) {
        return a;
    }
    uint32_t kept = a >> drop;
    uint32_t rest = a - (kept << drop);
    uint32_t half = UINT32_C(1) << (drop - 1);
    kept += rest > half || (rest == half && kept % 2 == 1);
    return kept << drop;
}

/* Whether a float32 product rounds to n + 1/2, n <= 255, when exactly it is
 * n + 1/2 +- gap / 2^shift. gap <= 2^(shift - 17), 2 <= shift <= 56.
 *
 * Floats around t = n + 1/2, 2^k <= t < 2^(k+1), are 2^(k-23) apart, so what
 * is within 2^(k-24) of t rounds to t; at that very distance, too, since the
 * last of t's 24 bits is 0 (k <= 7) and ties go there. Only below t = 1/2, a
 * power of two, floats are twice as dense. With gap in units of 2^-shift:
 * gap * 2^24 <= 2^(k+shift). */
static inline int rounds_to_half(uint32_t n, uint64_t gap, int shift,
                                 int is_below) {
    if (n == 0) {
        return gap << 24 <= UINT64_C(1) << (shift - 1 - is_below);
    }
    int k = 0;
    while (n >> k > 1) {
        k++;
    }
    return gap << 24 <= UINT64_C(1) << (shift + k);
}

/* What float32 makes of clamp(rne((float)sum * scale)), rne rounding halves to
 * even, without floats. scale = m / 2^shift, m < 2^24, is given as shift * 2^24
 * + m, 2 <= shift <= 56; low and high are within -256 .. 255.
 *
 * All is symmetric in the sign. Let a = |(float)sum|, a whole number of 24
 * significant bits, v = a * m / 2^shift the exact product, below 2^55 before
 * the division, and f the float nearest to v.
 * Rounding to float keeps order and leaves floats as they are, hence:
 *  - v >= 256: f >= 256, and the result is clamped.
 *  - n <= v < n + 1 <= 256: n, n + 1/2 and n + 1 are floats, so f is in the
 *    same half of [n, n + 1] as v, or at its end. If f is not n + 1/2, rne(f)
 *    is the end that is nearer to v as well. If it is, which rounds_to_half
 *    says, rne(f) is the even one of both. */
static inline int requantise(int32_t sum, uint32_t scale, int low, int high) {
    uint32_t a = sum < 0 ? 0U - (uint32_t)sum : (uint32_t)sum;
    int shift = (int)(scale >> 24);
    uint64_t product = (uint64_t)round_to_24_bits(a) * (scale & 0xFFFFFFU);
    if (product >> shift > 255) {
        return sum < 0 ? low : high;
    }
    uint32_t n = (uint32_t)(product >> shift);
    uint64_t half = UINT64_C(1) << (shift - 1);
    uint64_t rest = product - ((uint64_t)n << shift);
    int is_below = rest < half;
    uint64_t gap = is_below ? half - rest : rest - half;
    /* Floats below 256 are no more than 2^-16 apart. */
    if (gap <= half >> 16 && rounds_to_half(n, gap, shift, is_below)) {
        n += n % 2;
    } else {
        n += !is_below;
    }
    return clamp(sum < 0 ? -(int)n : (int)n, low, high);
}

/* Weights of 4 bits, two a byte, the lower bits first: n codes to `to`. */
static inline void unpack4(const uint8_t *from, int n, int8_t *to) {
    for (int i = 0; i < n; i++) {
        int code = (from[i / 2] >> (i % 2 * 4)) & 15;
        to[i] = (int8_t)((code ^ 8) - 8);
    }
}

/* Weights of 6 bits, four in three bytes, the lower bits first. */
static inline void unpack6(const uint8_t *from, int n, int8_t *to) {
    for (int i = 0; i < n; i += 4, from += 3) {
        uint32_t word =
            from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16;
        for (int j = i; j < n && j < i + 4; j++, word >>= 6) {
            to[j] = (int8_t)((int)((word & 63) ^ 32) - 32);
        }
    }
}

#endif
