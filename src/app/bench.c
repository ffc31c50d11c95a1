/* `apq bench train|eval`: images per second of whole steps on made-up images,
 * and the fraction of the GEMM peak of the same type measured in the same run.
 * Evaluation folds and packs weights once, as apq_evaluate() does; that is
 * not timed. In integers the peak is that of products in registers. */
#include "app/app.h"

#include "app/json.h"
#include "app/machine.h"
#include "app/session.h"
#include "base/sort.h"
#include "deploy/int_infer.h"
#include "nn/infer.h"
#include "nn/loss.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_BATCH = 128, MIN_STEPS = 5, MAX_STEPS = 1000, N_NETWORKS = 3 };
static const double BENCH_SECONDS = 4.0;

typedef struct bench {
    apq_session *session;
    apq_arena *arena;
    float *images, *logits; /* logits: of a fused evaluation */
    int labels[BENCH_BATCH];
    bool is_training;
    double peak_flops, bfloat16_peak_flops, int8_peak_ops;
    uint64_t n_done, n_cases;
} bench;

typedef enum bench_type { FLOAT32, BFLOAT16, INT8 } bench_type;
static const char *const k_types[] = {"float32", "bfloat16", "int8"};

/* One sub-network in one type. */
typedef struct bench_case {
    const char *network;
    const apq_policy *policy;
    bench_type type;
    int bits;             /* of INT8 */
    apq_subnet subnet;    /* evaluation only, as are the next */
    apq_infer *infer;     /* NULL: operator by operator */
    apq_int_infer *fused; /* of INT8 */
} bench_case;

static apq_status train_step(bench *b, const bench_case *c) {
    apq_arena_reset(b->arena);
    apq_params *params = apq_supernet_params(b->session->supernet);
    apq_subnet subnet;
    apq_status st = apq_subnet_bind(b->session->supernet, c->policy,
                                    b->session->backend, b->arena, &subnet);
    float *logits, *dlogits;
    int k = b->session->space.n_classes;
    dlogits =
        apq_arena_alloc(b->arena, (size_t)(BENCH_BATCH * k), sizeof *dlogits);
    if (st == APQ_OK && dlogits == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "bench: out of memory");
    }
    if (st == APQ_OK) {
        subnet.net.precision = c->type == BFLOAT16 ? APQ_BFLOAT16 : APQ_FLOAT32;
        st = apq_nn_forward(&subnet.net, APQ_NN_TRAIN, b->images, BENCH_BATCH,
                            &logits);
    }
    if (st == APQ_OK) {
        apq_params_zero_grad(params);
        (void)apq_loss_labels(logits, b->labels, BENCH_BATCH, k, 0.1, dlogits);
        st = apq_nn_backward(&subnet.net, dlogits);
        if (st == APQ_OK) {
            st = apq_subnet_collect_grads(&subnet);
        }
        apq_params_step(params, 1e-6, 0.9, 0.0);
    }
    apq_subnet_fini(&subnet);
    return st;
}

/* A network calibrated with the images, in integers. */
static apq_status prepare_integers(bench *b, bench_case *c) {
    float *logits;
    apq_nn_net *net = &c->subnet.net;
    APQ_TRY(apq_nn_calibrate(net, b->images, BENCH_BATCH));
    apq_nn_recalibrate_reset(net);
    APQ_TRY(apq_nn_forward(net, APQ_NN_RECALIBRATE, b->images, BENCH_BATCH,
                           &logits));
    apq_int_model *model;
    APQ_TRY(apq_int_model_create(net, &model));
    apq_status st = apq_int_infer_create(model, &c->fused);
    apq_int_model_destroy(model);
    if (st == APQ_OK && c->fused == NULL) {
        st = APQ_ERROR(APQ_ERR_UNSUPPORTED,
                       "bench eval: no fused integer evaluation of this space");
    }
    return st;
}

/* What evaluation does once for all batches. */
static apq_status prepare(bench *b, bench_case *c) {
    apq_arena_reset(b->arena);
    APQ_TRY(apq_subnet_bind(b->session->supernet, c->policy,
                            b->session->backend, b->arena, &c->subnet));
    return c->type == INT8
               ? prepare_integers(b, c)
               : apq_nn_infer_create(&c->subnet.net, c->type == BFLOAT16,
                                     &c->infer);
}

static void release(bench *b, bench_case *c) {
    if (c->infer != NULL) {
        b->session->backend->infer->destroy(c->infer);
    }
    apq_int_infer_destroy(c->fused);
    apq_subnet_fini(&c->subnet);
}

static apq_status one_step(bench *b, bench_case *c) {
    if (b->is_training) {
        return train_step(b, c);
    }
    if (c->fused != NULL) {
        apq_int_infer_run(c->fused, b->images, BENCH_BATCH, b->logits);
        return APQ_OK;
    }
    if (c->infer != NULL) {
        b->session->backend->infer->run(c->infer, b->images, BENCH_BATCH,
                                        b->logits);
        return APQ_OK;
    }
    apq_arena_mark mark = apq_arena_position(b->arena);
    float *logits;
    apq_status st = apq_nn_forward(&c->subnet.net, APQ_NN_EVAL, b->images,
                                   BENCH_BATCH, &logits);
    apq_arena_rewind(b->arena, mark);
    return st;
}

static apq_status time_steps(bench *b, bench_case *c, double *seconds,
                             int *n_steps) {
    int n = 0;
    APQ_TRY(one_step(b, c));
    APQ_TRY(one_step(b, c));
    double start = apq_now_s();
    while (n < MAX_STEPS &&
           (n < MIN_STEPS || apq_now_s() - start < BENCH_SECONDS)) {
        double step_start = apq_now_s();
        if (apq_stop_requested(b->session->progress)) {
            APQ_FAIL(APQ_ERR_INTERRUPTED, "interrupted");
        }
        APQ_TRY(one_step(b, c));
        seconds[n++] = apq_now_s() - step_start;
    }
    apq_sort_doubles(seconds, (size_t)n);
    *n_steps = n;
    return APQ_OK;
}

static apq_status run_case(bench *b, bench_case *c, json_t *results) {
    double seconds[MAX_STEPS];
    int n = 0;
    apq_status st = b->is_training ? APQ_OK : prepare(b, c);
    if (st == APQ_OK) {
        st = time_steps(b, c, seconds, &n);
    }
    release(b, c);
    APQ_TRY(st);
    apq_ir_network ir;
    APQ_TRY(apq_policy_lower(&b->session->space, c->policy, &ir));
    double macs = 0;
    for (size_t i = 0; i < ir.n_layers; i++) {
        macs += (double)apq_ir_layer_macs(&ir.layers[i]);
    }
    double rate = BENCH_BATCH / seconds[n / 2];
    double flops = rate * macs * (b->is_training ? 6.0 : 2.0);
    const double peaks[] = {b->peak_flops, b->bfloat16_peak_flops,
                            b->int8_peak_ops};
    double peak = peaks[c->type];
    json_t *row = json_pack(
        "{s:s,s:s,s:i,s:i,s:f,s:o,s:o,s:f,s:f,s:i}", "network", c->network,
        "dtype", k_types[c->type], "threads", apq_backend_threads(), "batch",
        BENCH_BATCH, "images_per_s", rate, "peak_fraction",
        apq_json_number(flops / peak), "float32_peak_fraction",
        apq_json_number(flops / b->peak_flops), "spread",
        (seconds[n * 9 / 10] - seconds[n / 10]) / seconds[n / 2], "m_macs",
        macs * 1e-6, "steps", n);
    if (c->type == INT8) {
        json_object_set_new(row, "bits", json_integer(c->bits));
    }
    json_array_append_new(results, row);
    char detail[64];
    (void)snprintf(detail, sizeof detail, "%s in %s: %.0f images/s", c->network,
                   k_types[c->type], rate);
    apq_progress_update(b->session->progress, "networks", ++b->n_done,
                        b->n_cases, detail);
    return APQ_OK;
}

/* Made-up images and labels, and room for the logits. */
static apq_status make_batch(bench *b, apq_rng *rng) {
    const apq_space *space = &b->session->space;
    for (int i = 0; i < BENCH_BATCH; i++) {
        b->labels[i] = i % space->n_classes;
    }
    size_t n = (size_t)BENCH_BATCH * (size_t)space->resolution *
               (size_t)space->resolution * (size_t)space->image_channels;
    b->images = apq_calloc(n, sizeof *b->images);
    b->logits =
        apq_calloc((size_t)(BENCH_BATCH * space->n_classes), sizeof *b->logits);
    if (b->images == NULL || b->logits == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "bench: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        b->images[i] = (float)apq_rng_normal(rng);
    }
    return APQ_OK;
}

/* The three networks in one type; bits: of INT8. */
static apq_status run_type(bench *b, bench_type type, int bits,
                           json_t *results) {
    const apq_space *space = &b->session->space;
    static const char *const k_names[] = {"largest", "middle", "smallest"};
    apq_policy policies[N_NETWORKS];
    apq_policy_largest(space, bits, &policies[0]);
    apq_rng rng = apq_rng_make(1, APQ_RNG_POLICY, 0);
    apq_policy_random(space, &rng, &policies[1]);
    apq_policy_set_bits(space, bits, &policies[1]);
    apq_policy_smallest(space, bits, &policies[2]);
    for (int i = 0; i < N_NETWORKS; i++) {
        bench_case c = {.network = k_names[i],
                        .policy = &policies[i],
                        .type = type,
                        .bits = bits};
        APQ_TRY(run_case(b, &c, results));
    }
    return APQ_OK;
}

/* Whether the processor has instructions for it. */
static bool has_bfloat16(const bench *b) {
    const apq_infer_ops *infer = b->session->backend->infer;
    return infer != NULL && infer->has_bfloat16();
}

/* dtype NULL: every type there is; training that is asked for by name may be
 * emulated. */
static apq_status run_types(bench *b, const char *dtype, json_t *results) {
    bool is_bfloat16 = dtype != NULL && strcmp(dtype, "bfloat16") == 0;
    if (is_bfloat16 && b->is_training) {
        APQ_TRY(apq_session_check_precision(b->session, APQ_BFLOAT16));
    } else if (is_bfloat16 && !has_bfloat16(b)) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "bench eval: no bfloat16 here; it takes backend cpu and a "
                 "processor with AVX512_BF16");
    }
    apq_rng rng = apq_rng_make(1, APQ_RNG_POLICY, 1);
    APQ_TRY(make_batch(b, &rng));
    b->peak_flops = apq_backend_gemm_peak(b->session->backend, 1.0);
    bool is_int8 = dtype != NULL && strcmp(dtype, "int8") == 0;
    bool with_float32 = !is_bfloat16 && !is_int8;
    bool with_bfloat16 = is_bfloat16 || (dtype == NULL && has_bfloat16(b));
    bool with_int8 = is_int8 || (dtype == NULL && !b->is_training);
    b->n_cases =
        (uint64_t)(N_NETWORKS * (with_float32 + with_bfloat16 + 2 * with_int8));
    if (with_float32) {
        APQ_TRY(run_type(b, FLOAT32, 8, results));
    }
    if (with_bfloat16) {
        b->bfloat16_peak_flops = b->session->backend->infer->bfloat16_peak(1.0);
        APQ_TRY(run_type(b, BFLOAT16, 8, results));
    }
    if (with_int8) {
        b->int8_peak_ops = apq_int_infer_peak(1.0);
        APQ_TRY(run_type(b, INT8, 8, results));
        APQ_TRY(run_type(b, INT8, 4, results));
    }
    return APQ_OK;
}

static apq_status run_cases(bench *b, const char *dtype, char **json) {
    json_t *results = json_array();
    apq_status st = run_types(b, dtype, results);
    apq_machine machine;
    apq_machine_probe(&machine);
    char *machine_text = apq_machine_to_json(&machine);
    json_t *root = json_pack(
        "{s:o?,s:s,s:s,s:f,s:f,s:f,s:o}", "machine",
        machine_text == NULL ? NULL : json_loads(machine_text, 0, NULL),
        "space", b->session->space.name, "backend", b->session->backend->name,
        "gemm_peak_gflops", b->peak_flops * 1e-9, "bfloat16_peak_gflops",
        b->bfloat16_peak_flops * 1e-9, "int8_peak_gops",
        b->int8_peak_ops * 1e-9, "results", results);
    free(machine_text);
    if (st == APQ_OK) { /* without a root there is no text either */
        *json = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6));
        st = *json == NULL ? APQ_ERROR(APQ_ERR_NOMEM, "bench: out of memory")
                           : APQ_OK;
    }
    json_decref(root);
    return st;
}

apq_status apq_app_bench(const apq_recipe *recipe, const char *what,
                         const char *dtype_or_null,
                         const apq_progress *progress, char **json) {
    bool is_training = strcmp(what, "train") == 0;
    if (!is_training && strcmp(what, "eval") != 0) {
        APQ_FAIL(APQ_ERR_ARG, "bench %s: expected train or eval", what);
    }
    apq_session session;
    bench b = {.session = &session, .is_training = is_training};
    apq_status st = apq_session_open(&session, recipe, progress);
    if (st == APQ_OK) {
        st = apq_supernet_create(&session.space, recipe->seed,
                                 &session.supernet);
    }
    if (st == APQ_OK) {
        st = apq_arena_create(&b.arena);
    }
    if (st == APQ_OK) {
        st = run_cases(&b, dtype_or_null, json);
    }
    free(b.images);
    free(b.logits);
    apq_arena_destroy(b.arena);
    apq_session_fini(&session);
    return st;
}
