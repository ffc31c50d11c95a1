#ifndef APQ_TESTS_BACKEND_CASES_H
#define APQ_TESTS_BACKEND_CASES_H

#include "backend/backend.h"

/* A backend restricted to one instruction set; isa NULL: unrestricted. */
typedef struct variant {
    const apq_backend *backend;
    const char *isa;
} variant;

/* Sets the limit; false where this machine lacks the set. */
bool variant_use(const variant *v);

/* Every backend but ref, with every instruction set for `cpu`. Fills at most
 * `capacity` and returns the count. */
int variants_all(variant *out, int capacity);

/* The backend ref, which defines the operators. */
const apq_backend *reference(void);
/* Calls `check` with every variant. */
void for_variants(void (*check)(const variant *v));

/* Workspace for operators, reset by each call; lives as long as the test. */
apq_arena *case_arena(void);

enum { GUARD = 64 };

/* n floats between two guards of GUARD NaN; release with guarded_free(). */
float *guarded_new(int64_t n);
/* Uniform in [-1, 1), the same for the same stream number. */
float *guarded_random(int64_t n, uint64_t stream);
float *guarded_copy(const float *src, int64_t n);
void guarded_free(float *p);
/* Whether both guards are untouched. */
bool guarded_intact(const float *p, int64_t n);

/* Index of the first element with !(|a-b| <= tol * (1 + |b|)), or -1. */
int64_t first_difference(const float *a, const float *b, int64_t n, double tol);
/* Fails where there is one, or a guard of `got` is touched. */
void expect_equal(const variant *v, const char *what, const float *got,
                  const float *want, int64_t n, double tol);

#endif
