/* The artefacts shipped with apq: models/SPACE below the data folders. */
#include "app/app.h"

#include "base/datapath.h"
#include "base/path.h"
#include "space/space.h"
#include "store/rundir.h"

#include <stdio.h>
#include <string.h>

/* `instead`: what the user may give in their place. */
static apq_status find_dir(const char *space, const char *instead,
                           char out[APQ_PATH_MAX]) {
    /* A space given as a file ships under its own name, without the folder
     * and the ending. */
    const char *name = apq_path_name(space);
    const char *dot = strrchr(name, '.');
    int n = dot == NULL ? (int)strlen(name) : (int)(dot - name);
    char relative[APQ_PATH_MAX];
    (void)snprintf(relative, sizeof relative,
                   "models/%.*s/predictor.safetensors", n < 256 ? n : 256,
                   name);
    if (apq_data_path(relative, out) != APQ_OK) {
        apq_space known;
        APQ_TRY(apq_space_load(space, &known));
        APQ_FAIL(APQ_ERR_IO,
                 "no artefacts are shipped for space %.*s (%s is missing); "
                 "give %s",
                 n < 256 ? n : 256, name, relative, instead);
    }
    *strrchr(out, '/') = '\0';
    return APQ_OK;
}

apq_status apq_app_shipped_dir(const char *space, char out[APQ_PATH_MAX]) {
    return find_dir(space, "--run", out);
}

apq_status apq_app_shipped_network(const char *space, char out[APQ_PATH_MAX]) {
    char dir[APQ_PATH_MAX];
    APQ_TRY(find_dir(space, "--run or --model", dir));
    return apq_path_join(out, dir, "network.safetensors");
}

apq_status apq_app_predictor_path(const char *space,
                                  const char *run_dir_or_null,
                                  char out[APQ_PATH_MAX]) {
    char dir[APQ_PATH_MAX];
    if (run_dir_or_null != NULL) {
        return apq_rundir_need(run_dir_or_null, "predictor.safetensors", out);
    }
    APQ_TRY(find_dir(space, "--run or --predictor", dir));
    return apq_path_join(out, dir, "predictor.safetensors");
}
