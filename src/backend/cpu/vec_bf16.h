#ifndef APQ_BACKEND_CPU_VEC_BF16_H
#define APQ_BACKEND_CPU_VEC_BF16_H

#include "backend/cpu/vec.h"

#include <stdint.h>

/* bfloat16 in vectors of floats, rounded half to even. A "slot" is a float's
 * place that holds two of them, the first in the lower half. Included only by
 * the kernels_<isa>.c files; without AVX512_BF16 the compiler's vectors
 * compute the same up to the last bits of a sum.
 *   v_load_bf16(p,n)    the first n values, the other lanes zero
 *   v_store_bf16(p,n,a)
 *   v_slots(a,b)        slot l holds lanes l of a and b
 *   v_dot(a,b,c)        c + the products of both halves of the slots */

#if defined(__AVX512BF16__)

static inline __mmask16 v_all_lanes(int n) {
    return (__mmask16)((1U << n) - 1U);
}
static inline vec v_load_bf16(const uint16_t *p, int n) {
    __m256i bits = _mm256_maskz_loadu_epi16(v_all_lanes(n), p);
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
static inline void v_store_bf16(uint16_t *p, int n, vec a) {
    _mm256_mask_storeu_epi16(p, v_all_lanes(n), (__m256i)_mm512_cvtneps_pbh(a));
}
static inline vec v_slots(vec a, vec b) {
    /* Words 0, 16, 1, 17, ... of the two in a row. */
    const __m512i order = _mm512_add_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set_epi32(31 << 16, 30 << 16, 29 << 16, 28 << 16, 27 << 16,
                         26 << 16, 25 << 16, 24 << 16, 23 << 16, 22 << 16,
                         21 << 16, 20 << 16, 19 << 16, 18 << 16, 17 << 16,
                         16 << 16));
    return _mm512_castsi512_ps(
        _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a)));
}
static inline vec v_dot(vec a, vec b, vec c) {
    return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}

#else

typedef uint32_t v_bits __attribute__((vector_size(VL * 4)));

/* The upper halves are what is stored; a NaN stays one. */
static inline v_bits v_rounded(vec a) {
    v_bits bits = (v_bits)a;
    v_bits is_nan = (v_bits)((bits & 0x7fffffffU) > 0x7f800000U);
    v_bits up = bits + 0x7fffU + ((bits >> 16) & 1U);
    return (is_nan & (bits | 0x400000U)) | (~is_nan & up);
}
static inline vec v_load_bf16(const uint16_t *p, int n) {
    v_bits bits = {0};
    for (int i = 0; i < n; i++) {
        bits[i] = (uint32_t)p[i] << 16;
    }
    return (vec)bits;
}
static inline void v_store_bf16(uint16_t *p, int n, vec a) {
    v_bits bits = v_rounded(a) >> 16;
    for (int i = 0; i < n; i++) {
        p[i] = (uint16_t)bits[i];
    }
}
static inline vec v_slots(vec a, vec b) {
    return (vec)((v_rounded(a) >> 16) | (v_rounded(b) & 0xffff0000U));
}
static inline vec v_dot(vec a, vec b, vec c) {
    const v_bits upper = (v_bits){0} + 0xffff0000U;
    c = v_fma((vec)((v_bits)a << 16), (vec)((v_bits)b << 16), c);
    return v_fma((vec)((v_bits)a & upper), (vec)((v_bits)b & upper), c);
}

#endif

#endif
