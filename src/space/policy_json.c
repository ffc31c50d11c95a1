/* Policies as JSON (docs/formats/policy.md): the native form and that of
 * the APQ authors' files, both read and written. */
#include "space/space.h"

#include "space/gene.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

static const char *const bit_keys[APQ_N_BIT_GENES] = {"pw_weight", "pw_act",
                                                      "dw_weight", "dw_act"};

/* In the authors' files, by gene. */
static const char *const authors_keys[APQ_N_BLOCK_GENES] = {
    "ks",
    "e",
    "pw_w_bits_setting",
    "pw_a_bits_setting",
    "dw_w_bits_setting",
    "dw_a_bits_setting",
};

/* The lists of a document, by gene. */
typedef struct layout {
    const json_t *depth;
    const json_t *genes[APQ_N_BLOCK_GENES];
    bool channels_are_ratios;
} layout;

/* Puts `where` before the message of a failure. */
static apq_status prefix(const char *where, apq_status st) {
    return st == APQ_OK ? APQ_OK
                        : APQ_ERROR(st, "%s: %s", where, apq_error_message());
}

static apq_status find_list(const json_t *object, const char *key, int n,
                            const json_t **out) {
    const json_t *list = json_object_get(object, key);
    if (list == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "key '%s' is missing", key);
    }
    if (!json_is_array(list) || json_array_size(list) != (size_t)n) {
        APQ_FAIL(APQ_ERR_FORMAT, "'%s' must be a list of %d values", key, n);
    }
    *out = list;
    return APQ_OK;
}

static apq_status read_integer(const json_t *list, const char *name, int i,
                               int64_t *out) {
    const json_t *item = json_array_get(list, (size_t)i);
    if (!json_is_integer(item)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s[%d] is not an integer", name, i);
    }
    *out = json_integer_value(item);
    return APQ_OK;
}

/* MobileNetV2's rounding of ratio * channels to a multiple of 8, never more
 * than 10 % below the product. */
static apq_status read_ratio(const apq_space *space, const json_t *list,
                             int block, int64_t *out) {
    const json_t *item = json_array_get(list, (size_t)block);
    double ratio = json_is_number(item) ? json_number_value(item) : -1.0;
    if (!(ratio > 0.0 && ratio <= 1000.0)) {
        APQ_FAIL(APQ_ERR_FORMAT, "e[%d] is not an expand ratio in %g..%g",
                 block, space->expand_min, space->expand_max);
    }
    double wanted = ratio * space->blocks[block].in_channels;
    int step = space->channel_step;
    int rounded = (int)(wanted + step / 2.0) / step * step;
    rounded = rounded < step ? step : rounded;
    *out = rounded < 0.9 * wanted ? rounded + step : rounded;
    return APQ_OK;
}

static apq_status read_gene(const apq_space *space, const layout *from,
                            int gene, int block, apq_policy *out) {
    int64_t value = 0;
    if (gene == APQ_GENE_CHANNELS && from->channels_are_ratios) {
        APQ_TRY(read_ratio(space, from->genes[gene], block, &value));
    } else {
        APQ_TRY(read_integer(from->genes[gene], apq_gene_name(gene), block,
                             &value));
    }
    if (!apq_space_block_active(space, out, block) &&
        apq_gene_find(space, gene, block, value) < 0) {
        value = apq_gene_value(space, gene, block, 0); /* ignored anyway */
    }
    APQ_TRY(apq_gene_check(space, gene, block, value));
    apq_gene_set(out, gene, block, (int)value);
    return APQ_OK;
}

static apq_status find_native(const apq_space *space, const json_t *object,
                              layout *out) {
    const json_t *name = json_object_get(object, "space");
    if (name != NULL && (!json_is_string(name) ||
                         strcmp(json_string_value(name), space->name) != 0)) {
        APQ_FAIL(APQ_ERR_MISMATCH, "the policy is of space '%s', expected '%s'",
                 json_is_string(name) ? json_string_value(name) : "?",
                 space->name);
    }
    int n = space->n_blocks;
    APQ_TRY(find_list(object, "depth", space->n_stages, &out->depth));
    APQ_TRY(find_list(object, "kernel", n, &out->genes[APQ_GENE_KERNEL]));
    APQ_TRY(find_list(object, "channels", n, &out->genes[APQ_GENE_CHANNELS]));
    const json_t *bits = json_object_get(object, "bits");
    if (!json_is_object(bits)) {
        APQ_FAIL(APQ_ERR_FORMAT, "key 'bits' is missing or not an object");
    }
    for (int g = 0; g < APQ_N_BIT_GENES; g++) {
        APQ_TRY(
            find_list(bits, bit_keys[g], n, &out->genes[APQ_GENE_BITS + g]));
    }
    out->channels_are_ratios = false;
    return APQ_OK;
}

static apq_status find_authors(const apq_space *space, const json_t *object,
                               layout *out) {
    const json_t *width = json_object_get(object, "wid");
    if (width != NULL && !json_is_null(width)) {
        APQ_FAIL(APQ_ERR_FORMAT, "'wid' must be null: widths are fixed");
    }
    APQ_TRY(find_list(object, "d", space->n_stages, &out->depth));
    for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
        APQ_TRY(find_list(object, authors_keys[g], space->n_blocks,
                          &out->genes[g]));
    }
    out->channels_are_ratios = true;
    return APQ_OK;
}

static apq_status read_policy(const apq_space *space, const json_t *object,
                              apq_policy *out) {
    layout from = {0};
    memset(out, 0, sizeof *out);
    bool is_authors = json_object_get(object, "ks") != NULL;
    APQ_TRY(is_authors ? find_authors(space, object, &from)
                       : find_native(space, object, &from));
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        int64_t depth = 0;
        APQ_TRY(
            read_integer(from.depth, is_authors ? "d" : "depth", s, &depth));
        if (is_authors && stage->min_depth == stage->max_depth) {
            depth = stage->max_depth; /* theirs is drawn and never used */
        }
        APQ_TRY(apq_depth_check(space, s, depth));
        out->depth[s] = (int8_t)depth;
    }
    for (int i = 0; i < space->n_blocks; i++) {
        for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
            APQ_TRY(read_gene(space, &from, g, i, out));
        }
    }
    return apq_policy_check(space, out);
}

/* The object that holds the policy: the document itself, the object of the
 * authors' two-element array, or the "policy" of a search or eval result. */
static const json_t *find_object(const json_t *root) {
    if (json_is_array(root) && json_array_size(root) == 2) {
        for (size_t i = 0; i < 2; i++) {
            const json_t *item = json_array_get(root, i);
            if (json_object_get(item, "ks") != NULL) {
                return item;
            }
        }
        return NULL;
    }
    const json_t *inner = json_object_get(root, "policy");
    return json_is_object(inner) ? inner : json_is_object(root) ? root : NULL;
}

apq_status apq_policy_from_json(const apq_space *space, const char *text,
                                const char *where, apq_policy *out) {
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not valid JSON: %s (column %d)", where,
                 error.text, error.column);
    }
    const json_t *object = find_object(root);
    apq_policy policy;
    apq_status st =
        object == NULL
            ? APQ_ERROR(APQ_ERR_FORMAT,
                        "%s: expected a policy object or the authors' "
                        "two-element array",
                        where)
            : prefix(where, read_policy(space, object, &policy));
    json_decref(root);
    if (st == APQ_OK) {
        *out = policy;
    }
    return st;
}

/* NULL when memory is exhausted, as every builder below: jansson's "new"
 * setters take NULL and report failure. */
static json_t *gene_list(const apq_space *space, const apq_policy *policy,
                         int gene) {
    json_t *list = json_array();
    for (int i = 0; i < space->n_blocks && list != NULL; i++) {
        json_t *value = json_integer(apq_gene_get(policy, gene, i));
        if (json_array_append_new(list, value) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *depth_list(const apq_space *space, const apq_policy *policy) {
    json_t *list = json_array();
    for (int s = 0; s < space->n_stages && list != NULL; s++) {
        if (json_array_append_new(list, json_integer(policy->depth[s])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

char *apq_policy_to_json(const apq_space *space, const apq_policy *policy) {
    json_t *bits = json_object();
    bool failed = false;
    for (int g = 0; g < APQ_N_BIT_GENES; g++) {
        failed |= json_object_set_new(
                      bits, bit_keys[g],
                      gene_list(space, policy, APQ_GENE_BITS + g)) != 0;
    }
    json_t *root = json_object();
    failed |= json_object_set_new(root, "space", json_string(space->name)) != 0;
    failed |=
        json_object_set_new(root, "depth", depth_list(space, policy)) != 0;
    failed |=
        json_object_set_new(root, "kernel",
                            gene_list(space, policy, APQ_GENE_KERNEL)) != 0;
    failed |=
        json_object_set_new(root, "channels",
                            gene_list(space, policy, APQ_GENE_CHANNELS)) != 0;
    failed |= json_object_set_new(root, "bits", bits) != 0;
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

static json_t *ratio_list(const apq_space *space, const apq_policy *policy) {
    json_t *list = json_array();
    for (int i = 0; i < space->n_blocks && list != NULL; i++) {
        double ratio =
            (double)policy->channels[i] / space->blocks[i].in_channels;
        if (json_array_append_new(list, json_real(ratio)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

char *apq_policy_to_authors_json(const apq_space *space,
                                 const apq_policy *policy) {
    json_t *root = json_object();
    bool failed = json_object_set_new(root, "wid", json_null()) != 0;
    for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
        failed |= json_object_set_new(root, authors_keys[g],
                                      g == APQ_GENE_CHANNELS
                                          ? ratio_list(space, policy)
                                          : gene_list(space, policy, g)) != 0;
    }
    failed |= json_object_set_new(root, "d", depth_list(space, policy)) != 0;
    /* 16 digits: reading rounds to whole steps of channels anyway. */
    char *text = failed
                     ? NULL
                     : json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(16));
    json_decref(root);
    return text;
}
