/* `apq bench train|eval`: images per second of whole steps on made-up images,
 * and the fraction of the GEMM peak measured in the same run. */
#include "app/app.h"

#include "app/machine.h"
#include "app/session.h"
#include "nn/loss.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_BATCH = 128, MIN_STEPS = 5, MAX_STEPS = 1000 };
static const double BENCH_SECONDS = 4.0;

typedef struct bench {
    apq_session *session;
    apq_arena *arena;
    float *images;
    int labels[BENCH_BATCH];
    bool is_training;
    double peak_flops;
} bench;

static apq_status one_step(bench *b, const apq_policy *policy) {
    apq_arena_reset(b->arena);
    apq_params *params = apq_supernet_params(b->session->supernet);
    apq_subnet subnet;
    apq_status st = apq_subnet_bind(b->session->supernet, policy,
                                    b->session->backend, b->arena, &subnet);
    float *logits, *dlogits;
    int k = b->session->space.n_classes;
    dlogits =
        apq_arena_alloc(b->arena, (size_t)(BENCH_BATCH * k), sizeof *dlogits);
    if (st == APQ_OK) {
        st = apq_nn_forward(&subnet.net,
                            b->is_training ? APQ_NN_TRAIN : APQ_NN_EVAL,
                            b->images, BENCH_BATCH, &logits);
    }
    if (st == APQ_OK && b->is_training) {
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

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static apq_status run_case(bench *b, const char *name, const apq_policy *policy,
                           json_t *results) {
    double seconds[MAX_STEPS];
    int n = 0;
    APQ_TRY(one_step(b, policy));
    APQ_TRY(one_step(b, policy));
    double start = apq_now_s();
    while (n < MAX_STEPS &&
           (n < MIN_STEPS || apq_now_s() - start < BENCH_SECONDS)) {
        double step_start = apq_now_s();
        APQ_TRY(one_step(b, policy));
        seconds[n++] = apq_now_s() - step_start;
    }
    qsort(seconds, (size_t)n, sizeof seconds[0], compare_doubles);
    apq_ir_network ir;
    APQ_TRY(apq_policy_lower(&b->session->space, policy, &ir));
    double macs = 0;
    for (size_t i = 0; i < ir.n_layers; i++) {
        macs += (double)apq_ir_layer_macs(&ir.layers[i]);
    }
    double rate = BENCH_BATCH / seconds[n / 2];
    double flops = rate * macs * (b->is_training ? 6.0 : 2.0);
    json_array_append_new(
        results,
        json_pack("{s:s,s:s,s:i,s:i,s:f,s:f,s:f,s:f,s:i}", "network", name,
                  "dtype", "float32", "threads", apq_backend_threads(), "batch",
                  BENCH_BATCH, "images_per_s", rate, "peak_fraction",
                  flops / b->peak_flops, "spread",
                  (seconds[n * 9 / 10] - seconds[n / 10]) / seconds[n / 2],
                  "m_macs", macs * 1e-6, "steps", n));
    return APQ_OK;
}

static apq_status run_cases(bench *b, char **json) {
    const apq_space *space = &b->session->space;
    apq_policy large, middle, small;
    apq_policy_largest(space, 8, &large);
    apq_policy_smallest(space, 8, &small);
    apq_rng rng = apq_rng_make(1, APQ_RNG_POLICY, 0);
    apq_policy_random(space, &rng, &middle);
    for (int i = 0; i < BENCH_BATCH; i++) {
        b->labels[i] = i % space->n_classes;
    }
    size_t n = (size_t)BENCH_BATCH * (size_t)space->resolution *
               (size_t)space->resolution * (size_t)space->image_channels;
    b->images = apq_calloc(n, sizeof *b->images);
    if (b->images == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "bench: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        b->images[i] = (float)apq_rng_normal(&rng);
    }
    b->peak_flops = apq_backend_gemm_peak(b->session->backend, 1.0);
    json_t *results = json_array();
    apq_status st = run_case(b, "largest", &large, results);
    if (st == APQ_OK) {
        st = run_case(b, "middle", &middle, results);
    }
    if (st == APQ_OK) {
        st = run_case(b, "smallest", &small, results);
    }
    apq_machine machine;
    apq_machine_probe(&machine);
    char *machine_text = apq_machine_to_json(&machine);
    json_t *root = json_pack(
        "{s:o?,s:s,s:s,s:f,s:o}", "machine",
        machine_text == NULL ? NULL : json_loads(machine_text, 0, NULL),
        "space", space->name, "backend", b->session->backend->name,
        "gemm_peak_gflops", b->peak_flops * 1e-9, "results", results);
    free(machine_text);
    if (st == APQ_OK && root != NULL) {
        *json = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6));
        st = *json == NULL ? APQ_ERROR(APQ_ERR_NOMEM, "bench: out of memory")
                           : APQ_OK;
    }
    json_decref(root);
    return st;
}

apq_status apq_app_bench(const apq_recipe *recipe, const char *what,
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
        st = run_cases(&b, json);
    }
    free(b.images);
    apq_arena_destroy(b.arena);
    apq_session_fini(&session);
    return st;
}
