#ifndef APQ_SPACE_H
#define APQ_SPACE_H

#include <apq/export.h>
#include <apq/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A search space: which networks there are. Stages choose their depth; blocks
 * choose kernel, middle channels and four bit-widths. Never changed once made:
 * any number of threads may use one.
 * Source: APQ, CVPR 2020, section 3.1. */
typedef struct apq_space apq_space;

/* One network of a space. Never changed once made, as the space. */
typedef struct apq_policy apq_policy;

/* NULL-terminated names of the built-in spaces; static. */
APQ_API const char *const *apq_space_names(void);

/* A built-in space by name, or a YAML file when the text contains '/' or ends
 * in .yaml (docs/formats/space.md). Built-in files are found as docs/libapq.md
 * says, "Where the data are".
 * Errors: ARG unknown name; IO, FORMAT the file; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_space_create(const char *name_or_path,
                                                  apq_space **out);
/* NULL is fine. */
APQ_API void apq_space_destroy(apq_space *space);

/* The file's `name`; borrowed. */
APQ_API const char *apq_space_name(const apq_space *space);

/* Reads and checks one policy: JSON in apq's or the authors' form
 * (docs/formats/policy.md).
 * Errors: FORMAT not such a document, or a gene that the space does not offer
 * (the message names gene, block, value and legal values); MISMATCH it names
 * another space; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_policy_create(const apq_space *space,
                                                   const char *json,
                                                   apq_policy **out);
/* NULL is fine. */
APQ_API void apq_policy_destroy(apq_policy *policy);

/* One line of JSON in apq's form, which apq_policy_create and the commands of
 * apq read back. The caller releases it with free().
 * Errors: FORMAT the policy is not of this space; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_policy_json(const apq_space *space,
                                                 const apq_policy *policy,
                                                 char **out);

#ifdef __cplusplus
}
#endif

#endif
