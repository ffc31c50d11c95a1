/* The list of backends, the thread count, and the product rate that peak
 * fractions are measured against. */
#include "backend/backend.h"

#include "base/log.h"
#include "base/memory.h"
#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

static const apq_backend *const k_backends[] = {
    &apq_backend_ref,
    &apq_backend_cpu,
    NULL,
};

const apq_backend *const *apq_backend_list(void) {
    return k_backends;
}

apq_status apq_backend_find(const char *name, const apq_backend **out) {
    /* The list is ordered from slow to fast. */
    const apq_backend *found = NULL;
    bool is_auto = strcmp(name, "auto") == 0;
    for (size_t i = 0; k_backends[i] != NULL; i++) {
        if (is_auto ? k_backends[i]->is_available()
                    : strcmp(name, k_backends[i]->name) == 0) {
            found = k_backends[i];
        }
    }
    if (found == NULL) {
        APQ_FAIL(APQ_ERR_ARG,
                 "unknown backend \"%s\" (legal: \"ref\", \"cpu\", \"auto\")",
                 name);
    }
    if (!found->is_available()) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "backend \"%s\" cannot run here", name);
    }
    *out = found;
    return APQ_OK;
}

void apq_backend_set_threads(int n_threads) {
    omp_set_num_threads(n_threads > 0 ? n_threads : omp_get_num_procs());
}

int apq_backend_threads(void) {
    return omp_get_max_threads();
}

double apq_backend_gemm_peak(const apq_backend *backend, double seconds) {
    enum { SIDE = 1024 };
    float *data = apq_calloc(3 * (size_t)SIDE * SIDE, sizeof(*data));
    if (data == NULL) {
        return 0.0;
    }
    apq_gemm_args args = {
        .m = SIDE,
        .n = SIDE,
        .k = SIDE,
        .a = data,
        .lda = SIDE,
        .b = data + (size_t)SIDE * SIDE,
        .ldb = SIDE,
        .c = data + 2 * (size_t)SIDE * SIDE,
        .ldc = SIDE,
    };
    double best = 0.0;
    double start = apq_now_s();
    double now = start;
    do {
        double before = now;
        if (backend->gemm(&args) != APQ_OK) {
            break;
        }
        now = apq_now_s();
        double rate = 2.0 * SIDE * SIDE * SIDE / (now - before);
        best = rate > best ? rate : best;
    } while (now - start < seconds);
    free(data);
    return best;
}
