/* Philox streams keyed by seed and purpose, counted by index and position. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

apq_rng apq_rng_make(uint64_t seed, apq_rng_purpose purpose, uint64_t index) {
    return (apq_rng){
        .key = {(uint32_t)seed,
                (uint32_t)(seed >> 32) ^ ((uint32_t)purpose << 24)},
        .counter = {0, (uint32_t)purpose, (uint32_t)index,
                    (uint32_t)(index >> 32)},
    };
}

/* Several counters at once: their rounds then overlap. */
static void refill(apq_rng *rng) {
    enum { N = APQ_RNG_BLOCK / 4 };
    philox4x32_ctr_t counter;
    philox4x32_key_t key;
    memcpy(counter.v, rng->counter, sizeof rng->counter);
    memcpy(key.v, rng->key, sizeof rng->key);
    for (unsigned i = 0; i < N; i++) {
        philox4x32_ctr_t at = counter;
        at.v[0] += i;
        philox4x32_ctr_t out = philox4x32(at, key);
        memcpy(rng->block + 4 * (size_t)i, out.v, sizeof out.v);
    }
    rng->counter[0] += N;
    rng->left = APQ_RNG_BLOCK;
}

static inline uint32_t next(apq_rng *rng) {
    if (rng->left == 0) {
        refill(rng);
    }
    return rng->block[APQ_RNG_BLOCK - rng->left--];
}

uint32_t apq_rng_u32(apq_rng *rng) {
    return next(rng);
}

uint32_t apq_rng_below(apq_rng *rng, uint32_t n) {
    for (;;) {
        uint32_t x = next(rng);
        /* Refused below 2^32 mod n, which is below n: mostly not computed. */
        if (x >= n || x >= (uint32_t)(-n) % n) {
            return (n & (n - 1)) == 0 ? x & (n - 1) : x % n;
        }
    }
}

bool apq_rng_chance(apq_rng *rng, double p) {
    return next(rng) < p * 0x1p32;
}

double apq_rng_uniform(apq_rng *rng) {
    uint64_t high = next(rng) >> 5;
    uint64_t low = next(rng) >> 6;
    return (double)((high << 26) | low) * 0x1p-53;
}

double apq_rng_normal(apq_rng *rng) {
    double u = 1.0 - apq_rng_uniform(rng);
    double v = apq_rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void apq_rng_shuffle(apq_rng *rng, uint32_t *values, size_t n) {
    for (size_t i = n; i > 1; i--) {
        size_t j = apq_rng_below(rng, (uint32_t)i);
        uint32_t t = values[i - 1];
        values[i - 1] = values[j];
        values[j] = t;
    }
}
