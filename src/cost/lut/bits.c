/* The bits that a table has prices for, in the form of a target's
 * capabilities: pairs of the rows first, one weight width a row, then those
 * rows together that differ in the weights alone. */
#include "cost/lut/lut.h"

#include <string.h>

static bool is_as_asked(const apq_lut_row *row) {
    return row->sample.weight_container_bits == row->key[APQ_LUT_WEIGHT_BITS] &&
           row->sample.act_container_bits == row->key[APQ_LUT_ACT_BITS];
}

/* Containers are left out where all rows of a kind run as asked. */
static void find_containers(const apq_lut *lut, bool out[APQ_IR_N_KINDS]) {
    memset(out, 0, APQ_IR_N_KINDS * sizeof *out);
    for (size_t i = 0; i < apq_lut_n_rows(lut); i++) {
        const apq_lut_row *row = apq_lut_row_at(lut, i);
        out[row->key[APQ_LUT_KIND]] |= row->is_supported && !is_as_asked(row);
    }
}

static void add_pair(const apq_lut_row *row, bool has_container,
                     apq_capability_row *list, size_t *n) {
    int weight_bits = row->key[APQ_LUT_WEIGHT_BITS];
    int weight = has_container ? row->sample.weight_container_bits : 0;
    int act = has_container ? row->sample.act_container_bits : 0;
    size_t i = 0;
    while (i < *n && !(list[i].weight_bits[weight_bits] &&
                       list[i].weight_container_bits == weight &&
                       list[i].act_container_bits == act)) {
        i++;
    }
    if (i == APQ_CAPABILITY_MAX_ROWS) {
        return;
    }
    if (i == *n) {
        list[(*n)++] = (apq_capability_row){.weight_container_bits = weight,
                                            .act_container_bits = act};
    }
    list[i].weight_bits[weight_bits] = true;
    list[i].act_bits[row->key[APQ_LUT_ACT_BITS]] = true;
}

static bool differ_in_weights_only(const apq_capability_row *a,
                                   const apq_capability_row *b) {
    return a->weight_container_bits == b->weight_container_bits &&
           a->act_container_bits == b->act_container_bits &&
           memcmp(a->act_bits, b->act_bits, sizeof a->act_bits) == 0;
}

static void merge(apq_capability_row *list, size_t *n) {
    size_t n_kept = 0;
    for (size_t i = 0; i < *n; i++) {
        size_t k = 0;
        while (k < n_kept && !differ_in_weights_only(&list[k], &list[i])) {
            k++;
        }
        if (k == n_kept) {
            list[n_kept++] = list[i];
        }
        for (int b = 0; b <= APQ_CAPABILITY_MAX_BITS; b++) {
            list[k].weight_bits[b] |= list[i].weight_bits[b];
        }
    }
    *n = n_kept;
}

void apq_lut_bits(const apq_lut *lut, apq_capability *out) {
    bool has_container[APQ_IR_N_KINDS];
    find_containers(lut, has_container);
    *out = (apq_capability){.is_given = true};
    for (size_t i = 0; i < apq_lut_n_rows(lut); i++) {
        const apq_lut_row *row = apq_lut_row_at(lut, i);
        int kind = row->key[APQ_LUT_KIND];
        if (row->is_supported) {
            add_pair(row, has_container[kind], out->rows[kind],
                     &out->n_rows[kind]);
        }
    }
    for (int kind = 0; kind < APQ_IR_N_KINDS; kind++) {
        merge(out->rows[kind], &out->n_rows[kind]);
    }
}
