/* `apq predictor curve`: fits with and without transfer over the number of
 * quantised records. All fits are independent jobs, each of one thread; their
 * scores are resampled over test records and seeds. */
#include "app/curve.h"

#include "app/machine.h"
#include "app/noise.h"
#include "app/samples.h"
#include "base/memory.h"
#include "store/rundir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { B = APQ_BOOTSTRAP_REPLICATES, N_FITTED = APQ_CURVE_DIFFERENCE };

/* One fit of an arm, or the float fit that a seed's transfers begin with. */
typedef struct job {
    bool is_float;
    apq_curve_arm arm;
    int size, seed; /* indices */
    apq_status status;
    char message[256];
} job;

typedef struct curve_run {
    const apq_recipe *recipe;
    const apq_progress *progress;
    const apq_space *space;
    apq_curve *out;
    apq_sample_set plain, quantised; /* the latter: pool, then test */
    apq_predictor **float_fits;      /* (n_seeds) */
    double *predicted;               /* (job, n_test) */
    double *actual;                  /* (n_test) */
    double repeat_error;             /* of the quantised labels */
    apq_scores *scores;              /* (job, B + 1), the last of all once */
    job *jobs; /* floats, then both arms by falling size */
    int n_jobs, n_done;
} curve_run;

static apq_status load_records(curve_run *run, const char *run_dir) {
    char db[APQ_PATH_MAX];
    APQ_TRY(apq_rundir_need(run_dir, "run.db", db));
    apq_records *records = NULL;
    APQ_TRY(apq_records_open_read(db, &records));
    apq_status st =
        apq_samples_add_all(run->space, records, false, INT64_MAX, &run->plain);
    if (st == APQ_OK) {
        st = apq_samples_add_planned(run->space, records,
                                     run->recipe->collect.quantised_records,
                                     &run->quantised);
    }
    if (st == APQ_OK) {
        st = apq_noise_repeat_error(records, true, &run->repeat_error);
    }
    apq_records_close(records);
    return st;
}

/* Puts the test records last. */
static apq_status hold_out(curve_run *run) {
    apq_curve *out = run->out;
    size_t n = run->quantised.n;
    if (run->plain.n == 0 || n == 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "curve: %zu float and %zu quantised records, both are needed",
                 run->plain.n, n);
    }
    apq_predictor_fit_options options =
        apq_recipe_fit_options(run->recipe, true);
    options.test_fraction += options.validation_fraction;
    options.validation_fraction = 0.0;
    apq_predictor_parts parts;
    uint32_t *rows = apq_calloc(n, sizeof *rows);
    apq_predictor_sample *ordered = apq_calloc(n, sizeof *ordered);
    apq_status st = APQ_OK;
    if (rows == NULL || ordered == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "curve: no memory for %zu records", n);
    } else {
        st = apq_predictor_split(&options, run->space, run->quantised.samples,
                                 n, rows, &parts);
    }
    if (st == APQ_OK && parts.n_test < 2) {
        st = APQ_ERROR(APQ_ERR_ARG,
                       "curve: %zu of %zu quantised records held out for the "
                       "test, 2 are needed (predictor.held_out %g)",
                       parts.n_test, n, run->recipe->predictor.held_out);
    }
    if (st != APQ_OK) {
        free(rows);
        free(ordered);
        return st;
    }
    for (size_t i = 0; i < n; i++) {
        ordered[i] = run->quantised.samples[rows[i]];
    }
    free(rows);
    free(run->quantised.samples);
    run->quantised.samples = ordered;
    out->n_float = run->plain.n;
    out->n_pool = parts.n_train;
    out->n_test = parts.n_test;
    return APQ_OK;
}

static apq_status set_sizes(const apq_curve_request *request, apq_curve *out) {
    enum { LEAST = 4, N_HALVES = 4 };
    int pool = (int)out->n_pool;
    out->n_seeds = request->n_seeds;
    for (int i = N_HALVES - 1; request->n_sizes == 0 && i >= 0; i--) {
        if (pool >> i >= LEAST) {
            out->sizes[out->n_sizes++] = pool >> i;
        }
    }
    for (int i = 0; i < request->n_sizes; i++) {
        out->sizes[out->n_sizes++] = request->sizes[i];
    }
    for (int i = 0; i < out->n_sizes; i++) {
        if (out->sizes[i] < LEAST || out->sizes[i] > pool ||
            (i > 0 && out->sizes[i] <= out->sizes[i - 1])) {
            APQ_FAIL(APQ_ERR_ARG,
                     "curve: size %d is not within %d..%d and above the one "
                     "before it (%zu records are held out for the test)",
                     out->sizes[i], LEAST, pool, out->n_test);
        }
    }
    if (out->n_sizes == 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "curve: %d quantised records to draw from, %d "
                 "are needed",
                 pool, LEAST);
    }
    return APQ_OK;
}

static apq_status prepare(curve_run *run) {
    const apq_curve *out = run->out;
    int n_arms = out->n_sizes * out->n_seeds * N_FITTED;
    run->n_jobs = out->n_seeds + n_arms;
    size_t n_jobs = (size_t)run->n_jobs;
    run->float_fits = apq_calloc((size_t)out->n_seeds, sizeof(apq_predictor *));
    run->predicted = apq_calloc(n_jobs * out->n_test, sizeof(double));
    run->actual = apq_calloc(out->n_test, sizeof(double));
    run->scores = apq_calloc(n_jobs * (B + 1), sizeof *run->scores);
    run->jobs = apq_calloc(n_jobs, sizeof *run->jobs);
    if (run->float_fits == NULL || run->predicted == NULL ||
        run->actual == NULL || run->scores == NULL || run->jobs == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "curve: no memory for %d fits", run->n_jobs);
    }
    job *next = run->jobs;
    for (int s = 0; s < out->n_seeds; s++) {
        *next++ = (job){.is_float = true, .seed = s};
    }
    /* All without transfer first: they need no float fit. */
    for (int arm = 0; arm < N_FITTED; arm++) {
        for (int i = out->n_sizes - 1; i >= 0; i--) {
            for (int s = 0; s < out->n_seeds; s++) {
                *next++ =
                    (job){.arm = (apq_curve_arm)arm, .size = i, .seed = s};
            }
        }
    }
    for (size_t i = 0; i < out->n_test; i++) {
        run->actual[i] = run->quantised.samples[out->n_pool + i].accuracy;
    }
    return APQ_OK;
}

static const job *find_job(const curve_run *run, apq_curve_arm arm, int size,
                           int seed) {
    const apq_curve *out = run->out;
    int from_largest = out->n_sizes - 1 - size;
    int index = ((int)arm * out->n_sizes + from_largest) * out->n_seeds + seed;
    return &run->jobs[out->n_seeds + index];
}

/* Far apart, so that curves of neighbouring seeds share no predictor. */
static uint64_t seed_of(const curve_run *run, const job *j) {
    return run->recipe->seed + (uint64_t)j->seed * APQ_PREDICTOR_MAX_MEMBERS;
}

static apq_status create(const curve_run *run, const job *j,
                         apq_predictor **out) {
    return apq_predictor_create_ensemble(
        run->space, run->recipe->predictor.hidden,
        run->recipe->predictor.ensemble, seed_of(run, j), out);
}

static apq_predictor_fit_options options_of(const curve_run *run, const job *j,
                                            const apq_progress *quiet) {
    apq_predictor_fit_options options =
        apq_recipe_fit_options(run->recipe, !j->is_float);
    options.seed = seed_of(run, j);
    options.test_fraction = 0.0;
    options.progress = quiet;
    return options;
}

static apq_status fit_float(const curve_run *run, const job *j,
                            const apq_progress *quiet) {
    apq_predictor_fit_options options = options_of(run, j, quiet);
    apq_predictor_report report;
    apq_predictor **slot = &run->float_fits[j->seed];
    APQ_TRY(create(run, j, slot));
    return apq_predictor_fit(*slot, run->plain.samples, run->plain.n, &options,
                             &report);
}

/* The first N of the pool in the seed's order: smaller draws are part of
 * larger ones. */
static void draw(const curve_run *run, const job *j, uint32_t *rows,
                 apq_predictor_sample *samples) {
    for (size_t i = 0; i < run->out->n_pool; i++) {
        rows[i] = (uint32_t)i;
    }
    apq_rng rng = apq_rng_make(seed_of(run, j), APQ_RNG_COLLECT, 0);
    apq_rng_shuffle(&rng, rows, run->out->n_pool);
    for (int i = 0; i < run->out->sizes[j->size]; i++) {
        samples[i] = run->quantised.samples[rows[i]];
    }
}

static apq_status fit_drawn(const curve_run *run, const job *j,
                            const apq_progress *quiet, apq_predictor *p) {
    size_t n_pool = run->out->n_pool, n_test = run->out->n_test;
    size_t n = (size_t)run->out->sizes[j->size];
    apq_predictor_fit_options options = options_of(run, j, quiet);
    apq_predictor_report report;
    uint32_t *rows = apq_calloc(n_pool, sizeof *rows);
    apq_predictor_sample *samples = apq_calloc(n, sizeof *samples);
    apq_status st = APQ_OK;
    if (rows == NULL || samples == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "curve: no memory for %zu records", n);
        goto done;
    }
    draw(run, j, rows, samples);
    st = apq_predictor_fit(p, samples, n, &options, &report);
    double *predicted = run->predicted + (size_t)(j - run->jobs) * n_test;
    for (size_t i = 0; i < n_test && st == APQ_OK; i++) {
        st =
            apq_predictor_predict(p, &run->quantised.samples[n_pool + i].policy,
                                  1, true, &predicted[i]);
    }
done:
    free(rows);
    free(samples);
    return st;
}

/* Scores of the test records and of B resamples of them, the same in every
 * job. */
static apq_status score(const curve_run *run, const job *j) {
    size_t n = run->out->n_test, index = (size_t)(j - run->jobs);
    apq_scores *scores = run->scores + index * (B + 1);
    apq_ranking *ranking = NULL;
    uint32_t *weights = apq_calloc(n, sizeof *weights);
    if (weights == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "curve: no memory for %zu records", n);
    }
    apq_status st = apq_ranking_create(run->predicted + index * n, run->actual,
                                       n, &ranking);
    for (uint64_t b = 0; b < B && st == APQ_OK; b++) {
        apq_bootstrap_weights(run->recipe->seed, b, n, weights);
        scores[b] = apq_ranking_scores(ranking, weights);
    }
    if (st == APQ_OK) {
        scores[B] = apq_ranking_scores(ranking, NULL);
    }
    apq_ranking_destroy(ranking);
    free(weights);
    return st;
}

static apq_status do_job(const curve_run *run, const job *j,
                         const apq_progress *quiet) {
    if (j->is_float) {
        return fit_float(run, j, quiet);
    }
    apq_predictor *p = NULL;
    APQ_TRY(j->arm == APQ_CURVE_TRANSFER
                ? apq_predictor_copy(run->float_fits[j->seed], &p)
                : create(run, j, &p));
    apq_status st = fit_drawn(run, j, quiet, p);
    apq_predictor_destroy(p);
    return st == APQ_OK ? score(run, j) : st;
}

/* Jobs begin..end - 1 on all threads. The first failure by index is the one
 * reported: messages belong to threads. */
static apq_status do_jobs(curve_run *run, int begin, int end) {
    const apq_progress *progress = run->progress;
    const apq_progress quiet = {
        .ctx = progress != NULL ? progress->ctx : NULL,
        .stop_requested = progress != NULL ? progress->stop_requested : NULL};
#pragma omp parallel for schedule(dynamic)
    for (int i = begin; i < end; i++) {
        job *j = &run->jobs[i];
        j->status = do_job(run, j, &quiet);
        if (j->status != APQ_OK) {
            (void)snprintf(j->message, sizeof j->message, "%s",
                           apq_error_message());
        }
#pragma omp critical(apq_curve_progress)
        apq_progress_update(progress, "fits", (uint64_t)++run->n_done,
                            (uint64_t)run->n_jobs, NULL);
    }
    for (int i = begin; i < end; i++) {
        if (run->jobs[i].status != APQ_OK) {
            return APQ_ERROR(run->jobs[i].status, "%s", run->jobs[i].message);
        }
    }
    return APQ_OK;
}

/* Mean over the seeds, drawn as often as `weights` says, of one arm. */
static apq_scores mean_scores(const curve_run *run, apq_curve_arm arm, int size,
                              int replicate, const uint32_t *weights) {
    apq_scores mean = {0};
    double total = run->out->n_seeds;
    for (int s = 0; s < run->out->n_seeds; s++) {
        const job *j = find_job(run, arm, size, s);
        const apq_scores *scores =
            &run->scores[(size_t)(j - run->jobs) * (B + 1) + (size_t)replicate];
        double share = weights == NULL ? 1.0 / total : weights[s] / total;
        mean.pairwise_accuracy += share * scores->pairwise_accuracy;
        mean.kendall_tau += share * scores->kendall_tau;
        mean.rmse += share * scores->rmse;
    }
    return mean;
}

static apq_scores arm_scores(const curve_run *run, apq_curve_arm arm, int size,
                             int replicate, const uint32_t *weights) {
    if (arm != APQ_CURVE_DIFFERENCE) {
        return mean_scores(run, arm, size, replicate, weights);
    }
    apq_scores with =
        mean_scores(run, APQ_CURVE_TRANSFER, size, replicate, weights);
    apq_scores without =
        mean_scores(run, APQ_CURVE_SCRATCH, size, replicate, weights);
    return (apq_scores){with.pairwise_accuracy - without.pairwise_accuracy,
                        with.kendall_tau - without.kendall_tau,
                        with.rmse - without.rmse};
}

static apq_status summarise(curve_run *run) {
    apq_curve *out = run->out;
    double *values = apq_calloc(3 * (size_t)B, sizeof *values);
    uint32_t *weights = apq_calloc((size_t)out->n_seeds, sizeof *weights);
    if (values == NULL || weights == NULL) {
        free(values);
        free(weights);
        APQ_FAIL(APQ_ERR_NOMEM, "curve: out of memory");
    }
    for (int i = 0; i < out->n_sizes * APQ_CURVE_N_ARMS; i++) {
        int size = i / APQ_CURVE_N_ARMS;
        apq_curve_arm arm = (apq_curve_arm)(i % APQ_CURVE_N_ARMS);
        for (int b = 0; b < B; b++) {
            /* Other numbers than those that draw the test records. */
            apq_bootstrap_weights(run->recipe->seed, (uint64_t)(B + b),
                                  (size_t)out->n_seeds, weights);
            apq_scores s = arm_scores(run, arm, size, b, weights);
            values[b] = s.pairwise_accuracy;
            values[B + b] = s.kendall_tau;
            values[2 * B + b] = s.rmse;
        }
        apq_scores s = arm_scores(run, arm, size, B, NULL);
        out->scores[size][arm] = (apq_curve_scores){
            apq_bootstrap_interval(s.pairwise_accuracy, values, B),
            apq_bootstrap_interval(s.kendall_tau, values + B, B),
            apq_bootstrap_interval(s.rmse, values + 2 * (size_t)B, B)};
    }
    free(values);
    free(weights);
    return APQ_OK;
}

static apq_status measure_noise(const curve_run *run) {
    size_t n = run->out->n_test;
    int64_t *counts = apq_calloc(n, sizeof *counts);
    if (counts == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "curve: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        counts[i] = run->quantised.samples[run->out->n_pool + i].count;
    }
    run->out->noise =
        apq_label_noise_of(run->actual, counts, n, run->repeat_error);
    free(counts);
    return APQ_OK;
}

static apq_status curve_with(curve_run *run, const char *run_dir,
                             const apq_curve_request *request) {
    apq_curve *out = run->out;
    APQ_TRY(load_records(run, run_dir));
    APQ_TRY(hold_out(run));
    APQ_TRY(set_sizes(request, out));
    APQ_TRY(prepare(run));
    /* Transfers begin when every float fit is there. */
    int n_first = out->n_seeds + out->n_sizes * out->n_seeds;
    APQ_TRY(do_jobs(run, 0, n_first));
    APQ_TRY(do_jobs(run, n_first, run->n_jobs));
    APQ_TRY(measure_noise(run));
    return summarise(run);
}

static void curve_fini(curve_run *run) {
    for (int s = 0; run->float_fits != NULL && s < run->out->n_seeds; s++) {
        apq_predictor_destroy(run->float_fits[s]);
    }
    free(run->float_fits);
    free(run->predicted);
    free(run->actual);
    free(run->scores);
    free(run->jobs);
    apq_samples_release(&run->plain);
    apq_samples_release(&run->quantised);
}

apq_status apq_app_curve(const apq_recipe *recipe, const char *run_dir,
                         const apq_curve_request *request,
                         const apq_progress *progress, apq_curve *out) {
    apq_space space;
    if (request->n_seeds < 1 || request->n_seeds > APQ_CURVE_MAX_SEEDS ||
        request->n_sizes < 0 || request->n_sizes > APQ_CURVE_MAX_SIZES) {
        APQ_FAIL(APQ_ERR_ARG,
                 "curve: %d seeds and %d sizes are not within 1..%d and 0..%d",
                 request->n_seeds, request->n_sizes, APQ_CURVE_MAX_SEEDS,
                 APQ_CURVE_MAX_SIZES);
    }
    APQ_TRY(apq_space_load(recipe->space, &space));
    apq_machine_set_threads(recipe->threads);
    memset(out, 0, sizeof *out);
    curve_run run = {
        .recipe = recipe, .progress = progress, .space = &space, .out = out};
    apq_status st = curve_with(&run, run_dir, request);
    curve_fini(&run);
    return st;
}
