/* A table of layer costs in memory. Rows are found through a hash table with
 * integer keys; two sorted orders of the rows give the neighbours in width
 * between which a missing layer is interpolated. */
#include "cost/lut/lut.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 1024, N_BASE = APQ_LUT_IN_CHANNELS };

/* The two orders rows are sorted in: neighbours differ in output channels, or
 * in input channels. */
enum { ALONG_OUT, ALONG_IN, N_ORDERS };

struct apq_lut {
    apq_lut_header header;
    apq_lut_row *rows;
    size_t n_rows, capacity;
    uint32_t *slots; /* row + 1, or 0; twice the capacity */
    uint32_t *order[N_ORDERS];
};

static const struct {
    const char *name;
    int32_t low, high;
} key_fields[APQ_LUT_N_KEY] = {
    [APQ_LUT_KIND] = {"kind", APQ_IR_CONV, APQ_IR_LINEAR},
    [APQ_LUT_INPUT_IMAGE] = {"input_image", 0, 1},
    [APQ_LUT_ACT_SIGNED] = {"act_signed", 0, 1},
    [APQ_LUT_RELU6] = {"relu6", 0, 1},
    [APQ_LUT_KERNEL] = {"kernel", 1, 31},
    [APQ_LUT_STRIDE] = {"stride", 1, 31},
    [APQ_LUT_SIZE] = {"size", 1, 4096},
    [APQ_LUT_WEIGHT_BITS] = {"weight_bits", 2, 8},
    [APQ_LUT_ACT_BITS] = {"act_bits", 2, 8},
    [APQ_LUT_IN_CHANNELS] = {"in_channels", 1, 65536},
    [APQ_LUT_OUT_CHANNELS] = {"out_channels", 1, 65536},
};

int apq_lut_kind_find(const char *name) {
    for (int i = 0; i < APQ_IR_N_KINDS; i++) {
        if (strcmp(name, apq_ir_kind_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

const char *apq_lut_key_name(int field) {
    APQ_ASSERT(field >= 0 && field < APQ_LUT_N_KEY);
    return key_fields[field].name;
}

void apq_lut_key_range(int field, int32_t *low, int32_t *high) {
    APQ_ASSERT(field >= 0 && field < APQ_LUT_N_KEY);
    *low = key_fields[field].low;
    *high = key_fields[field].high;
}

apq_status apq_lut_create(const apq_lut_header *header, apq_lut **out) {
    apq_lut *lut = apq_calloc(1, sizeof *lut);
    if (lut == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "no memory for a table of layer costs");
    }
    lut->header = *header;
    *out = lut;
    return APQ_OK;
}

void apq_lut_destroy(apq_lut *lut) {
    if (lut != NULL) {
        free(lut->rows);
        free(lut->slots);
        for (int i = 0; i < N_ORDERS; i++) {
            free(lut->order[i]);
        }
        free(lut);
    }
}

const apq_lut_header *apq_lut_header_of(const apq_lut *lut) {
    return &lut->header;
}

void apq_lut_set_complete(apq_lut *lut) {
    lut->header.is_complete = true;
}

size_t apq_lut_n_rows(const apq_lut *lut) {
    return lut->n_rows;
}

const apq_lut_row *apq_lut_row_at(const apq_lut *lut, size_t i) {
    APQ_ASSERT(i < lut->n_rows);
    return &lut->rows[i];
}

static void make_key(const apq_lut *lut, const apq_ir_layer *l,
                     int32_t key[APQ_LUT_N_KEY]) {
    const int32_t values[APQ_LUT_N_KEY] = {
        [APQ_LUT_KIND] = (int32_t)l->kind,
        [APQ_LUT_INPUT_IMAGE] = l->is_input_image,
        [APQ_LUT_ACT_SIGNED] = lut->header.has_flags && l->is_act_signed,
        [APQ_LUT_RELU6] = lut->header.has_flags && l->has_relu6,
        [APQ_LUT_KERNEL] = l->kernel,
        [APQ_LUT_STRIDE] = l->stride,
        [APQ_LUT_SIZE] = l->in_size,
        [APQ_LUT_WEIGHT_BITS] = l->weight_bits,
        [APQ_LUT_ACT_BITS] = l->act_bits,
        [APQ_LUT_IN_CHANNELS] = l->in_channels,
        [APQ_LUT_OUT_CHANNELS] = l->out_channels,
    };
    memcpy(key, values, sizeof values);
}

void apq_lut_row_layer(const apq_lut_row *row, apq_ir_layer *out) {
    const int32_t *key = row->key;
    apq_ir_kind kind = (apq_ir_kind)key[APQ_LUT_KIND];
    int size = key[APQ_LUT_SIZE], stride = key[APQ_LUT_STRIDE];
    *out = (apq_ir_layer){
        .kind = kind,
        .block = -1,
        .in_channels = key[APQ_LUT_IN_CHANNELS],
        .out_channels = key[APQ_LUT_OUT_CHANNELS],
        .kernel = key[APQ_LUT_KERNEL],
        .stride = stride,
        .in_size = size,
        .out_size = kind == APQ_IR_LINEAR ? 1 : (size + stride - 1) / stride,
        .weight_bits = key[APQ_LUT_WEIGHT_BITS],
        .act_bits = key[APQ_LUT_ACT_BITS],
        .is_act_signed = key[APQ_LUT_ACT_SIGNED] != 0,
        .is_input_image = key[APQ_LUT_INPUT_IMAGE] != 0,
        .has_relu6 = key[APQ_LUT_RELU6] != 0,
        .residual_from = -1,
        .is_priced = true,
    };
    static const apq_ir_role roles[] = {
        [APQ_IR_CONV] = APQ_ROLE_STEM,
        [APQ_IR_POINTWISE] = APQ_ROLE_EXPAND,
        [APQ_IR_DEPTHWISE] = APQ_ROLE_DEPTHWISE,
        [APQ_IR_LINEAR] = APQ_ROLE_CLASSIFIER,
    };
    out->role = roles[kind];
    (void)snprintf(out->name, sizeof out->name, "%s", apq_ir_kind_name(kind));
}

/* "expand of block 3" says too little: a table is about shapes. */
static const char *describe(const apq_ir_layer *l, char out[160]) {
    (void)snprintf(
        out, 160, "%s %d->%d, size %d, kernel %d, stride %d, W%dA%d (%s)",
        apq_ir_kind_name(l->kind), l->in_channels, l->out_channels, l->in_size,
        l->kernel, l->stride, l->weight_bits, l->act_bits, l->name);
    return out;
}

/* The slot that holds the key's row, or the free one where it belongs. */
static uint32_t *probe(const apq_lut *lut, const int32_t *key) {
    uint64_t hash = 0;
    for (int i = 0; i < APQ_LUT_N_KEY; i++) {
        /* Odd constant: 2^64 / golden ratio (Knuth, multiplicative hash). */
        hash = (hash ^ (uint32_t)key[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    size_t mask = 2 * lut->capacity - 1, at = (size_t)hash & mask;
    while (lut->slots[at] != 0 && memcmp(lut->rows[lut->slots[at] - 1].key, key,
                                         sizeof lut->rows[0].key) != 0) {
        at = (at + 1) & mask;
    }
    return &lut->slots[at];
}

static apq_status grow(apq_lut *lut) {
    size_t capacity = lut->capacity == 0 ? FIRST_CAPACITY : 2 * lut->capacity;
    apq_lut_row *rows = apq_calloc(capacity, sizeof *rows);
    uint32_t *slots = apq_calloc(2 * capacity, sizeof *slots);
    if (rows == NULL || slots == NULL || capacity > UINT32_MAX / 2) {
        free(rows);
        free(slots);
        APQ_FAIL(APQ_ERR_NOMEM, "no memory for a table of %zu layers",
                 capacity);
    }
    if (lut->n_rows > 0) {
        memcpy(rows, lut->rows, lut->n_rows * sizeof *rows);
    }
    free(lut->rows);
    free(lut->slots);
    lut->rows = rows;
    lut->slots = slots;
    lut->capacity = capacity;
    for (size_t i = 0; i < lut->n_rows; i++) {
        *probe(lut, rows[i].key) = (uint32_t)(i + 1);
    }
    return APQ_OK;
}

static bool is_amount(double value) {
    return isfinite(value) && value >= 0;
}

static apq_status check_row(const int32_t *key, const char *what,
                            const apq_lut_sample *s) {
    for (int i = 0; i < APQ_LUT_N_KEY; i++) {
        if (key[i] < key_fields[i].low || key[i] > key_fields[i].high) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: %s %d outside %d..%d", what,
                     key_fields[i].name, key[i], key_fields[i].low,
                     key_fields[i].high);
        }
    }
    if (key[APQ_LUT_KIND] == APQ_IR_DEPTHWISE &&
        key[APQ_LUT_IN_CHANNELS] != key[APQ_LUT_OUT_CHANNELS]) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: a depthwise layer keeps its channels",
                 what);
    }
    if (s == NULL) {
        return APQ_OK;
    }
    if (!is_amount(s->latency_ms) || !is_amount(s->latency_spread_ms) ||
        !(isnan(s->energy_mj) || is_amount(s->energy_mj)) ||
        !(isnan(s->energy_spread_mj) || is_amount(s->energy_spread_mj))) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: %g +- %g ms, %g +- %g mJ: each must be finite and >= 0",
                 what, s->latency_ms, s->latency_spread_ms, s->energy_mj,
                 s->energy_spread_mj);
    }
    if (s->count < 1 || s->weight_container_bits < 1 ||
        s->weight_container_bits > 64 || s->act_container_bits < 1 ||
        s->act_container_bits > 64) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: count %lld below 1, or containers of %d and %d bits "
                 "outside 1..64",
                 what, (long long)s->count, s->weight_container_bits,
                 s->act_container_bits);
    }
    return APQ_OK;
}

apq_status apq_lut_add(apq_lut *lut, const apq_ir_layer *layer,
                       const apq_lut_sample *sample) {
    apq_lut_row row = {.is_supported = sample != NULL};
    char what[160];
    make_key(lut, layer, row.key);
    APQ_TRY(check_row(row.key, describe(layer, what), sample));
    if (sample != NULL) {
        row.sample = *sample;
    }
    if (lut->n_rows == lut->capacity) {
        APQ_TRY(grow(lut));
    }
    uint32_t *slot = probe(lut, row.key);
    if (*slot != 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: in the table twice", what);
    }
    lut->rows[lut->n_rows++] = row;
    *slot = (uint32_t)lut->n_rows;
    return APQ_OK;
}

const apq_lut_row *apq_lut_find(const apq_lut *lut, const apq_ir_layer *layer) {
    if (lut->n_rows == 0) {
        return NULL;
    }
    int32_t key[APQ_LUT_N_KEY];
    make_key(lut, layer, key);
    uint32_t row = *probe(lut, key);
    return row == 0 ? NULL : &lut->rows[row - 1];
}

/* Base first, then the channels that stay, then those that vary. */
static int compare_keys(const int32_t *a, const int32_t *b, int order) {
    for (int i = 0; i < APQ_LUT_N_KEY; i++) {
        int k = i;
        if (order == ALONG_IN && i >= N_BASE) {
            k = i == N_BASE ? APQ_LUT_OUT_CHANNELS : APQ_LUT_IN_CHANNELS;
        }
        if (a[k] != b[k]) {
            return a[k] < b[k] ? -1 : 1;
        }
    }
    return 0;
}

/* Merges two sorted runs; merge sort needs no global for qsort's callback. */
static void merge(const apq_lut *lut, int order, const uint32_t *from, size_t n,
                  size_t run, uint32_t *to) {
    for (size_t start = 0; start < n; start += 2 * run) {
        size_t middle = start + run < n ? start + run : n;
        size_t end = middle + run < n ? middle + run : n;
        size_t a = start, b = middle;
        for (size_t i = start; i < end; i++) {
            bool takes_a =
                b == end || (a < middle &&
                             compare_keys(lut->rows[from[a]].key,
                                          lut->rows[from[b]].key, order) <= 0);
            to[i] = takes_a ? from[a++] : from[b++];
        }
    }
}

apq_status apq_lut_index(apq_lut *lut) {
    size_t n = lut->n_rows;
    uint32_t *other = apq_calloc(n, sizeof *other);
    for (int order = 0; order < N_ORDERS; order++) {
        uint32_t *rows = apq_calloc(n, sizeof *rows);
        if (rows == NULL || other == NULL) {
            free(rows);
            free(other);
            APQ_FAIL(APQ_ERR_NOMEM, "no memory to sort a table of %zu layers",
                     n);
        }
        for (size_t i = 0; i < n; i++) {
            rows[i] = (uint32_t)i;
        }
        for (size_t run = 1; run < n; run *= 2) {
            merge(lut, order, rows, n, run, other);
            uint32_t *swap = rows;
            rows = other;
            other = swap;
        }
        free(lut->order[order]);
        lut->order[order] = rows;
    }
    free(other);
    return APQ_OK;
}

/* Rows that differ from the key only in the channels of the order. */
static bool is_same_but_width(const int32_t *a, const int32_t *key, int order) {
    int fixed = order == ALONG_OUT ? APQ_LUT_IN_CHANNELS : APQ_LUT_OUT_CHANNELS;
    return memcmp(a, key, N_BASE * sizeof *key) == 0 &&
           (key[APQ_LUT_KIND] == APQ_IR_DEPTHWISE || a[fixed] == key[fixed]);
}

/* The nearest narrower and wider rows; false when one is missing. */
static bool find_neighbours(const apq_lut *lut, const int32_t *key, int order,
                            const apq_lut_row *out[2]) {
    const uint32_t *rows = lut->order[order];
    size_t low = 0, high = lut->n_rows;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_keys(lut->rows[rows[middle]].key, key, order) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (high < lut->n_rows &&
        compare_keys(lut->rows[rows[high]].key, key, order) == 0) {
        high++; /* the layer's own row */
    }
    if (low == 0 || high == lut->n_rows) {
        return false;
    }
    out[0] = &lut->rows[rows[low - 1]];
    out[1] = &lut->rows[rows[high]];
    return is_same_but_width(out[0]->key, key, order) &&
           is_same_but_width(out[1]->key, key, order);
}

bool apq_lut_width_pair(const apq_lut *lut, bool along_in, size_t i,
                        const apq_lut_row *out[2]) {
    int order = along_in ? ALONG_IN : ALONG_OUT;
    if (i + 1 >= lut->n_rows) {
        return false;
    }
    out[0] = &lut->rows[lut->order[order][i]];
    out[1] = &lut->rows[lut->order[order][i + 1]];
    return is_same_but_width(out[0]->key, out[1]->key, order);
}

apq_status apq_lut_interpolate(const apq_lut *lut, const apq_ir_layer *layer,
                               apq_lut_sample *out) {
    APQ_ASSERT(lut->n_rows == 0 || lut->order[ALONG_IN] != NULL);
    int32_t key[APQ_LUT_N_KEY];
    const apq_lut_row *pair[2];
    char what[160];
    make_key(lut, layer, key);
    int order = ALONG_OUT, width = APQ_LUT_OUT_CHANNELS;
    if (!find_neighbours(lut, key, ALONG_OUT, pair)) {
        order = ALONG_IN;
        width = APQ_LUT_IN_CHANNELS;
    }
    if (order == ALONG_IN && !find_neighbours(lut, key, ALONG_IN, pair)) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: not in the table of %s, and no narrower and wider row "
                 "to interpolate between",
                 describe(layer, what), lut->header.target);
    }
    if (!pair[0]->is_supported || !pair[1]->is_supported) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: not in the table of %s, and not executed at a "
                 "neighbouring width",
                 describe(layer, what), lut->header.target);
    }
    double below = pair[0]->key[width], above = pair[1]->key[width];
    double t = (key[width] - below) / (above - below);
    const apq_lut_sample *a = &pair[0]->sample, *b = &pair[1]->sample;
    *out = *b;
    out->latency_ms = (1 - t) * a->latency_ms + t * b->latency_ms;
    out->latency_spread_ms =
        (1 - t) * a->latency_spread_ms + t * b->latency_spread_ms;
    out->energy_mj = (1 - t) * a->energy_mj + t * b->energy_mj;
    out->energy_spread_mj =
        (1 - t) * a->energy_spread_mj + t * b->energy_spread_mj;
    out->count = 0;
    return APQ_OK;
}

apq_status apq_lut_price(const apq_lut *lut, const apq_ir_layer *layer,
                         apq_lut_sample *out) {
    const apq_lut_row *row = apq_lut_find(lut, layer);
    if (row == NULL) {
        return apq_lut_interpolate(lut, layer, out);
    }
    if (!row->is_supported) {
        char what[160];
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: %s cannot execute it, says its "
                 "table",
                 describe(layer, what), lut->header.target);
    }
    *out = row->sample;
    return APQ_OK;
}

apq_status apq_lut_check_space(const apq_lut *lut, const char *space,
                               const char *space_hash) {
    const apq_lut_header *h = &lut->header;
    if (strcmp(h->space, space) != 0 ||
        strcmp(h->space_hash, space_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "the table of %s is of space %s (%s), not of %s (%s)",
                 h->target, h->space, h->space_hash, space, space_hash);
    }
    return APQ_OK;
}
