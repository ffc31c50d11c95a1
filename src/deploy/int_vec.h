#ifndef APQ_DEPLOY_INT_VEC_H
#define APQ_DEPLOY_INT_VEC_H

/* Vectors of 32-bit words and of floats, by the flags this file is compiled
 * with. Included only by the int_tiles_<isa>.c files.
 *   i_dot(a,b,c)   c + sum of the four products of u8 a with s8 b; exact
 *   i_window(a,b,n) words of the last 4 - n bytes of a and the first n of b
 *   i_words(quad)  a quad (lanes/4, 4 pixels, 4 channels) of codes as words of
 *                  four pixels, a channel a lane
 *   quad_store     four vectors of codes as a quad, clamped to 0..255
 *   f_min, f_max   the second operand where either is NaN
 *   f_round        a < 2^22 to integers, half to even; a number below -512
 *                  where a is below it or NaN */

#include <stdint.h>

#define APQ_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512VNNI__)

#include <immintrin.h>

enum { VL = 16 };
typedef int32_t ivec __attribute__((vector_size(64))); /* sums stay in
                                                         registers */
typedef __m512 fvec;

APQ_INLINE ivec i_load(const int32_t *p) {
    return (ivec)_mm512_loadu_si512(p);
}
APQ_INLINE void i_store(int32_t *p, ivec a) {
    _mm512_storeu_si512(p, (__m512i)a);
}
APQ_INLINE ivec i_set(int32_t a) {
    return (ivec)_mm512_set1_epi32(a);
}
APQ_INLINE ivec i_add(ivec a, ivec b) {
    return a + b;
}
APQ_INLINE ivec i_dot(ivec a, ivec b, ivec c) {
    return (ivec)_mm512_dpbusd_epi32((__m512i)c, (__m512i)a, (__m512i)b);
}
/* A macro, since the shift is part of the instruction. */
#define i_window(a, b, n)                                                      \
    ((ivec)_mm512_shrdi_epi32((__m512i)(a), (__m512i)(b), 8 * (n)))
APQ_INLINE ivec i_words(const uint8_t *quad) {
    const __m512i order = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return (ivec)_mm512_shuffle_epi8(_mm512_loadu_si512(quad), order);
}
APQ_INLINE void quad_store(uint8_t *p, ivec a, ivec b, ivec c, ivec d) {
    __m512i low = _mm512_packs_epi32((__m512i)a, (__m512i)b);
    __m512i high = _mm512_packs_epi32((__m512i)c, (__m512i)d);
    _mm512_storeu_si512(p, _mm512_packus_epi16(low, high));
}
APQ_INLINE fvec f_load(const float *p) {
    return _mm512_loadu_ps(p);
}
APQ_INLINE void f_store(float *p, fvec a) {
    _mm512_storeu_ps(p, a);
}
APQ_INLINE fvec f_set(float a) {
    return _mm512_set1_ps(a);
}
APQ_INLINE fvec f_add(fvec a, fvec b) {
    return _mm512_add_ps(a, b);
}
APQ_INLINE fvec f_mul(fvec a, fvec b) {
    return _mm512_mul_ps(a, b);
}
APQ_INLINE fvec f_min(fvec a, fvec b) {
    return _mm512_min_ps(a, b);
}
APQ_INLINE fvec f_max(fvec a, fvec b) {
    return _mm512_max_ps(a, b);
}
APQ_INLINE fvec f_from(ivec a) {
    return _mm512_cvtepi32_ps((__m512i)a);
}
APQ_INLINE ivec f_round(fvec a) {
    return (ivec)_mm512_cvtps_epi32(a);
}

#elif defined(__AVX2__)

#include <immintrin.h>

enum { VL = 8 };
typedef int32_t ivec __attribute__((vector_size(32)));
typedef __m256 fvec;

APQ_INLINE ivec i_load(const int32_t *p) {
    return (ivec)_mm256_loadu_si256((const __m256i *)p);
}
APQ_INLINE void i_store(int32_t *p, ivec a) {
    _mm256_storeu_si256((__m256i *)p, (__m256i)a);
}
APQ_INLINE ivec i_set(int32_t a) {
    return (ivec)_mm256_set1_epi32(a);
}
APQ_INLINE ivec i_add(ivec a, ivec b) {
    return a + b;
}
#if defined(__AVXVNNI__)
APQ_INLINE ivec i_dot(ivec a, ivec b, ivec c) {
    return (ivec)_mm256_dpbusd_avx_epi32((__m256i)c, (__m256i)a, (__m256i)b);
}
#else
/* In 16 bits: the instruction for bytes would clamp sums of two products. */
APQ_INLINE ivec i_dot(ivec a, ivec b, ivec c) {
    __m256i x = (__m256i)a, w = (__m256i)b;
    __m256i x_even = _mm256_and_si256(x, _mm256_set1_epi16(255));
    __m256i x_odd = _mm256_srli_epi16(x, 8);
    __m256i w_even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
    __m256i w_odd = _mm256_srai_epi16(w, 8);
    c += (ivec)_mm256_madd_epi16(x_even, w_even);
    return c + (ivec)_mm256_madd_epi16(x_odd, w_odd);
}
#endif
#define i_window(a, b, n)                                                      \
    ((ivec)_mm256_or_si256(_mm256_srli_epi32((__m256i)(a), 8 * (n)),           \
                           _mm256_slli_epi32((__m256i)(b), 32 - 8 * (n))))
APQ_INLINE ivec i_words(const uint8_t *quad) {
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return (ivec)_mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)quad),
                                     order);
}
APQ_INLINE void quad_store(uint8_t *p, ivec a, ivec b, ivec c, ivec d) {
    __m256i low = _mm256_packs_epi32((__m256i)a, (__m256i)b);
    __m256i high = _mm256_packs_epi32((__m256i)c, (__m256i)d);
    _mm256_storeu_si256((__m256i *)p, _mm256_packus_epi16(low, high));
}
APQ_INLINE fvec f_load(const float *p) {
    return _mm256_loadu_ps(p);
}
APQ_INLINE void f_store(float *p, fvec a) {
    _mm256_storeu_ps(p, a);
}
APQ_INLINE fvec f_set(float a) {
    return _mm256_set1_ps(a);
}
APQ_INLINE fvec f_add(fvec a, fvec b) {
    return _mm256_add_ps(a, b);
}
APQ_INLINE fvec f_mul(fvec a, fvec b) {
    return _mm256_mul_ps(a, b);
}
APQ_INLINE fvec f_min(fvec a, fvec b) {
    return _mm256_min_ps(a, b);
}
APQ_INLINE fvec f_max(fvec a, fvec b) {
    return _mm256_max_ps(a, b);
}
APQ_INLINE fvec f_from(ivec a) {
    return _mm256_cvtepi32_ps((__m256i)a);
}
APQ_INLINE ivec f_round(fvec a) {
    return (ivec)_mm256_cvtps_epi32(a);
}

#else

#include <string.h>

/* GCC and clang vector extensions: any processor. */
enum { VL = 4 };
typedef int32_t ivec __attribute__((vector_size(16)));
typedef uint32_t uvec __attribute__((vector_size(16)));
typedef float fvec __attribute__((vector_size(16)));

APQ_INLINE ivec i_load(const int32_t *p) {
    ivec a;
    memcpy(&a, p, sizeof a);
    return a;
}
APQ_INLINE void i_store(int32_t *p, ivec a) {
    memcpy(p, &a, sizeof a);
}
APQ_INLINE ivec i_set(int32_t a) {
    return (ivec){a, a, a, a};
}
APQ_INLINE ivec i_add(ivec a, ivec b) {
    return a + b;
}
APQ_INLINE ivec i_dot(ivec a, ivec b, ivec c) {
    uvec u = (uvec)a, w = (uvec)b;
    c += (ivec)(u & 255) * ((ivec)(w << 24) >> 24);
    c += (ivec)(u >> 8 & 255) * ((ivec)(w << 16) >> 24);
    c += (ivec)(u >> 16 & 255) * ((ivec)(w << 8) >> 24);
    c += (ivec)(u >> 24) * (b >> 24);
    return c;
}
#define i_window(a, b, n)                                                      \
    ((ivec)((uvec)(a) >> 8 * (n) | (uvec)(b) << (32 - 8 * (n))))
APQ_INLINE ivec i_words(const uint8_t *quad) {
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++) {
        bytes[i] = quad[i % 4 * 4 + i / 4];
    }
    ivec words;
    memcpy(&words, bytes, sizeof words);
    return words;
}
APQ_INLINE uint8_t to_byte(int32_t a) {
    return (uint8_t)(a < 0 ? 0 : (a > 255 ? 255 : a));
}
APQ_INLINE void quad_store(uint8_t *p, ivec a, ivec b, ivec c, ivec d) {
    for (int i = 0; i < (int)VL; i++) {
        p[i] = to_byte(a[i]);
        p[4 + i] = to_byte(b[i]);
        p[8 + i] = to_byte(c[i]);
        p[12 + i] = to_byte(d[i]);
    }
}
APQ_INLINE fvec f_load(const float *p) {
    fvec a;
    memcpy(&a, p, sizeof a);
    return a;
}
APQ_INLINE void f_store(float *p, fvec a) {
    memcpy(p, &a, sizeof a);
}
APQ_INLINE fvec f_set(float a) {
    return (fvec){a, a, a, a};
}
APQ_INLINE fvec f_add(fvec a, fvec b) {
    return a + b;
}
APQ_INLINE fvec f_mul(fvec a, fvec b) {
    return a * b;
}
APQ_INLINE fvec f_select(ivec m, fvec a, fvec b) {
    return (fvec)((m & (ivec)a) | (~m & (ivec)b));
}
APQ_INLINE fvec f_min(fvec a, fvec b) {
    return f_select(a < b, a, b);
}
APQ_INLINE fvec f_max(fvec a, fvec b) {
    return f_select(a > b, a, b);
}
APQ_INLINE fvec f_from(ivec a) {
    return __builtin_convertvector(a, fvec);
}
/* Adding 1.5 * 2^23 leaves no fraction bits; a < 2^22, and whatever is below
 * -512 is as good as that. */
APQ_INLINE ivec f_round(fvec a) {
    fvec shift = f_set(12582912.0F);
    a = f_max(a, f_set(-512.0F));
    return __builtin_convertvector((a + shift) - shift, ivec);
}

#endif

#endif
