/* Whole processes timed from outside: start-up, price table, search, baselines
 * and printing, as a user waits for them. */
#include "cli/bench_process.h"

#include "app/parts.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { RUNS = 5 };

typedef struct budget {
    const char *latency_ms;
    double asked_s; /* docs/performance.md */
} budget;

static const budget budgets[] = {{"8.40", 0.35}, {"6.11", 0.40}};

/* Processor time of the processes waited for so far. */
static double children_s(void) {
    struct rusage used = {.ru_maxrss = 0};
    (void)getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static apq_status run_once(const char *predictor, const char *latency_ms,
                           double *seconds) {
    char copy[APQ_PATH_MAX], limit[16];
    (void)snprintf(copy, sizeof copy, "%s", predictor);
    (void)snprintf(limit, sizeof limit, "%s", latency_ms);
    char words[][16] = {"apq",       "search",    "--space",     "imagenet-apq",
                        "--target",  "bitfusion", "--predictor", "--latency-ms",
                        "--threads", "1",         "--seed",      "--json",
                        "--quiet"};
    char *argv[] = {words[0],  words[1], words[2],  words[3], words[4],
                    words[5],  words[6], copy,      words[7], limit,
                    words[8],  words[9], words[10], words[9], words[11],
                    words[12], NULL};
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        APQ_FAIL(APQ_ERR_NOMEM, "bench: %s", strerror(error));
    }
    pid_t child = 0;
    int status = 1;
    double start_s = apq_now_s();
    error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO,
                                             "/dev/null", O_WRONLY, 0);
    error = error != 0 ? error
                       : posix_spawn(&child, "/proc/self/exe", &actions, NULL,
                                     argv, environ);
    while (error == 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    *seconds = apq_now_s() - start_s;
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0 || status != 0) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "bench: apq search failed");
    }
    return APQ_OK;
}

static apq_status time_processes(const char *predictor, json_t *rows) {
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        double best = 0, worst = 0, best_cpu = 0;
        for (int run = 0; run < RUNS; run++) {
            double seconds = 0, cpu = children_s();
            APQ_TRY(run_once(predictor, budgets[i].latency_ms, &seconds));
            cpu = children_s() - cpu;
            best_cpu = run == 0 || cpu < best_cpu ? cpu : best_cpu;
            best = run == 0 || seconds < best ? seconds : best;
            worst = seconds > worst ? seconds : worst;
        }
        (void)json_array_append_new(
            rows,
            json_pack("{s:s, s:s, s:s, s:f, s:i, s:i, s:f, s:f, s:f, s:f}",
                      "case", "process", "space", "imagenet-apq", "target",
                      "bitfusion", "latency_ms",
                      strtod(budgets[i].latency_ms, NULL), "threads", 1, "runs",
                      (int)RUNS, "best_seconds", best, "worst_seconds", worst,
                      "best_cpu_seconds", best_cpu, "asked_seconds",
                      budgets[i].asked_s));
    }
    return APQ_OK;
}

apq_status apq_bench_processes(const apq_recipe *recipe, json_t *rows) {
    if (strcmp(recipe->space, "imagenet-apq") != 0 ||
        strcmp(recipe->target, "bitfusion") != 0) {
        return APQ_OK;
    }
    /* Set by main; a user's process starts without and pays for that. */
    (void)unsetenv("OMP_WAIT_POLICY");
    const char *base = getenv("TMPDIR");
    char folder[APQ_PATH_MAX], path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(folder, base != NULL ? base : "/tmp",
                          "apq-bench-XXXXXX"));
    if (mkdtemp(folder) == NULL) {
        APQ_FAIL(apq_errno_status(errno), "%s: cannot make folder: %s", folder,
                 strerror(errno));
    }
    apq_space space;
    apq_predictor *predictor = NULL;
    apq_status st = apq_path_join(path, folder, "predictor.safetensors");
    if (st == APQ_OK) {
        st = apq_space_load(recipe->space, &space);
    }
    if (st == APQ_OK) {
        st = apq_predictor_create_random(&space, recipe->predictor.hidden,
                                         recipe->seed, &predictor);
    }
    if (st == APQ_OK) {
        st = apq_predictor_save(predictor, path, NULL, 0);
    }
    if (st == APQ_OK) {
        st = time_processes(path, rows);
    }
    apq_predictor_destroy(predictor);
    (void)unlink(path);
    (void)rmdir(folder);
    return st;
}
