#ifndef APQ_CLI_CMD_SEARCH_H
#define APQ_CLI_CMD_SEARCH_H

#include "app/sweep.h"
#include "cli/progress.h"

/* `apq search` with several budgets: the whole command after its options are
 * read. `out_path` is that of --out, `run_dir` and `predictor` of their
 * options; each may be NULL. Returns the status of the search. */
typedef struct apq_sweep_request {
    const apq_recipe *recipe;
    apq_sweep_range range;
    const char *run_dir, *predictor, *out_path;
    bool is_json;
} apq_sweep_request;

APQ_NODISCARD apq_status apq_cmd_search_sweep(const apq_sweep_request *request,
                                              apq_cli_progress *progress);

/* The stem of the pictures beside FILE.json. APQ_ERR_ARG when too long. */
APQ_NODISCARD apq_status apq_cmd_search_stem(const char *path,
                                             char out[APQ_PATH_MAX]);

/* INTERRUPTED, once the best so far is shown: in the words of the search, or
 * with the file of --out that it was written to. */
APQ_NODISCARD apq_status apq_cmd_search_stopped(const char *path_or_null);

#endif
