#ifndef APQ_APP_APP_H
#define APQ_APP_APP_H

#include "app/recipe.h"
#include "app/results.h"
#include "base/log.h"
#include "base/status.h"
#include "comm/comm.h"
#include "cost/cost.h"
#include "space/space.h"
#include "train/evaluate.h"

#include <stdbool.h>
#include <stdint.h>

/* The workflow: each function is one command, joins the modules, and reads
 * and writes the run directory. All of them resume: a finished step is
 * skipped, an unfinished one goes on from its last checkpoint.
 *
 *   cost.jsonl               every step
 *   supernet.safetensors     train
 *   run.db                   collect
 *   predictor.safetensors    predictor fit
 *   best.json search.svg/png/pdf  search
 *   front.json front.svg/png/pdf  search, of several budgets
 *   network.safetensors, finetune.json  finetune
 *   report.json, report.md   run
 */
APQ_NODISCARD apq_status apq_app_train(const apq_recipe *recipe,
                                       const char *run_dir,
                                       const apq_progress *progress);
/* The same by all processes of a group, each of which calls it; process 0 has
 * the run directory. All return the same status, unless the call ends with one
 * that was not agreed on (see apq_comm_has_agreed). NULL: this one alone. */
APQ_NODISCARD apq_status apq_app_train_together(const apq_recipe *recipe,
                                                const char *run_dir,
                                                apq_comm *comm,
                                                const apq_progress *progress);
APQ_NODISCARD apq_status apq_app_collect(const apq_recipe *recipe,
                                         const char *run_dir,
                                         const apq_progress *progress);
/* The same by all processes of a group, each of which calls it and measures
 * records of its own; others may be at the same run. Statuses as of
 * apq_app_train_together(). */
APQ_NODISCARD apq_status apq_app_collect_together(const apq_recipe *recipe,
                                                  const char *run_dir,
                                                  apq_comm *comm,
                                                  const apq_progress *progress);
APQ_NODISCARD apq_status apq_app_predictor_fit(const apq_recipe *recipe,
                                               const char *run_dir,
                                               const apq_progress *progress,
                                               const apq_progress *results);
APQ_NODISCARD apq_status apq_app_finetune(const apq_recipe *recipe,
                                          const char *run_dir,
                                          const apq_progress *progress,
                                          const apq_progress *results);
/* All steps in order, then report.json, .md and .html. */
APQ_NODISCARD apq_status apq_app_run(const apq_recipe *recipe,
                                     const char *run_dir,
                                     const apq_progress *progress,
                                     const apq_progress *results);

/* Writes the recipe to run.json of the directory, made if missing: later steps
 * then need none. Unless has_trained_with, the `train` keys of a run that is
 * trained stay as they are, which is noted. */
APQ_NODISCARD apq_status apq_app_keep_recipe(const apq_recipe *recipe,
                                             const char *run_dir,
                                             bool has_trained_with,
                                             const apq_progress *progress);

/* Folder of the artefacts shipped for a space (models/SPACE), used when no
 * run directory is given. Errors: IO there is none; those of apq_space_load for
 * what is no space. */
APQ_NODISCARD apq_status apq_app_shipped_dir(const char *space,
                                             char out[APQ_PATH_MAX]);
/* The network in it. */
APQ_NODISCARD apq_status apq_app_shipped_network(const char *space,
                                                 char out[APQ_PATH_MAX]);

/* The run directory's predictor, else the one shipped for the space. */
APQ_NODISCARD apq_status apq_app_predictor_path(const char *space,
                                                const char *run_dir_or_null,
                                                char out[APQ_PATH_MAX]);

typedef struct apq_eval_request {
    const char *model;  /* a fine-tuned network of a file; NULL: `policy` of the
                           supernet. Of what follows it takes split, checks,
                           limit and comm */
    const char *policy; /* largest, smallest, random:SEED, or a JSON file */
    const char *split;  /* val or test */
    bool is_quantised;  /* the policy's bits; else float */
    bool is_bfloat16;   /* products of a float network in bfloat16 */
    bool checks;   /* integers beside their simulation; needs is_quantised */
    int64_t limit; /* images; 0 = all */
    int qat_steps; /* of a copy before measuring; needs is_quantised; 0: none */
    apq_comm *comm; /* processes that share the images; NULL: this one alone */
} apq_eval_request;
typedef struct apq_eval_answer {
    double top1, loss, seconds;
    int64_t count;
    apq_int_check check; /* of `checks` */
    apq_space space;     /* of the policy */
    apq_policy policy;
} apq_eval_answer;
/* A sub-network of the run's (or the shipped) supernet, recalibrated; or a
 * fine-tuned network in integers, on any data of its classes. */
APQ_NODISCARD apq_status apq_app_eval(const apq_recipe *recipe,
                                      const char *run_dir_or_null,
                                      const apq_eval_request *request,
                                      const apq_progress *progress,
                                      apq_eval_answer *out);

/* `apq bench search`: malloc'd JSON {"machine", "gemm_peak_gflops", "results"}
 * with the recipe's search, the predictor alone and its matrix products.
 * Errors: those of what is opened; NOMEM. */
APQ_NODISCARD apq_status apq_app_bench_search(const apq_recipe *recipe,
                                              char **json);

/* `apq bench train|eval`: malloc'd JSON. dtype: "float32",
 * "bfloat16", "int8" (eval: networks of 8 and of 4 bits), NULL for all that the
 * machine has instructions for. */
APQ_NODISCARD apq_status apq_app_bench(const apq_recipe *recipe,
                                       const char *what,
                                       const char *dtype_or_null,
                                       const apq_progress *progress,
                                       char **json);

typedef struct apq_bench_infer_request {
    const char *model;   /* network.safetensors; NULL: the run's or shipped */
    const char *run_dir; /* may be NULL */
    const char *space;   /* NULL: the one the network names */
    const char *runtime; /* library of ONNX Runtime; NULL: apq alone */
    const char *dtype;   /* "int8", "float32"; NULL: both */
} apq_bench_infer_request;
/* `apq bench infer`: malloc'd JSON, the network at batches of 1
 * and 64 on one thread and on all threads set now, a row for each runtime and
 * type. "ratio" is against ONNX Runtime in the same type, null without it.
 * Errors: those of apq_network_open() and apq_ort_open(); UNSUPPORTED for a
 * network without fused evaluation; NOMEM. */
APQ_NODISCARD apq_status apq_app_bench_infer(
    const apq_recipe *recipe, const apq_bench_infer_request *request,
    const apq_progress *progress, char **json);

#endif
