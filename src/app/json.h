#ifndef APQ_APP_JSON_H
#define APQ_APP_JSON_H

#include "base/status.h"
#include "cost/cost.h"
#include "space/space.h"

#include <jansson.h>

/* The values that several documents share. Each is new and the
 * caller's; NULL when memory is out. */

/* null when not finite. */
json_t *apq_json_number(double value);
/* All fields by name, null where the target gives none. */
json_t *apq_json_cost(const apq_cost *cost);
/* What may be no UTF-8, such as a path: then each of its bytes above 127 is
 * '?'. */
json_t *apq_json_text(const char *text);
json_t *apq_json_policy(const apq_space *space, const apq_policy *policy);

/* The policy of a JSON value; `where` prefixes messages. Errors: FORMAT for
 * none (NULL, too); those of apq_policy_from_json. */
APQ_NODISCARD apq_status apq_json_to_policy(const apq_space *space,
                                            const json_t *value,
                                            const char *where, apq_policy *out);

/* The object that a file holds, the caller's. Errors: FORMAT with the line;
 * IO, NOMEM. */
APQ_NODISCARD apq_status apq_json_read(const char *path, json_t **out);

/* Writes an indented document atomically, reals to `digits` digits, and
 * releases it; `root` NULL is out of memory. Errors: IO, NOMEM. */
APQ_NODISCARD apq_status apq_json_write(json_t *root, int digits,
                                        const char *path);

#endif
