/* `apq bench infer`: images per second of one deployed network by our integer
 * and float evaluations and, where its library is named, by ONNX Runtime. All
 * take turns in slices of time, so that a busy minute is everybody's. */
#include "app/app.h"

#include "app/json.h"
#include "app/machine.h"
#include "app/network.h"
#include "base/file.h"
#include "base/sort.h"
#include "deploy/int_infer.h"
#include "export/onnx.h"
#include "export/ort.h"
#include "nn/infer.h"
#include "store/rundir.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_BATCH = 64, ROUNDS = 21, MAX_CONTENDERS = 4, NAME_MAX_BYTES = 64 };
static const double WARM_SECONDS = 0.01, SLICE_SECONDS = 0.05;
static const double PEAK_SECONDS = 0.5;

typedef enum infer_type { INT8, FLOAT32, N_TYPES } infer_type;
static const char *const k_types[N_TYPES] = {"int8", "float32"};

/* One way to run the network; of the three one is not NULL. */
typedef struct contender {
    infer_type type;
    apq_int_infer *integers;
    apq_infer *floats;
    apq_ort_session *session;
    float *logits;        /* (LARGE_BATCH, n_classes) */
    double rates[ROUNDS]; /* images/s of each slice */
} contender;

typedef struct bench {
    const apq_progress *progress;
    const char *dtype; /* NULL: all */
    apq_network *network;
    apq_int_model *model;
    apq_ort *ort; /* NULL: not asked for */
    char runtime[NAME_MAX_BYTES];
    char *files[N_TYPES]; /* ONNX */
    size_t n_file[N_TYPES];
    float *hwc, *chw; /* LARGE_BATCH images */
    double macs;
    contender contenders[MAX_CONTENDERS];
    int n_contenders;
    double peaks[N_TYPES]; /* operations a second */
    int n_done, n_cases;
    json_t *results;
} bench;

static bool is_wanted(const bench *b, infer_type type) {
    return b->dtype == NULL || strcmp(b->dtype, k_types[type]) == 0;
}

/* -------------------------------------------------------------- contenders */

static apq_status add_own(bench *b, infer_type type, contender *c) {
    apq_nn_net *net = &b->network->net;
    c->type = type;
    APQ_TRY(type == INT8 ? apq_int_infer_create(b->model, &c->integers)
                         : apq_nn_infer_create(net, false, &c->floats));
    if (c->integers == NULL && c->floats == NULL) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "bench infer: no fused %s evaluation of this network",
                 k_types[type]);
    }
    return APQ_OK;
}

static apq_status add_runtime(bench *b, infer_type type, int n_threads,
                              contender *c) {
    c->type = type;
    return apq_ort_session_create(b->ort, b->files[type], b->n_file[type],
                                  APQ_ORT_ALL, n_threads, &c->session);
}

static apq_status open_contenders(bench *b, int n_threads) {
    size_t n_logits = (size_t)(LARGE_BATCH * b->model->n_classes);
    for (int type = 0; type < N_TYPES; type++) {
        if (!is_wanted(b, type)) {
            continue;
        }
        APQ_TRY(add_own(b, type, &b->contenders[b->n_contenders++]));
        if (b->ort != NULL) {
            APQ_TRY(add_runtime(b, type, n_threads,
                                &b->contenders[b->n_contenders++]));
        }
    }
    for (int i = 0; i < b->n_contenders; i++) {
        float *logits = apq_calloc(n_logits, sizeof *logits);
        if (logits == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "bench infer: out of memory");
        }
        b->contenders[i].logits = logits;
    }
    return APQ_OK;
}

static void close_contenders(bench *b) {
    for (int i = 0; i < b->n_contenders; i++) {
        contender *c = &b->contenders[i];
        apq_int_infer_destroy(c->integers);
        if (c->floats != NULL) {
            b->network->net.backend->infer->destroy(c->floats);
        }
        apq_ort_session_destroy(c->session);
        free(c->logits);
        *c = (contender){.logits = NULL};
    }
    b->n_contenders = 0;
}

/* -------------------------------------------------------------------- time */

static apq_status run_batch(const bench *b, const contender *c, int batch) {
    const apq_int_model *m = b->model;
    if (c->session != NULL) {
        const int64_t dims[] = {batch, m->image_channels, m->resolution,
                                m->resolution};
        size_t n = (size_t)(batch * m->n_classes);
        return apq_ort_run(c->session, b->chw, dims,
                           &(apq_ort_output){"logits", c->logits, n}, 1);
    }
    if (c->integers != NULL) {
        apq_int_infer_run(c->integers, b->hwc, batch, c->logits);
    } else {
        b->network->net.backend->infer->run(c->floats, b->hwc, batch,
                                            c->logits);
    }
    return APQ_OK;
}

/* Batches for that long, one at least -> images a second. */
static apq_status run_for(const bench *b, const contender *c, int batch,
                          double seconds, double *rate) {
    double start = apq_now_s(), elapsed;
    int n = 0;
    do {
        APQ_TRY(run_batch(b, c, batch));
        n++;
        elapsed = apq_now_s() - start;
    } while (elapsed < seconds);
    *rate = n * batch / elapsed;
    return APQ_OK;
}

/* A slice begins with what is not timed: caches are the other's, and its
 * threads may still spin. */
static apq_status time_slice(const bench *b, contender *c, int batch,
                             int round) {
    double warm;
    APQ_TRY(run_for(b, c, batch, WARM_SECONDS, &warm));
    return run_for(b, c, batch, SLICE_SECONDS, &c->rates[round]);
}

static apq_status time_case(bench *b, int batch) {
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < b->n_contenders; i++) {
            APQ_TRY(time_slice(b, &b->contenders[i], batch, round));
        }
        apq_progress_update(b->progress, "bench", (uint64_t)++b->n_done,
                            (uint64_t)b->n_cases * ROUNDS, "");
        if (apq_stop_requested(b->progress)) {
            APQ_FAIL(APQ_ERR_INTERRUPTED, "interrupted");
        }
    }
    for (int i = 0; i < b->n_contenders; i++) {
        apq_sort_doubles(b->contenders[i].rates, ROUNDS);
    }
    return APQ_OK;
}

/* -------------------------------------------------------------------- rows */

static double median(const contender *c) {
    return c->rates[ROUNDS / 2];
}

/* Images a second of ONNX Runtime with the same numbers; NaN: it is not there.
 */
static double runtime_rate(const bench *b, infer_type type) {
    for (int i = 0; i < b->n_contenders; i++) {
        const contender *c = &b->contenders[i];
        if (c->type == type && c->session != NULL) {
            return median(c);
        }
    }
    return (double)NAN;
}

/* The largest difference of a logit of the last batch, in parts of the range of
 * ours: whether both ran the same network. */
static double worst_difference(const bench *b, const contender *own,
                               const contender *other, int batch) {
    double low = (double)INFINITY, high = -low, worst = 0;
    for (int i = 0; i < batch * b->model->n_classes; i++) {
        double logit = (double)own->logits[i];
        double d = fabs(logit - (double)other->logits[i]);
        low = fmin(low, logit);
        high = fmax(high, logit);
        worst = d >= 0 ? fmax(worst, d) : (double)INFINITY; /* not a number */
    }
    return high > low ? worst / (high - low) : worst;
}

static apq_status add_rows(bench *b, int n_threads, int batch) {
    for (int i = 0; i < b->n_contenders; i++) {
        const contender *c = &b->contenders[i];
        double rate = median(c);
        json_t *row = json_pack(
            "{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:o, s:o, s:i}", "network",
            b->network->space.name, "runtime",
            c->session != NULL ? b->runtime : "apq", "dtype", k_types[c->type],
            "threads", n_threads, "batch", batch, "images_per_s", rate,
            "spread",
            (c->rates[ROUNDS * 9 / 10] - c->rates[ROUNDS / 10]) / rate,
            "peak_fraction",
            apq_json_number(2 * b->macs * rate / b->peaks[c->type]), "ratio",
            apq_json_number(rate / runtime_rate(b, c->type)), "slices",
            (int)ROUNDS);
        /* Ours stands before the runtime's. */
        if (row != NULL && c->session != NULL && c->type == INT8) {
            (void)json_object_set_new(
                row, "worst",
                apq_json_number(worst_difference(b, c - 1, c, batch)));
        }
        if (json_array_append_new(b->results, row) != 0) {
            APQ_FAIL(APQ_ERR_NOMEM, "bench infer: out of memory");
        }
    }
    return APQ_OK;
}

static apq_status run_threads(bench *b, int n_threads) {
    static const int batches[] = {1, LARGE_BATCH};
    apq_machine_set_threads(n_threads);
    b->peaks[INT8] = apq_int_infer_peak(PEAK_SECONDS);
    b->peaks[FLOAT32] =
        apq_backend_gemm_peak(b->network->net.backend, PEAK_SECONDS);
    apq_status st = open_contenders(b, n_threads);
    for (size_t i = 0; st == APQ_OK && i < 2; i++) {
        st = time_case(b, batches[i]);
        if (st == APQ_OK) {
            st = add_rows(b, n_threads, batches[i]);
        }
    }
    close_contenders(b);
    return st;
}

/* One thread, then all that were asked for. */
static apq_status run_cases(bench *b) {
    int n_all = apq_backend_threads();
    b->n_cases = n_all > 1 ? 4 : 2;
    APQ_TRY(run_threads(b, 1));
    return n_all > 1 ? run_threads(b, n_all) : APQ_OK;
}

/* ----------------------------------------------------------------- opening */

static apq_status make_images(bench *b) {
    const apq_int_model *m = b->model;
    size_t n = (size_t)LARGE_BATCH * (size_t)m->resolution *
               (size_t)m->resolution * (size_t)m->image_channels;
    b->hwc = apq_calloc(n, sizeof *b->hwc);
    b->chw = apq_calloc(n, sizeof *b->chw);
    if (b->hwc == NULL || b->chw == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "bench infer: out of memory");
    }
    apq_rng rng = apq_rng_make(1, APQ_RNG_POLICY, 1);
    size_t channels = (size_t)m->image_channels;
    size_t pixels = n / LARGE_BATCH / channels;
    for (size_t i = 0; i < n; i++) {
        size_t image = i / (pixels * channels), channel = i % channels;
        size_t pixel = i / channels % pixels;
        b->hwc[i] = (float)apq_rng_normal(&rng);
        b->chw[(image * channels + channel) * pixels + pixel] = b->hwc[i];
    }
    return APQ_OK;
}

static apq_status open_runtime(bench *b, const char *library) {
    static const apq_onnx_flavour flavours[N_TYPES] = {APQ_ONNX_QDQ,
                                                       APQ_ONNX_FLOAT};
    APQ_TRY(apq_ort_open(library, &b->ort));
    (void)snprintf(b->runtime, sizeof b->runtime, "ONNX Runtime %s",
                   apq_ort_version(b->ort));
    for (int type = 0; type < N_TYPES; type++) {
        APQ_TRY(apq_onnx_bytes(b->model,
                               &(apq_onnx_options){.flavour = flavours[type]},
                               &b->files[type], &b->n_file[type]));
    }
    return APQ_OK;
}

static apq_status open_bench(bench *b, const char *path,
                             const apq_bench_infer_request *request) {
    APQ_TRY(apq_network_open(path, request->space, &b->network));
    apq_ir_network ir;
    APQ_TRY(apq_policy_lower(&b->network->space, &b->network->policy, &ir));
    for (size_t i = 0; i < ir.n_layers; i++) {
        b->macs += (double)apq_ir_layer_macs(&ir.layers[i]);
    }
    APQ_TRY(apq_network_integers(b->network, path, &b->model));
    b->network->net.is_quantised = false; /* from here on the float one */
    APQ_TRY(make_images(b));
    return request->runtime == NULL ? APQ_OK
                                    : open_runtime(b, request->runtime);
}

static void close_bench(bench *b) {
    close_contenders(b);
    apq_ort_close(b->ort);
    for (int type = 0; type < N_TYPES; type++) {
        free(b->files[type]);
    }
    free(b->hwc);
    free(b->chw);
    apq_int_model_destroy(b->model);
    apq_network_destroy(b->network);
    json_decref(b->results);
}

static apq_status write_document(const bench *b, const char *path,
                                 char **json) {
    apq_machine machine;
    apq_machine_probe(&machine);
    char *text = apq_machine_to_json(&machine);
    json_t *root =
        json_pack("{s:o?, s:s, s:s?, s:f, s:O}", "machine",
                  text == NULL ? NULL : json_loads(text, 0, NULL), "model",
                  path, "runtime", b->ort != NULL ? b->runtime : NULL, "m_macs",
                  b->macs * 1e-6, "results", b->results);
    free(text);
    *json = root == NULL
                ? NULL
                : json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(root);
    if (*json == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "bench infer: out of memory");
    }
    return APQ_OK;
}

/* The network that is not named: the run's, else the shipped one. */
static apq_status find_model(const apq_recipe *recipe,
                             const apq_bench_infer_request *request,
                             char out[APQ_PATH_MAX]) {
    if (request->model != NULL) {
        int n = snprintf(out, APQ_PATH_MAX, "%s", request->model);
        if (n < 0 || n >= APQ_PATH_MAX) {
            APQ_FAIL(APQ_ERR_ARG, "%s: path too long", request->model);
        }
        return APQ_OK;
    }
    if (request->run_dir != NULL) {
        return apq_rundir_need(request->run_dir, "network.safetensors", out);
    }
    return apq_app_shipped_network(recipe->space, out);
}

apq_status apq_app_bench_infer(const apq_recipe *recipe,
                               const apq_bench_infer_request *request,
                               const apq_progress *progress, char **json) {
    char path[APQ_PATH_MAX];
    APQ_TRY(find_model(recipe, request, path));
    bench b = {
        .progress = progress, .dtype = request->dtype, .results = json_array()};
    apq_status st = open_bench(&b, path, request);
    if (st == APQ_OK) {
        st = run_cases(&b);
    }
    if (st == APQ_OK) {
        st = write_document(&b, path, json);
    }
    close_bench(&b);
    return st;
}
