#ifndef APQ_BASE_RNG_H
#define APQ_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counter-based random numbers (Philox 4x32-10 of Random123). A stream is
 * named by (seed, purpose, index): the same name gives the same numbers at
 * any thread or rank count, whatever else has been drawn. */
typedef enum apq_rng_purpose {
    APQ_RNG_SPLIT = 1,   /* train/validation split */
    APQ_RNG_SHUFFLE,     /* order of an epoch; index = epoch */
    APQ_RNG_AUGMENT,     /* one image; index = position in the run */
    APQ_RNG_INIT,        /* weights; index = member << 32 | tensor */
    APQ_RNG_SUBNET,      /* sampled sub-networks; index = step */
    APQ_RNG_COLLECT,     /* collected policies; index = record */
    APQ_RNG_PREDICTOR,   /* predictor training; index = member << 32 | epoch */
    APQ_RNG_SEARCH,      /* strategies */
    APQ_RNG_SHAPES,      /* built-in images; index = image */
    APQ_RNG_RECALIBRATE, /* images for batch-norm statistics */
    APQ_RNG_POLICY,      /* policies asked for by number */
    APQ_RNG_TEST,
    APQ_RNG_BOOTSTRAP, /* resampled records; index = replicate */
    APQ_RNG_BITS,      /* bits of sampled sub-networks; index = step */
} apq_rng_purpose;

enum { APQ_RNG_BLOCK = 16 }; /* words made at once */

typedef struct apq_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[APQ_RNG_BLOCK];
    unsigned left; /* unread words of block */
} apq_rng;

apq_rng apq_rng_make(uint64_t seed, apq_rng_purpose purpose, uint64_t index);
uint32_t apq_rng_u32(apq_rng *rng);
/* Uniform integer in [0, n), n >= 1, without modulo bias. */
uint32_t apq_rng_below(apq_rng *rng, uint32_t n);
/* True with probability p in [0, 1], to within 2^-32. */
bool apq_rng_chance(apq_rng *rng, double p);
/* Uniform in [0, 1). */
double apq_rng_uniform(apq_rng *rng);
/* Standard normal (Box-Muller). */
double apq_rng_normal(apq_rng *rng);
/* Fisher-Yates shuffle of n indices. */
void apq_rng_shuffle(apq_rng *rng, uint32_t *values, size_t n);

#endif
