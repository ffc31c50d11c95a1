/* Spaces from YAML: every key is checked, then the blocks that follow from
 * the stages are laid out. Format: docs/formats/space.md. */
#include "space/space.h"

#include "base/datapath.h"
#include "base/file.h"
#include "base/words.h"
#include "base/yaml.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHANNELS = 4096, CHANNEL_STEP = 8 };

static apq_status read_int(const apq_yaml *yaml, apq_yaml_node mapping,
                           const char *key, int low, int high, int *out) {
    int64_t value;
    APQ_TRY(apq_yaml_int(yaml, mapping, key, false, low, high, &value));
    *out = (int)value;
    return APQ_OK;
}

/* The mapping under `key`, its keys checked. */
static apq_status read_mapping(const apq_yaml *yaml, const char *key,
                               const char *const *legal, apq_yaml_node *out) {
    apq_yaml_node root = apq_yaml_root(yaml);
    *out = apq_yaml_find(yaml, root, key);
    if (*out == 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: key '%s' is missing",
                 apq_yaml_path(yaml), apq_yaml_line(yaml, root), key);
    }
    return apq_yaml_check_keys(yaml, *out, legal);
}

static apq_status read_ascending(const apq_yaml *yaml, const char *key, int low,
                                 int high, size_t capacity, int *out, int *n) {
    size_t length;
    apq_yaml_node root = apq_yaml_root(yaml);
    APQ_TRY(apq_yaml_int_list(yaml, root, key, false, low, high, capacity, out,
                              &length));
    for (size_t i = 1; i < length; i++) {
        if (out[i] <= out[i - 1]) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %s: %d after %d, must ascend",
                     apq_yaml_path(yaml),
                     apq_yaml_line(yaml, apq_yaml_find(yaml, root, key)), key,
                     out[i], out[i - 1]);
        }
    }
    *n = (int)length;
    return APQ_OK;
}

static apq_status read_stage(const apq_yaml *yaml, apq_yaml_node node,
                             apq_space *space) {
    static const char *const keys[] = {"width", "stride", "depth", NULL};
    APQ_TRY(apq_yaml_check_keys(yaml, node, keys));
    apq_space_stage *stage = &space->stages[space->n_stages++];
    APQ_TRY(read_int(yaml, node, "width", 1, MAX_CHANNELS, &stage->width));
    APQ_TRY(read_int(yaml, node, "stride", 1, 2, &stage->stride));
    int depth[2];
    size_t n = 0;
    APQ_TRY(apq_yaml_int_list(yaml, node, "depth", false, 1, APQ_MAX_BLOCKS, 2,
                              depth, &n));
    if (n != 2 || depth[0] > depth[1]) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: depth: expected [fewest, most] blocks",
                 apq_yaml_path(yaml), apq_yaml_line(yaml, node));
    }
    stage->min_depth = depth[0];
    stage->max_depth = depth[1];
    stage->first_block = space->n_blocks;
    space->n_blocks += stage->max_depth;
    if (space->n_blocks > APQ_MAX_BLOCKS) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %d blocks up to here, at most %d",
                 apq_yaml_path(yaml), apq_yaml_line(yaml, node),
                 space->n_blocks, APQ_MAX_BLOCKS);
    }
    return APQ_OK;
}

static apq_status read_stages(const apq_yaml *yaml, apq_space *space) {
    apq_yaml_node root = apq_yaml_root(yaml);
    apq_yaml_node list = apq_yaml_find(yaml, root, "stages");
    size_t n = apq_yaml_length(yaml, list);
    if (n == 0 || n > APQ_MAX_STAGES) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: stages: expected a list of 1 to %d",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, list != 0 ? list : root), APQ_MAX_STAGES);
    }
    for (size_t i = 0; i < n; i++) {
        APQ_TRY(read_stage(yaml, apq_yaml_at(yaml, list, i), space));
    }
    return APQ_OK;
}

/* Middle channels are the multiples of 8 within the expansion's range; the
 * tolerance keeps exact products such as 5.1 * 80 inside. */
static apq_status lay_out_blocks(const apq_yaml *yaml, apq_space *space) {
    int in_channels = space->first_channels;
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        for (int p = 0; p < stage->max_depth; p++) {
            apq_space_block *b = &space->blocks[stage->first_block + p];
            double low = space->expand_min * in_channels / CHANNEL_STEP;
            double high = space->expand_max * in_channels / CHANNEL_STEP;
            b->stage = s;
            b->position = p;
            b->in_channels = in_channels;
            b->out_channels = stage->width;
            b->stride = p == 0 ? stage->stride : 1;
            b->min_channels = CHANNEL_STEP * (int)ceil(low - 1e-9);
            b->max_channels = CHANNEL_STEP * (int)floor(high + 1e-9);
            b->has_residual = b->stride == 1 && in_channels == stage->width;
            if (b->min_channels > b->max_channels ||
                b->max_channels > INT16_MAX) {
                APQ_FAIL(APQ_ERR_FORMAT,
                         "%s: expand %g..%g of %d channels has no multiple of "
                         "%d in %d..%d (stage %d)",
                         apq_yaml_path(yaml), space->expand_min,
                         space->expand_max, in_channels, CHANNEL_STEP,
                         CHANNEL_STEP, INT16_MAX, s);
            }
            in_channels = stage->width;
        }
    }
    return APQ_OK;
}

static apq_status read_choices(const apq_yaml *yaml, apq_space *space) {
    static const char *const expand_keys[] = {"min", "max", NULL};
    APQ_TRY(read_ascending(yaml, "kernels", 3, 7, APQ_MAX_KERNELS,
                           space->kernels, &space->n_kernels));
    for (int k = 0; k < space->n_kernels; k++) {
        if (space->kernels[k] % 2 == 0) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: kernels: %d not in 3, 5, 7",
                     apq_yaml_path(yaml), space->kernels[k]);
        }
    }
    APQ_TRY(read_ascending(yaml, "bits", 2, 8, APQ_MAX_BITS, space->bits,
                           &space->n_bits));
    apq_yaml_node expand;
    APQ_TRY(read_mapping(yaml, "expand", expand_keys, &expand));
    APQ_TRY(apq_yaml_double(yaml, expand, "min", false, 1.0, 16.0,
                            &space->expand_min));
    APQ_TRY(apq_yaml_double(yaml, expand, "max", false, space->expand_min, 16.0,
                            &space->expand_max));
    APQ_TRY(apq_yaml_bool(yaml, apq_yaml_root(yaml), "forbid_kernel7_dw_act4",
                          true, &space->forbids_k7_dw_act4));
    if (space->forbids_k7_dw_act4 &&
        (space->n_kernels < 2 || space->n_bits < 2)) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: forbid_kernel7_dw_act4 needs at least two kernels and "
                 "two bits",
                 apq_yaml_path(yaml));
    }
    return APQ_OK;
}

static apq_status read_accounting(const apq_yaml *yaml, apq_space *space) {
    apq_yaml_node root = apq_yaml_root(yaml);
    const char *accounting = "all";
    APQ_TRY(apq_yaml_string(yaml, root, "accounting", true, &accounting));
    space->prices_all_layers = strcmp(accounting, "all") == 0;
    if (!space->prices_all_layers && strcmp(accounting, "authors") != 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: accounting: '%s' not in all, authors",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, apq_yaml_find(yaml, root, "accounting")),
                 accounting);
    }
    return APQ_OK;
}

static apq_status read_name(const apq_yaml *yaml, apq_space *space) {
    const char *name = NULL;
    apq_yaml_node root = apq_yaml_root(yaml);
    APQ_TRY(apq_yaml_string(yaml, root, "name", false, &name));
    size_t n = strlen(name);
    if (n == 0 || n >= APQ_SPACE_NAME_MAX) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: name has %zu characters, legal 1..%d",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, apq_yaml_find(yaml, root, "name")), n,
                 APQ_SPACE_NAME_MAX - 1);
    }
    memcpy(space->name, name, n + 1);
    return APQ_OK;
}

static apq_status read_space(const apq_yaml *yaml, apq_space *space) {
    static const char *const keys[] = {
        "name",
        "resolution",
        "image_channels",
        "classes",
        "stem",
        "first_channels",
        "head_channels",
        "kernels",
        "bits",
        "expand",
        "stages",
        "accounting",
        "forbid_kernel7_dw_act4",
        NULL,
    };
    static const char *const stem_keys[] = {"channels", "stride", NULL};
    apq_yaml_node root = apq_yaml_root(yaml), stem;
    memset(space, 0, sizeof *space);
    space->channel_step = CHANNEL_STEP;
    APQ_TRY(apq_yaml_check_keys(yaml, root, keys));
    APQ_TRY(read_name(yaml, space));
    APQ_TRY(read_int(yaml, root, "resolution", 4, 1024, &space->resolution));
    APQ_TRY(
        read_int(yaml, root, "image_channels", 1, 16, &space->image_channels));
    APQ_TRY(
        read_int(yaml, root, "classes", 2, APQ_MAX_CLASSES, &space->n_classes));
    space->own_classes = space->n_classes;
    APQ_TRY(read_mapping(yaml, "stem", stem_keys, &stem));
    APQ_TRY(read_int(yaml, stem, "channels", 1, MAX_CHANNELS,
                     &space->stem_channels));
    APQ_TRY(read_int(yaml, stem, "stride", 1, 2, &space->stem_stride));
    APQ_TRY(read_int(yaml, root, "first_channels", 1, MAX_CHANNELS,
                     &space->first_channels));
    APQ_TRY(read_int(yaml, root, "head_channels", 1, MAX_CHANNELS,
                     &space->head_channels));
    APQ_TRY(read_choices(yaml, space));
    APQ_TRY(read_accounting(yaml, space));
    APQ_TRY(read_stages(yaml, space));
    return lay_out_blocks(yaml, space);
}

static apq_status find_builtin(const char *name, char path[APQ_PATH_MAX]) {
    const char *const *names = apq_space_names();
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0) {
            char relative[APQ_PATH_MAX];
            (void)snprintf(relative, sizeof relative, "configs/spaces/%s.yaml",
                           name);
            return apq_data_path(relative, path);
        }
        int n = snprintf(list + used, sizeof list - used, "%s%s",
                         i > 0 ? ", " : "", names[i]);
        used += n > 0 && (size_t)n < sizeof list - used ? (size_t)n : 0;
    }
    const char *near = apq_nearest_word(name, names);
    APQ_FAIL(APQ_ERR_ARG,
             "unknown space '%s'%s%s%s (built in: %s; or give a .yaml file)",
             name, near != NULL ? ", did you mean '" : "",
             near != NULL ? near : "", near != NULL ? "'?" : "", list);
}

apq_status apq_space_parse(const char *text, const char *where,
                           apq_space *out) {
    apq_yaml *yaml = NULL;
    APQ_TRY(apq_yaml_parse(text, strlen(text), where, &yaml));
    apq_space space;
    apq_status st = read_space(yaml, &space);
    apq_yaml_destroy(yaml);
    if (st == APQ_OK) {
        *out = space;
    }
    return st;
}

/* Text that the metadata of a file can hold. */
static apq_status check_text(const char *path, const char *text,
                             size_t n_bytes) {
    json_t *held = json_stringn(text, n_bytes);
    bool is_text = held != NULL && strlen(text) == n_bytes;
    json_decref(held);
    if (!is_text) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: is not UTF-8", path);
    }
    return APQ_OK;
}

static apq_status load_file(const char *path, apq_space *out,
                            char **text_or_null) {
    char *text = NULL;
    size_t n_bytes;
    APQ_TRY(apq_file_read(path, &text, &n_bytes));
    apq_status st = check_text(path, text, n_bytes);
    if (st == APQ_OK) {
        st = apq_space_parse(text, path, out);
    }
    if (st == APQ_OK && text_or_null != NULL) {
        *text_or_null = text; /* success: ownership moves to the caller */
        text = NULL;
    }
    free(text);
    return st;
}

apq_status apq_space_load_builtin(const char *name, apq_space *out) {
    char path[APQ_PATH_MAX];
    APQ_TRY(find_builtin(name, path));
    return load_file(path, out, NULL);
}

bool apq_space_is_file(const char *name_or_path) {
    size_t n = strlen(name_or_path);
    return strchr(name_or_path, '/') != NULL ||
           (n > 5 && strcmp(name_or_path + n - 5, ".yaml") == 0);
}

apq_status apq_space_load(const char *name_or_path, apq_space *out) {
    return apq_space_load_text(name_or_path, out, NULL);
}

apq_status apq_space_load_text(const char *name_or_path, apq_space *out,
                               char **text_or_null) {
    if (apq_space_is_file(name_or_path)) {
        return load_file(name_or_path, out, text_or_null);
    }
    if (text_or_null != NULL) {
        *text_or_null = NULL;
    }
    return apq_space_load_builtin(name_or_path, out);
}
