#ifndef APQ_BASE_YAML_H
#define APQ_BASE_YAML_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A parsed YAML document (libyaml) whose readers report file and line. A
 * node is an index; 0 means absent. Duplicate keys are refused. */
typedef struct apq_yaml apq_yaml;
typedef int apq_yaml_node;

APQ_NODISCARD apq_status apq_yaml_load(const char *path, apq_yaml **out);
/* The same of a file's bytes; `path` is for messages. */
APQ_NODISCARD apq_status apq_yaml_parse(const char *text, size_t n_bytes,
                                        const char *path, apq_yaml **out);
void apq_yaml_destroy(apq_yaml *yaml);

/* The root, which must be a mapping (apq_yaml_load refuses others). */
apq_yaml_node apq_yaml_root(const apq_yaml *yaml);
const char *apq_yaml_path(const apq_yaml *yaml);
int apq_yaml_line(const apq_yaml *yaml, apq_yaml_node node);
bool apq_yaml_is_sequence(const apq_yaml *yaml, apq_yaml_node node);
bool apq_yaml_is_mapping(const apq_yaml *yaml, apq_yaml_node node);
size_t apq_yaml_length(const apq_yaml *yaml, apq_yaml_node sequence);
apq_yaml_node apq_yaml_at(const apq_yaml *yaml, apq_yaml_node sequence,
                          size_t i);

/* Text of a scalar, borrowed; NULL for an absent node or another kind. */
const char *apq_yaml_text(const apq_yaml *yaml, apq_yaml_node node);

/* Value of `key` in a mapping, or 0. */
apq_yaml_node apq_yaml_find(const apq_yaml *yaml, apq_yaml_node mapping,
                            const char *key);
/* Refuses keys outside the NULL-terminated list, naming line and the nearest
 * legal key. */
APQ_NODISCARD apq_status apq_yaml_check_keys(const apq_yaml *yaml,
                                             apq_yaml_node mapping,
                                             const char *const *legal);

/* true and false, or 1 and 0; false, and *out as it is, for other texts. */
bool apq_yaml_bool_of(const char *text, bool *out);

/* Scalars of a mapping. Required unless `optional`, in which case an absent
 * key leaves *out as it is. Numbers outside [low, high] are refused. */
APQ_NODISCARD apq_status apq_yaml_int(const apq_yaml *yaml,
                                      apq_yaml_node mapping, const char *key,
                                      bool optional, int64_t low, int64_t high,
                                      int64_t *out);
APQ_NODISCARD apq_status apq_yaml_double(const apq_yaml *yaml,
                                         apq_yaml_node mapping, const char *key,
                                         bool optional, double low, double high,
                                         double *out);
APQ_NODISCARD apq_status apq_yaml_bool(const apq_yaml *yaml,
                                       apq_yaml_node mapping, const char *key,
                                       bool optional, bool *out);
/* *out is borrowed from the document. */
APQ_NODISCARD apq_status apq_yaml_string(const apq_yaml *yaml,
                                         apq_yaml_node mapping, const char *key,
                                         bool optional, const char **out);
/* A sequence of 1 to `capacity` integers in [low, high]. */
APQ_NODISCARD apq_status apq_yaml_int_list(
    const apq_yaml *yaml, apq_yaml_node mapping, const char *key, bool optional,
    int64_t low, int64_t high, size_t capacity, int *out, size_t *n);

#endif
