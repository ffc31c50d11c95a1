/* The artefacts shipped with apq: models/SPACE below the data folders. */
#include "app/app.h"

#include "base/datapath.h"
#include "base/path.h"
#include "store/rundir.h"

#include <stdio.h>
#include <string.h>

apq_status apq_app_shipped_dir(const char *space, char out[APQ_PATH_MAX]) {
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
        APQ_FAIL(APQ_ERR_IO,
                 "no artefacts are shipped for space %.*s (%s is missing); "
                 "give --run",
                 n < 256 ? n : 256, name, relative);
    }
    *strrchr(out, '/') = '\0';
    return APQ_OK;
}

apq_status apq_app_predictor_path(const char *space,
                                  const char *run_dir_or_null,
                                  char out[APQ_PATH_MAX]) {
    char dir[APQ_PATH_MAX];
    if (run_dir_or_null != NULL) {
        return apq_rundir_need(run_dir_or_null, "predictor.safetensors", out);
    }
    apq_status st = apq_app_shipped_dir(space, dir);
    if (st != APQ_OK) { /* here there is another way out */
        return APQ_ERROR(st, "%s or --predictor", apq_error_message());
    }
    return apq_path_join(out, dir, "predictor.safetensors");
}
