#ifndef APQ_DEPLOY_INT_VEC_H
#define APQ_DEPLOY_INT_VEC_H

/* Vectors of 32-bit words and of floats, by the flags this file is compiled
 * with. Included only by the int_tiles_<isa>.c files.
 *   i_dot(a,b,c)   c + sum of the four products of u8 a with s8 b; exact
 *   i_window(a,b,n) words of the last 4 - n bytes of a and the first n of b
 *   i_words(quad)  a quad (lanes/4, 4 pixels, 4 channels) of codes as words of
 *                  four pixels, a channel a lane
 *   bvec           the bytes of a quad
 *   b_unsigned, b_signed  of four vectors of codes, clamped to 0..255 and, each
 *                  stored plus 128, to -128..127
 *   b_min          of unsigned bytes
 *   b_add          sums of bytes stored plus 128, clamped, stored so
 *   f_round        |a| < 2^31 to integers, half to even; beyond 512 any number
 *                  beyond 512 of that sign
 *   b_lookup       the bytes of a table of 256 */

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
typedef __m512i bvec;
APQ_INLINE bvec b_load(const uint8_t *p) {
    return _mm512_loadu_si512(p);
}
APQ_INLINE void b_store(uint8_t *p, bvec a) {
    _mm512_storeu_si512(p, a);
}
APQ_INLINE bvec b_set(int a) {
    return _mm512_set1_epi8((char)a);
}
APQ_INLINE bvec b_min(bvec a, bvec b) {
    return _mm512_min_epu8(a, b);
}
APQ_INLINE bvec b_unsigned(ivec a, ivec b, ivec c, ivec d) {
    __m512i low = _mm512_packs_epi32((__m512i)a, (__m512i)b);
    __m512i high = _mm512_packs_epi32((__m512i)c, (__m512i)d);
    return _mm512_packus_epi16(low, high);
}
APQ_INLINE bvec b_signed(ivec a, ivec b, ivec c, ivec d) {
    __m512i low = _mm512_packs_epi32((__m512i)a, (__m512i)b);
    __m512i high = _mm512_packs_epi32((__m512i)c, (__m512i)d);
    return _mm512_xor_si512(_mm512_packs_epi16(low, high), b_set(-128));
}
APQ_INLINE bvec b_add(bvec a, bvec b) {
    const __m512i zero = b_set(-128);
    __m512i sum =
        _mm512_adds_epi8(_mm512_xor_si512(a, zero), _mm512_xor_si512(b, zero));
    return _mm512_xor_si512(sum, zero);
}
#define HAS_LOOKUP
APQ_INLINE bvec b_lookup(const uint8_t *table, bvec a) {
    __m512i low =
        _mm512_permutex2var_epi8(b_load(table), a, b_load(table + 64));
    __m512i high =
        _mm512_permutex2var_epi8(b_load(table + 128), a, b_load(table + 192));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(a), low, high);
}
APQ_INLINE fvec f_load(const float *p) {
    return _mm512_loadu_ps(p);
}
APQ_INLINE fvec f_mul(fvec a, fvec b) {
    return _mm512_mul_ps(a, b);
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
typedef __m256i bvec;
APQ_INLINE bvec b_load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
APQ_INLINE void b_store(uint8_t *p, bvec a) {
    _mm256_storeu_si256((__m256i *)p, a);
}
APQ_INLINE bvec b_set(int a) {
    return _mm256_set1_epi8((char)a);
}
APQ_INLINE bvec b_min(bvec a, bvec b) {
    return _mm256_min_epu8(a, b);
}
APQ_INLINE bvec b_unsigned(ivec a, ivec b, ivec c, ivec d) {
    __m256i low = _mm256_packs_epi32((__m256i)a, (__m256i)b);
    __m256i high = _mm256_packs_epi32((__m256i)c, (__m256i)d);
    return _mm256_packus_epi16(low, high);
}
APQ_INLINE bvec b_signed(ivec a, ivec b, ivec c, ivec d) {
    __m256i low = _mm256_packs_epi32((__m256i)a, (__m256i)b);
    __m256i high = _mm256_packs_epi32((__m256i)c, (__m256i)d);
    return _mm256_xor_si256(_mm256_packs_epi16(low, high), b_set(-128));
}
APQ_INLINE bvec b_add(bvec a, bvec b) {
    const __m256i zero = b_set(-128);
    __m256i sum =
        _mm256_adds_epi8(_mm256_xor_si256(a, zero), _mm256_xor_si256(b, zero));
    return _mm256_xor_si256(sum, zero);
}
APQ_INLINE fvec f_load(const float *p) {
    return _mm256_loadu_ps(p);
}
APQ_INLINE fvec f_mul(fvec a, fvec b) {
    return _mm256_mul_ps(a, b);
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
typedef uint8_t bvec __attribute__((vector_size(16)));
APQ_INLINE bvec b_load(const uint8_t *p) {
    bvec a;
    memcpy(&a, p, sizeof a);
    return a;
}
APQ_INLINE void b_store(uint8_t *p, bvec a) {
    memcpy(p, &a, sizeof a);
}
APQ_INLINE bvec b_set(int a) {
    return (uint8_t)a + (bvec){0};
}
APQ_INLINE bvec b_min(bvec a, bvec b) {
    bvec is_less = (bvec)(a < b);
    return (a & is_less) | (b & ~is_less);
}
APQ_INLINE uint8_t to_byte(int32_t a) {
    return (uint8_t)(a < 0 ? 0 : (a > 255 ? 255 : a));
}
APQ_INLINE bvec b_unsigned(ivec a, ivec b, ivec c, ivec d) {
    bvec bytes;
    for (int i = 0; i < (int)VL; i++) {
        bytes[i] = to_byte(a[i]);
        bytes[4 + i] = to_byte(b[i]);
        bytes[8 + i] = to_byte(c[i]);
        bytes[12 + i] = to_byte(d[i]);
    }
    return bytes;
}
APQ_INLINE bvec b_signed(ivec a, ivec b, ivec c, ivec d) {
    return b_unsigned(a + 128, b + 128, c + 128, d + 128);
}
APQ_INLINE bvec b_add(bvec a, bvec b) {
    bvec sum;
    for (int i = 0; i < 16; i++) {
        sum[i] = to_byte(a[i] + b[i] - 128);
    }
    return sum;
}
APQ_INLINE fvec f_load(const float *p) {
    fvec a;
    memcpy(&a, p, sizeof a);
    return a;
}
APQ_INLINE fvec f_mul(fvec a, fvec b) {
    return a * b;
}
APQ_INLINE fvec f_from(ivec a) {
    return __builtin_convertvector(a, fvec);
}
APQ_INLINE fvec f_select(ivec m, fvec a, fvec b) {
    return (fvec)((m & (ivec)a) | (~m & (ivec)b));
}
/* Adding 1.5 * 2^23 leaves no fraction bits of what is below 2^22. */
APQ_INLINE ivec f_round(fvec a) {
    const float far = 600.0F, shift = 12582912.0F;
    const fvec low = {-far, -far, -far, -far}, high = -low;
    a = f_select(a > low, a, low);
    a = f_select(a < high, a, high);
    return __builtin_convertvector((a + shift) - shift, ivec);
}

#endif

#endif
