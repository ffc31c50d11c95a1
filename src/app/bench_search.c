/* `apq bench search`: the search as a whole, the predictor alone, and its
 * matrix products beside the backend's (oneDNN where built in), as fractions
 * of the product peak measured in the same run. */
#include "app/app.h"

#include "app/machine.h"
#include "backend/backend.h"
#include "base/memory.h"
#include "base/sort.h"
#include "predictor/kernels.h"
#include "predictor/predictor_private.h"
#include "search/driver.h"

#include <jansson.h>
#include <stdlib.h>

enum { MIN_CALLS = 20, MAX_CALLS = 2000 };
static const double CASE_SECONDS = 0.3;

/* Half a population (what a search has left to score once most candidates
 * are known), a population, and more than the caches hold. */
static const int batches[] = {50, 100, 1000};
enum { N_BATCHES = 3, LARGEST_BATCH = 1000 };

typedef struct bench {
    const apq_recipe *recipe;
    apq_space space;
    const apq_backend *backend;
    apq_predictor *predictor;
    apq_policy *policies; /* (LARGEST_BATCH) alike, as a population is */
    double *accuracy;     /* (LARGEST_BATCH) */
    float *x, *y;         /* (LARGEST_BATCH, H) */
    double peak_flops;
    json_t *rows;
} bench;

static apq_status score(void *ctx, const apq_policy *batch, size_t n,
                        apq_score *scores) {
    bench *b = ctx;
    for (size_t at = 0; at < n; at += LARGEST_BATCH) {
        size_t m = n - at < LARGEST_BATCH ? n - at : LARGEST_BATCH;
        APQ_TRY(apq_predictor_predict(b->predictor, batch + at, m, true,
                                      b->accuracy));
        for (size_t i = 0; i < m; i++) {
            scores[at + i].value = b->accuracy[i];
        }
    }
    return APQ_OK;
}

/* The recipe's search, without a budget, with a predictor of random weights:
 * the time does not depend on their values. */
static apq_status time_search(bench *b) {
    const apq_recipe *r = b->recipe;
    apq_driver_options options = {
        .strategy = r->search.strategy,
        .population = r->search.population,
        .parents = r->search.parents,
        .iterations = r->search.iterations,
        .mutation = r->search.mutation,
        .seed = r->seed,
        .evaluate = score,
        .ctx = b,
    };
    apq_search_result *found = NULL;
    APQ_TRY(apq_search_run(&b->space, &options, &found));
    uint64_t n_candidates = found->n_evaluations + found->n_cached;
    (void)json_array_append_new(
        b->rows,
        json_pack("{s:s, s:s, s:i, s:I, s:I, s:f, s:f, s:f}", "case",
                  r->search.strategy, "space", r->space, "threads",
                  apq_backend_threads(), "evaluations",
                  (json_int_t)found->n_evaluations, "cached",
                  (json_int_t)found->n_cached, "seconds", found->seconds,
                  "evaluations_per_s",
                  (double)found->n_evaluations / found->seconds,
                  "candidates_per_s", (double)n_candidates / found->seconds));
    apq_search_result_destroy(found);
    return APQ_OK;
}

typedef apq_status (*call_fn)(bench *b, int n);

/* Median seconds of a call; spread is from the 10th to the 90th percentile,
 * as a fraction of the median. */
static apq_status time_call(bench *b, call_fn call, int n, double *median,
                            double *spread) {
    double seconds[MAX_CALLS];
    int count = 0;
    APQ_TRY(call(b, n));
    double start_s = apq_now_s();
    while (count < MAX_CALLS &&
           (count < MIN_CALLS || apq_now_s() - start_s < CASE_SECONDS)) {
        double before_s = apq_now_s();
        APQ_TRY(call(b, n));
        seconds[count++] = apq_now_s() - before_s;
    }
    apq_sort_doubles(seconds, (size_t)count);
    *median = seconds[count / 2];
    *spread = (seconds[count * 9 / 10] - seconds[count / 10]) / *median;
    return APQ_OK;
}

static apq_status predict(bench *b, int n) {
    return apq_predictor_predict(b->predictor, b->policies, (size_t)n, true,
                                 b->accuracy);
}

static apq_status own_products(bench *b, int n) {
    const apq_predictor *p = b->predictor;
    size_t h = (size_t)p->hidden;
    apq_gemm_job job = {.m = n,
                        .n = p->hidden,
                        .k = p->hidden,
                        .a = b->x,
                        .a_row = h,
                        .a_col = 1,
                        .packed = p->packed1,
                        .c = b->y,
                        .c_row = h};
    apq_gemm(p->kernels, &job);
    job.packed = p->packed2;
    apq_gemm(p->kernels, &job);
    return APQ_OK;
}

static apq_status peer_products(bench *b, int n) {
    const apq_predictor *p = b->predictor;
    apq_gemm_args args = {.is_b_transposed = true,
                          .m = n,
                          .n = p->hidden,
                          .k = p->hidden,
                          .a = b->x,
                          .lda = p->hidden,
                          .b = p->params + p->begin[APQ_PART_W1],
                          .ldb = p->hidden,
                          .c = b->y,
                          .ldc = p->hidden};
    APQ_TRY(b->backend->gemm(&args));
    args.b = p->params + p->begin[APQ_PART_W2];
    return b->backend->gemm(&args);
}

/* The two products decide: 4 H^2 operations a policy. The sums of the one-hot
 * layer take time too, but count for nothing. */
static apq_status time_rows(bench *b, const char *name, const char *by,
                            call_fn call) {
    double h = (double)b->predictor->hidden;
    for (int i = 0; i < N_BATCHES; i++) {
        double seconds, spread;
        APQ_TRY(time_call(b, call, batches[i], &seconds, &spread));
        double flops = 4 * h * h * batches[i] / seconds;
        (void)json_array_append_new(
            b->rows,
            json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f}", "case",
                      name, "by", by, "hidden", b->predictor->hidden, "threads",
                      apq_backend_threads(), "batch", batches[i],
                      "policies_per_s", batches[i] / seconds, "gflops",
                      flops * 1e-9, "peak_fraction", flops / b->peak_flops,
                      "spread", spread));
    }
    return APQ_OK;
}

static apq_status prepare(bench *b) {
    const apq_recipe *r = b->recipe;
    APQ_TRY(apq_space_load(r->space, &b->space));
    APQ_TRY(apq_backend_find(r->backend, &b->backend));
    APQ_TRY(apq_predictor_create_random(&b->space, r->predictor.hidden, r->seed,
                                        &b->predictor));
    size_t n_floats = LARGEST_BATCH * (size_t)r->predictor.hidden;
    b->policies = apq_calloc(LARGEST_BATCH, sizeof *b->policies);
    b->accuracy = apq_calloc(LARGEST_BATCH, sizeof *b->accuracy);
    b->x = apq_calloc(n_floats, sizeof *b->x);
    b->y = apq_calloc(n_floats, sizeof *b->y);
    if (b->policies == NULL || b->accuracy == NULL || b->x == NULL ||
        b->y == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "bench: out of memory");
    }
    apq_rng rng = apq_rng_make(r->seed, APQ_RNG_POLICY, 0);
    apq_policy_random(&b->space, &rng, &b->policies[0]);
    for (size_t i = 1; i < LARGEST_BATCH; i++) {
        apq_policy_mutate(&b->space, r->search.mutation, &rng, &b->policies[0],
                          &b->policies[i]);
    }
    for (size_t i = 0; i < n_floats; i++) {
        b->x[i] = (float)apq_rng_uniform(&rng);
    }
    return APQ_OK;
}

static apq_status run_cases(bench *b) {
    APQ_TRY(prepare(b));
    APQ_TRY(time_search(b));
    b->peak_flops = apq_backend_gemm_peak(b->backend, 1.0);
    APQ_TRY(time_rows(b, "predictor", "apq", predict));
    APQ_TRY(time_rows(b, "products", "apq", own_products));
    return time_rows(b, "products", b->backend->name, peer_products);
}

apq_status apq_app_bench_search(const apq_recipe *recipe, char **json) {
    bench b = {.recipe = recipe, .rows = json_array()};
    apq_status st = run_cases(&b);
    if (st == APQ_OK) {
        apq_machine machine;
        apq_machine_probe(&machine);
        char *text = apq_machine_to_json(&machine);
        json_t *root = json_pack(
            "{s:o?, s:f, s:O}", "machine",
            text == NULL ? NULL : json_loads(text, 0, NULL), "gemm_peak_gflops",
            b.peak_flops * 1e-9, "results", b.rows);
        free(text);
        *json = root == NULL ? NULL : json_dumps(root, JSON_COMPACT);
        json_decref(root);
        st = *json == NULL ? APQ_ERROR(APQ_ERR_NOMEM, "bench: out of memory")
                           : APQ_OK;
    }
    json_decref(b.rows);
    apq_predictor_destroy(b.predictor);
    free(b.policies);
    free(b.accuracy);
    free(b.x);
    free(b.y);
    return st;
}
