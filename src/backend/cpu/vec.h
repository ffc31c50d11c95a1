#ifndef APQ_BACKEND_CPU_VEC_H
#define APQ_BACKEND_CPU_VEC_H

/* One float vector type per instruction set, chosen by the flags this file is
 * compiled with. Included only by the kernels_<isa>.c files.
 *   VL            lanes
 *   v_load_n(p,n) the first n lanes, 1 <= n <= VL, the others zero
 *   v_fma(a,b,c)  a * b + c
 *   v_min, v_max  the second operand where either is NaN
 *   v_and_*       lane kept where the comparison holds, else zero */

#if defined(__AVX512F__)

#include <immintrin.h>

enum { VL = 16 };
typedef __m512 vec;
typedef __mmask16 vmask;

static inline vec v_zero(void) {
    return _mm512_setzero_ps();
}
static inline vec v_set(float a) {
    return _mm512_set1_ps(a);
}
static inline vec v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline void v_store(float *p, vec a) {
    _mm512_storeu_ps(p, a);
}
static inline __mmask16 v_lanes(int n) {
    return (__mmask16)((1U << n) - 1U);
}
static inline vec v_load_n(const float *p, int n) {
    return _mm512_maskz_loadu_ps(v_lanes(n), p);
}
static inline void v_store_n(float *p, int n, vec a) {
    _mm512_mask_storeu_ps(p, v_lanes(n), a);
}
static inline vec v_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vec v_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}
static inline vec v_sub(vec a, vec b) {
    return _mm512_sub_ps(a, b);
}
static inline vec v_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}
static inline vec v_div(vec a, vec b) {
    return _mm512_div_ps(a, b);
}
static inline vec v_min(vec a, vec b) {
    return _mm512_min_ps(a, b);
}
static inline vec v_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}
/* Half to even; a >= 0. */
static inline vec v_round(vec a) {
/* A macro where gcc does not optimise; its mask of all ones changes sign. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
    return _mm512_roundscale_ps(a, 0x08);
#pragma GCC diagnostic pop
}
/* a where lo < v < hi. */
static inline vec v_and_between(vec a, vec v, vec lo, vec hi) {
    vmask above = _mm512_cmp_ps_mask(v, lo, _CMP_GT_OQ);
    return _mm512_maskz_mov_ps(
        _mm512_mask_cmp_ps_mask(above, v, hi, _CMP_LT_OQ), a);
}
/* a where v >= bound. */
static inline vec v_and_ge(vec a, vec v, vec bound) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, bound, _CMP_GE_OQ), a);
}

#elif defined(__AVX2__)

#include <immintrin.h>

enum { VL = 8 };
typedef __m256 vec;

static inline vec v_zero(void) {
    return _mm256_setzero_ps();
}
static inline vec v_set(float a) {
    return _mm256_set1_ps(a);
}
static inline vec v_load(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline void v_store(float *p, vec a) {
    _mm256_storeu_ps(p, a);
}
static inline __m256i v_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec v_load_n(const float *p, int n) {
    return _mm256_maskload_ps(p, v_lanes(n));
}
static inline void v_store_n(float *p, int n, vec a) {
    _mm256_maskstore_ps(p, v_lanes(n), a);
}
static inline vec v_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vec v_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}
static inline vec v_sub(vec a, vec b) {
    return _mm256_sub_ps(a, b);
}
static inline vec v_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}
static inline vec v_div(vec a, vec b) {
    return _mm256_div_ps(a, b);
}
static inline vec v_min(vec a, vec b) {
    return _mm256_min_ps(a, b);
}
static inline vec v_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}
static inline vec v_round(vec a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec v_and_between(vec a, vec v, vec lo, vec hi) {
    __m256 above = _mm256_cmp_ps(v, lo, _CMP_GT_OQ);
    __m256 below = _mm256_cmp_ps(v, hi, _CMP_LT_OQ);
    return _mm256_and_ps(a, _mm256_and_ps(above, below));
}
static inline vec v_and_ge(vec a, vec v, vec bound) {
    return _mm256_and_ps(a, _mm256_cmp_ps(v, bound, _CMP_GE_OQ));
}

#else

#include <stdint.h>
#include <string.h>

/* GCC and clang vector extensions: any processor. */
enum { VL = 4 };
typedef float vec __attribute__((vector_size(16)));
typedef int32_t vmask __attribute__((vector_size(16)));

static inline vec v_set(float a) {
    return (vec){a, a, a, a};
}
static inline vec v_zero(void) {
    return v_set(0.0F);
}
static inline vec v_load(const float *p) {
    vec a;
    memcpy(&a, p, sizeof(a));
    return a;
}
static inline void v_store(float *p, vec a) {
    memcpy(p, &a, sizeof(a));
}
static inline vec v_load_n(const float *p, int n) {
    vec a = v_zero();
    for (int i = 0; i < n; i++) {
        a[i] = p[i];
    }
    return a;
}
static inline void v_store_n(float *p, int n, vec a) {
    for (int i = 0; i < n; i++) {
        p[i] = a[i];
    }
}
static inline vec v_fma(vec a, vec b, vec c) {
    return a * b + c;
}
static inline vec v_add(vec a, vec b) {
    return a + b;
}
static inline vec v_sub(vec a, vec b) {
    return a - b;
}
static inline vec v_mul(vec a, vec b) {
    return a * b;
}
static inline vec v_div(vec a, vec b) {
    return a / b;
}
static inline vec v_select(vmask m, vec a, vec b) {
    return (vec)((m & (vmask)a) | (~m & (vmask)b));
}
static inline vec v_min(vec a, vec b) {
    return v_select(a < b, a, b);
}
static inline vec v_max(vec a, vec b) {
    return v_select(a > b, a, b);
}
/* Adding 2^23 leaves no fraction bits; larger values are integers already. */
static inline vec v_round(vec a) {
    vec magic = v_set(8388608.0F);
    return v_select(a < magic, (a + magic) - magic, a);
}
static inline vec v_and_between(vec a, vec v, vec lo, vec hi) {
    return (vec)((v > lo) & (v < hi) & (vmask)a);
}
static inline vec v_and_ge(vec a, vec v, vec bound) {
    return (vec)((v >= bound) & (vmask)a);
}

#endif

static inline float v_sum(vec a) {
    float lane[VL];
    v_store(lane, a);
    float sum = 0.0F;
    for (int i = 0; i < (int)VL; i++) {
        sum += lane[i];
    }
    return sum;
}

#define APQ_INLINE static inline __attribute__((always_inline))

#endif
