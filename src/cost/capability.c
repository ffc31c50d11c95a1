/* Bit pairs and containers of a target, read strictly from its file. A pair
 * belongs to one row only, so that its container is never in doubt. */
#include "cost/capability.h"

#include <string.h>

enum { MIN_BITS = 2, MAX_BITS = APQ_CAPABILITY_MAX_BITS };

static apq_status read_bits(const apq_yaml *yaml, apq_yaml_node row,
                            const char *key, bool out[MAX_BITS + 1]) {
    int bits[MAX_BITS];
    size_t n = 0;
    APQ_TRY(apq_yaml_int_list(yaml, row, key, false, MIN_BITS, MAX_BITS,
                              MAX_BITS, bits, &n));
    for (size_t i = 0; i < n; i++) {
        out[bits[i]] = true;
    }
    return APQ_OK;
}

static bool is_wider(const bool bits[MAX_BITS + 1], int container) {
    for (int b = container + 1; b <= MAX_BITS; b++) {
        if (bits[b]) {
            return true;
        }
    }
    return false;
}

static apq_status read_row(const apq_yaml *yaml, apq_yaml_node node,
                           apq_capability_row *out) {
    static const char *const legal[] = {"weight_bits", "act_bits",
                                        "container_bits", NULL};
    APQ_TRY(apq_yaml_check_keys(yaml, node, legal));
    *out = (apq_capability_row){0};
    APQ_TRY(read_bits(yaml, node, "weight_bits", out->weight_bits));
    APQ_TRY(read_bits(yaml, node, "act_bits", out->act_bits));
    int container[2];
    size_t n = 0;
    APQ_TRY(apq_yaml_int_list(yaml, node, "container_bits", true, MIN_BITS,
                              APQ_CAPABILITY_MAX_CONTAINER, 2, container, &n));
    if (n == 0) {
        return APQ_OK;
    }
    if (n != 2 || is_wider(out->weight_bits, container[0]) ||
        is_wider(out->act_bits, container[1])) {
        APQ_FAIL(
            APQ_ERR_FORMAT,
            "%s:%d: container_bits: expected [weights, activations], each "
            "at least as wide as the row's bits",
            apq_yaml_path(yaml),
            apq_yaml_line(yaml, apq_yaml_find(yaml, node, "container_bits")));
    }
    out->weight_container_bits = container[0];
    out->act_container_bits = container[1];
    return APQ_OK;
}

static apq_status check_overlap(const apq_yaml *yaml, apq_yaml_node node,
                                const apq_capability *c, apq_ir_kind kind,
                                const apq_capability_row *row) {
    for (int w = MIN_BITS; w <= MAX_BITS; w++) {
        for (int a = MIN_BITS; a <= MAX_BITS; a++) {
            int ignored[2];
            if (row->weight_bits[w] && row->act_bits[a] &&
                apq_capability_find(c, kind, w, a, &ignored[0], &ignored[1])) {
                APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %s: W%d A%d is listed twice",
                         apq_yaml_path(yaml), apq_yaml_line(yaml, node),
                         apq_ir_kind_name(kind), w, a);
            }
        }
    }
    return APQ_OK;
}

static apq_status read_operator(const apq_yaml *yaml, apq_yaml_node mapping,
                                apq_ir_kind kind, apq_capability *out) {
    const char *key = apq_ir_kind_name(kind);
    apq_yaml_node list = apq_yaml_find(yaml, mapping, key);
    size_t n = apq_yaml_length(yaml, list);
    if (!apq_yaml_is_sequence(yaml, list) || n > APQ_CAPABILITY_MAX_ROWS) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%d: capabilities: %s: expected a list of 0 to %d rows",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, list != 0 ? list : mapping), key,
                 (int)APQ_CAPABILITY_MAX_ROWS);
    }
    for (size_t i = 0; i < n; i++) {
        apq_yaml_node node = apq_yaml_at(yaml, list, i);
        apq_capability_row row;
        APQ_TRY(read_row(yaml, node, &row));
        APQ_TRY(check_overlap(yaml, node, out, kind, &row));
        out->rows[kind][out->n_rows[kind]++] = row;
    }
    return APQ_OK;
}

apq_status apq_capability_read(const apq_yaml *yaml, bool optional,
                               apq_capability *out) {
    apq_yaml_node root = apq_yaml_root(yaml);
    apq_yaml_node mapping = apq_yaml_find(yaml, root, "capabilities");
    *out = (apq_capability){.is_given = mapping != 0};
    if (mapping == 0 && optional) {
        return APQ_OK;
    }
    if (mapping == 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: key 'capabilities' is missing",
                 apq_yaml_path(yaml), apq_yaml_line(yaml, root));
    }
    APQ_TRY(apq_yaml_check_keys(yaml, mapping, apq_ir_kind_names));
    for (int kind = 0; kind < APQ_IR_N_KINDS; kind++) {
        APQ_TRY(read_operator(yaml, mapping, (apq_ir_kind)kind, out));
    }
    return APQ_OK;
}

bool apq_capability_find(const apq_capability *c, apq_ir_kind kind,
                         int weight_bits, int act_bits,
                         int *weight_container_bits, int *act_container_bits) {
    *weight_container_bits = weight_bits;
    *act_container_bits = act_bits;
    if (!c->is_given) {
        return true;
    }
    if (weight_bits < MIN_BITS || weight_bits > MAX_BITS ||
        act_bits < MIN_BITS || act_bits > MAX_BITS) {
        return false;
    }
    for (size_t i = 0; i < c->n_rows[kind]; i++) {
        const apq_capability_row *row = &c->rows[kind][i];
        if (row->weight_bits[weight_bits] && row->act_bits[act_bits]) {
            if (row->weight_container_bits != 0) {
                *weight_container_bits = row->weight_container_bits;
                *act_container_bits = row->act_container_bits;
            }
            return true;
        }
    }
    return false;
}

apq_status apq_capability_check(const apq_capability *capability,
                                const apq_ir_layer *layer) {
    int ignored[2];
    if (!apq_capability_find(capability, layer->kind, layer->weight_bits,
                             layer->act_bits, &ignored[0], &ignored[1])) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: W%d A%d not in the target's capabilities for %s",
                 layer->name, layer->weight_bits, layer->act_bits,
                 apq_ir_kind_name(layer->kind));
    }
    return APQ_OK;
}
