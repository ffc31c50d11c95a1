#ifndef APQ_APP_REPORT_H
#define APQ_APP_REPORT_H

#include "app/recipe.h"
#include "base/status.h"
#include "cost/cost.h"
#include "space/space.h"
#include "store/rundir.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct apq_report_request {
    const char *run_dir;         /* NULL: the artefacts shipped with apq ... */
    const char *space;           /* ... for this space */
    const apq_recipe *recipe;    /* NULL: run.json of the directory, if any */
    const char *const *settings; /* (n_settings) "footprint.KEY=VALUE" */
    int n_settings;
    bool is_markdown; /* else the JSON document */
} apq_report_request;

/* `apq report`: what a run directory holds, as one text (malloc'd, with a
 * final line feed). The document is described in docs/formats/report.md; what
 * the directory lacks is null there. Nothing is computed afresh but prices.
 * Errors: IO no such directory; FORMAT not a run directory, or a damaged file
 * in it; MISMATCH the space was changed since; ARG a setting. */
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
    apq_target *target;                  /* NULL: not known */
    json_t *best, *finetune, *predictor; /* files; NULL: missing */
} apq_report_source;

/* The chosen network with a row for each block and fixed layer; null before a
 * search. */
APQ_NODISCARD apq_status apq_report_result_json(const apq_report_source *source,
                                                json_t **out);
/* Is finetune.json of a policy that a later search replaced? */
bool apq_report_is_stale(const apq_report_source *source);
/* Uniform networks beside it; null before a search. */
json_t *apq_report_baselines_json(const apq_report_source *source);
/* How good the labels of its records are; null without records. */
APQ_NODISCARD apq_status apq_report_labels_json(const apq_report_source *source,
                                                json_t **out);
/* What the steps spent; null when not recorded. */
APQ_NODISCARD apq_status apq_report_cost_json(const apq_report_source *source,
                                              json_t **out);

#endif
