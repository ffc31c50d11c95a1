/* The predictor of a file or of the shipped artefacts, one policy a call. */
#include "predictor/predictor.h"

#include "app/app.h"
#include "base/file.h"

apq_status apq_predictor_create(const apq_space *space, const char *path,
                                apq_predictor **out) {
    char shipped[APQ_PATH_MAX];
    if (path == NULL) {
        APQ_TRY(apq_app_predictor_path(space->name, NULL, shipped));
        path = shipped;
    }
    return apq_predictor_load(path, space, out);
}

apq_status apq_predictor_accuracy(const apq_predictor *predictor,
                                  const apq_policy *policy, bool is_quantised,
                                  double *accuracy) {
    APQ_TRY(apq_policy_check(apq_predictor_space(predictor), policy));
    return apq_predictor_predict(predictor, policy, 1, is_quantised, accuracy);
}
