#ifndef APQ_APP_CHOOSE_POLICY_H
#define APQ_APP_CHOOSE_POLICY_H

#include "base/status.h"
#include "space/space.h"

/* "largest", "smallest", "random:SEED", or the path of a JSON file with a
 * policy. Errors: those of apq_policy_named, apq_file_read and
 * apq_policy_from_json. */
APQ_NODISCARD apq_status apq_app_choose_policy(const apq_space *space,
                                               const char *text,
                                               apq_policy *out);

#endif
