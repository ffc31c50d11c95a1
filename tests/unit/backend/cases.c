/* Buffers with guards, random data and the list of backends under test. */
#include "unit/backend/cases.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

bool variant_use(const variant *v) {
    return apq_backend_limit_isa(v->isa) == APQ_OK;
}

int variants_all(variant *out, int capacity) {
    static const char *const k_isas[] = {NULL, "portable", "avx2", "avx512",
                                         "avx512bf16"};
    int n = 0;
    for (int i = 0; apq_backend_list()[i] != NULL; i++) {
        const apq_backend *backend = apq_backend_list()[i];
        if (strcmp(backend->name, "ref") == 0 || !backend->is_available()) {
            continue;
        }
        int n_isas = strcmp(backend->name, "cpu") == 0 ? 5 : 1;
        for (int j = 0; j < n_isas && n < capacity; j++) {
            variant v = {.backend = backend, .isa = k_isas[j]};
            if (variant_use(&v)) {
                out[n++] = v;
            }
        }
    }
    if (apq_backend_limit_isa(NULL) != APQ_OK) {
        abort();
    }
    return n;
}

const apq_backend *reference(void) {
    const apq_backend *ref = NULL;
    assert_int_equal(apq_backend_find("ref", &ref), APQ_OK);
    return ref;
}

void for_variants(void (*check)(const variant *v)) {
    variant list[16];
    int n = variants_all(list, 16);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++) {
        assert_true(variant_use(&list[i]));
        check(&list[i]);
    }
    assert_int_equal(apq_backend_limit_isa(NULL), APQ_OK);
}

apq_arena *case_arena(void) {
    static apq_arena *arena;
    if (arena == NULL && apq_arena_create(&arena) != APQ_OK) {
        abort();
    }
    apq_arena_reset(arena);
    return arena;
}

float *guarded_new(int64_t n) {
    float *p = apq_calloc((size_t)n + 2 * GUARD, sizeof(*p));
    if (p == NULL) {
        abort();
    }
    for (int64_t i = 0; i < n + 2 * GUARD; i++) {
        p[i] = NAN;
    }
    return p + GUARD;
}

float *guarded_random(int64_t n, uint64_t stream) {
    float *p = guarded_new(n);
    apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, stream);
    for (int64_t i = 0; i < n; i++) {
        p[i] = (float)(2.0 * apq_rng_uniform(&rng) - 1.0);
    }
    return p;
}

float *guarded_copy(const float *src, int64_t n) {
    float *p = guarded_new(n);
    memcpy(p, src, (size_t)n * sizeof(*p));
    return p;
}

void guarded_free(float *p) {
    free(p - GUARD);
}

bool guarded_intact(const float *p, int64_t n) {
    for (int i = 0; i < GUARD; i++) {
        if (!isnan(p[i - GUARD]) || !isnan(p[n + i])) {
            return false;
        }
    }
    return true;
}

int64_t first_difference(const float *a, const float *b, int64_t n,
                         double tol) {
    for (int64_t i = 0; i < n; i++) {
        double want = (double)b[i];
        if (!(fabs((double)a[i] - want) <= tol * (1.0 + fabs(want)))) {
            return i;
        }
    }
    return -1;
}

void expect_equal(const variant *v, const char *what, const float *got,
                  const float *want, int64_t n, double tol) {
    int64_t i = first_difference(got, want, n, tol);
    if (i >= 0) {
        fail_msg("%s %s: %s[%lld] is %.9g, want %.9g", v->backend->name,
                 v->isa != NULL ? v->isa : "auto", what, (long long)i,
                 (double)got[i], (double)want[i]);
    }
    assert_true(guarded_intact(got, n));
}
