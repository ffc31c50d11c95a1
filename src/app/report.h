#ifndef APQ_APP_REPORT_H
#define APQ_APP_REPORT_H

#include "app/recipe.h"
#include "base/log.h"
#include "base/status.h"
#include "cost/cost.h"
#include "space/space.h"
#include "store/rundir.h"

#include <jansson.h>
#include <stdbool.h>

typedef enum apq_report_form {
    APQ_REPORT_MARKDOWN,
    APQ_REPORT_JSON, /* the document that the others are made from */
    APQ_REPORT_HTML, /* one page that needs nothing else */
} apq_report_form;

typedef struct apq_report_request {
    const char *run_dir;         /* NULL: the artefacts shipped with apq ... */
    const char *space;           /* ... for this space */
    const apq_recipe *recipe;    /* NULL: run.json of the directory, if any */
    const char *const *settings; /* (n_settings) "footprint.KEY=VALUE" */
    int n_settings;
    const char *targets; /* names or files of more targets to price
                            the networks on, by commas; NULL: none */
    apq_report_form form;
    const char *folder; /* that the text is for; NULL: the current one */
    const apq_progress *progress; /* is told what is left out; NULL: none */
} apq_report_request;

/* `apq report`: what a run directory holds, as one text (malloc'd, with a
 * final line feed). The document is described in docs/formats/report.md; what
 * the directory lacks is null there. Nothing is computed afresh but prices
 * and predictions. Weights, a predictor, manifests of exports and the target
 * that cannot be read are left out, and told of in "problems". Errors: IO no
 * such directory; FORMAT not a run directory, or another damaged file in it;
 * MISMATCH the space was changed since; ARG a setting. */
APQ_NODISCARD apq_status apq_app_report(const apq_report_request *request,
                                        char **text);

/* What the parts of the report are made from. */
typedef struct apq_report_source {
    char dir[APQ_PATH_MAX];
    bool is_shipped;
    apq_rundir
        *run; /* NULL: no manifest, which only shipped folders may lack */
    bool has_recipe; /* run.json; else `recipe` holds defaults */
    apq_recipe recipe;
    bool has_space;
    apq_space space;
    apq_target *target; /* NULL: not known, or priced by a table that isn't */
    bool is_recipe_target;               /* it is what the recipe names */
    json_t *best, *finetune, *predictor; /* files; NULL: missing */
    json_t *problems;                    /* array of texts, filled as found */
    const apq_progress *progress;
} apq_report_source;

/* For a file that the report can do without: what `st`, of reading it, says
 * becomes one of the problems, and APQ_OK. Errors: NOMEM stays. */
APQ_NODISCARD apq_status apq_report_leave_out(const apq_report_source *source,
                                              apq_status st);

/* The chosen network with a row for each block and fixed layer; null before a
 * search. */
APQ_NODISCARD apq_status apq_report_result_json(const apq_report_source *source,
                                                json_t **out);
/* "sqnr_db" into each of its `layers`: of the weights as the fine-tuned network
 * has them or, before there is one of this policy, as the supernet has.
 * *weights is that file's name, NULL where neither can be read. */
APQ_NODISCARD apq_status apq_report_add_sqnr(const apq_report_source *source,
                                             const apq_policy *policy,
                                             json_t *layers, json_t **weights);
/* "weight_sensitivity" and "act_sensitivity" into each of its `layers` in a
 * block: the change of the predicted accuracy when the bits of the layer's
 * weights or of its input become the next smaller ones of the space; null where
 * there are none or the space forbids them. Expansion and projection share
 * their bits and so these. Nothing where the search's predictor is gone. */
APQ_NODISCARD apq_status apq_report_add_sensitivity(
    const apq_report_source *source, const apq_policy *policy, json_t *layers);
/* Is finetune.json of a policy that a later search replaced? */
bool apq_report_is_stale(const apq_report_source *source);
/* Uniform networks beside it; null before a search. */
json_t *apq_report_baselines_json(const apq_report_source *source);
/* Entries of best.json or front.json with their policies as short texts; null
 * when they are no array. `where` is the file. */
APQ_NODISCARD apq_status
apq_report_entries_json(const apq_report_source *source, const char *where,
                        const json_t *entries, json_t **out);
/* Quantised records with prices and what the predictor says of them; null
 * without records. */
APQ_NODISCARD apq_status
apq_report_records_json(const apq_report_source *source, json_t **out);
/* The chosen network and the uniform ones on every target that can be had;
 * null before a search. Errors: those of the targets asked for. */
APQ_NODISCARD apq_status apq_report_targets_json(
    const apq_report_source *source, const char *asked_or_null, json_t **out);
/* What the search's prices come from; null where the target is not known. */
APQ_NODISCARD apq_status
apq_report_cost_model_json(const apq_report_source *source, json_t **out);
/* A file of JSON lines as an array; null when missing. A last line without its
 * end is a torn one. Errors: FORMAT with file and line. */
APQ_NODISCARD apq_status apq_report_lines_json(const apq_report_source *source,
                                               const char *name, json_t **out);
/* train.jsonl, a row an epoch; finetune.jsonl, the same for each network. */
APQ_NODISCARD apq_status apq_report_train_json(const apq_report_source *source,
                                               json_t **out);
APQ_NODISCARD apq_status
apq_report_finetune_json(const apq_report_source *source, json_t **out);
/* Manifests of the exports in the directory; null without any. */
APQ_NODISCARD apq_status
apq_report_exports_json(const apq_report_source *source, json_t **out);
/* Size and hash of the artefacts. */
APQ_NODISCARD apq_status apq_report_files_json(const apq_report_source *source,
                                               json_t **out);
/* How good the labels of its records are; null without records. */
APQ_NODISCARD apq_status apq_report_labels_json(const apq_report_source *source,
                                                json_t **out);
/* What the steps spent; null when not recorded. */
APQ_NODISCARD apq_status apq_report_cost_json(const apq_report_source *source,
                                              json_t **out);

#endif
