/* Policies as users name them: by word or by file. */
#include "app/choose_policy.h"

#include "base/file.h"

#include <stdlib.h>

apq_status apq_app_choose_policy(const apq_space *space, const char *text,
                                 apq_policy *out) {
    if (text[0] == '\0') {
        APQ_FAIL(APQ_ERR_ARG, "no policy named: largest, smallest, random:SEED "
                              "or a JSON file");
    }
    bool is_name;
    apq_status named = apq_policy_named(space, text, &is_name, out);
    if (named != APQ_OK || is_name) {
        return named;
    }
    char *json;
    size_t n_bytes;
    APQ_TRY(apq_file_read(text, &json, &n_bytes));
    apq_status st = apq_policy_from_json(space, json, text, out);
    free(json);
    return st;
}
