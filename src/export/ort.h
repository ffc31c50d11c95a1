#ifndef APQ_EXPORT_ORT_H
#define APQ_EXPORT_ORT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* ONNX Runtime, loaded when asked for: libonnxruntime.so of its releases or of
 * its Python package. One thread at a time. */
typedef struct apq_ort apq_ort;
typedef struct apq_ort_session apq_ort_session;

/* Optimisations of the graph; where the codes are kept as integers, the
 * default is exact. */
typedef enum apq_ort_level {
    APQ_ORT_PLAIN = 0, /* as the file says, in float */
    APQ_ORT_BASIC = 1,
    APQ_ORT_EXTENDED = 2, /* integer kernels */
    APQ_ORT_ALL = 99,     /* and other layouts; the runtime's default */
} apq_ort_level;

/* Loads the library and tries it with a small model. Errors: EXTERNAL when it
 * cannot be loaded, is no ONNX Runtime, or gives something wrong. */
APQ_NODISCARD apq_status apq_ort_open(const char *library, apq_ort **out);
/* The library stays loaded: it cannot be unloaded safely. NULL is fine. */
void apq_ort_close(apq_ort *ort);
/* E.g. "1.19.2". */
const char *apq_ort_version(const apq_ort *ort);

/* A model in memory, ready to run on n_threads threads. Borrows `ort`. Errors:
 * FORMAT with what the runtime says; NOMEM. */
APQ_NODISCARD apq_status apq_ort_session_create(apq_ort *ort, const char *bytes,
                                                size_t n_bytes,
                                                apq_ort_level level,
                                                int n_threads,
                                                apq_ort_session **out);
void apq_ort_session_destroy(apq_ort_session *session);

/* An output of a run: float32, `n` elements, copied to `values`. */
typedef struct apq_ort_output {
    const char *name;
    float *values;
    size_t n;
} apq_ort_output;

/* image: float32 of dims (N, C, H, W), the input `image`. Errors: EXTERNAL with
 * what the runtime says; FORMAT for an output of another type or size. */
APQ_NODISCARD apq_status apq_ort_run(apq_ort_session *session, float *image,
                                     const int64_t dims[4],
                                     const apq_ort_output *outputs,
                                     size_t n_outputs);

#endif
