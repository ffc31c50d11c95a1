/* What a space and a target exclude: choices counted block by block, and those
 * bits and kernels named that no choice of any block has left. */
#include "app/range.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BITS = APQ_CAPABILITY_MAX_BITS, MAX_KERNEL = 7 };
enum { WEIGHT, ACT, N_OPERANDS };
enum { POINTWISE, DEPTHWISE, N_OPERATORS };

/* Whether some choice of some block runs with these genes. */
typedef struct survivors {
    bool pairs[N_OPERATORS][MAX_BITS + 1][MAX_BITS + 1]; /* W, A */
    bool kernels[MAX_KERNEL + 1][MAX_BITS + 1]; /* of the input of depthwise */
} survivors;

/* Appends to the list in out->text; what has no room becomes an ellipsis. */
APQ_PRINTF(2, 3)
static void append(apq_excluded *out, const char *format, ...) {
    static const char more[] = ", ...";
    size_t used = strlen(out->text);
    size_t room = sizeof out->text - used - sizeof more;
    char item[96];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(item, sizeof item, format, arguments);
    va_end(arguments);
    if (used >= sizeof more &&
        strcmp(out->text + used - strlen(more), more) == 0) {
        return;
    }
    bool has_room = strlen(item) + 2 <= room;
    (void)snprintf(out->text + used, sizeof out->text - used, "%s%s",
                   used == 0 || !has_room ? "" : ", ", has_room ? item : more);
}

/* Whether an operator runs with these bits of one operand, whatever those of
 * the other. */
static bool runs_with(const apq_space *space, const survivors *runs, int op,
                      int operand, int bits) {
    for (int i = 0; i < space->n_bits; i++) {
        int other = space->bits[i];
        if (operand == WEIGHT ? runs->pairs[op][bits][other]
                              : runs->pairs[op][other][bits]) {
            return true;
        }
    }
    return false;
}

/* "depthwise with 4/6-bit weights", and pairs of which only both together are
 * excluded. */
static void append_bits(const apq_space *space, const survivors *runs, int op,
                        apq_excluded *out) {
    static const char *const names[] = {
        [POINTWISE] = "1x1", [DEPTHWISE] = "depthwise"};
    const char *name = names[op];
    for (int operand = 0; operand < N_OPERANDS; operand++) {
        char list[4 * MAX_BITS] = "";
        for (int i = 0; i < space->n_bits; i++) {
            size_t used = strlen(list);
            if (!runs_with(space, runs, op, operand, space->bits[i])) {
                (void)snprintf(list + used, sizeof list - used, "%s%d",
                               used > 0 ? "/" : "", space->bits[i]);
            }
        }
        if (list[0] != '\0') {
            append(out, "%s with %s-bit %s", name, list,
                   operand == WEIGHT ? "weights" : "activations");
        }
    }
    for (int i = 0; i < space->n_bits * space->n_bits; i++) {
        int w = space->bits[i / space->n_bits],
            a = space->bits[i % space->n_bits];
        if (!runs->pairs[op][w][a] && runs_with(space, runs, op, WEIGHT, w) &&
            runs_with(space, runs, op, ACT, a)) {
            append(out, "%s with W%d A%d", name, w, a);
        }
    }
}

/* Kernels, where neither kernel nor bits are excluded by themselves. */
static void append_kernels(const apq_space *space, const survivors *runs,
                           apq_excluded *out) {
    for (int k = 0; k < space->n_kernels; k++) {
        int kernel = space->kernels[k];
        bool is_used = false;
        for (int a = 0; a < space->n_bits; a++) {
            is_used = is_used || runs->kernels[kernel][space->bits[a]];
        }
        if (!is_used) {
            append(out, "%dx%d depthwise", kernel, kernel);
        }
        for (int a = 0; is_used && a < space->n_bits; a++) {
            int bits = space->bits[a];
            if (!runs->kernels[kernel][bits] &&
                runs_with(space, runs, DEPTHWISE, ACT, bits)) {
                append(out, "%dx%d depthwise with %d-bit activations", kernel,
                       kernel, bits);
            }
        }
    }
}

void apq_app_excluded(const apq_price_table *table, apq_excluded *out) {
    const apq_space *space = apq_price_space(table);
    survivors runs = {.pairs = {{{false}}}};
    *out = (apq_excluded){0};
    for (int b = 0; b < space->n_blocks; b++) {
        size_t n = apq_price_n_choices(table, b);
        out->n_choices += n;
        for (size_t i = 0; i < n; i++) {
            apq_policy genes;
            double priced[APQ_BUDGET_N_FIELDS];
            apq_price_choice(table, b, i, &genes, priced);
            int kernel = genes.kernel[b], bits = genes.bits[APQ_DW_ACT][b];
            if (!isinf(priced[APQ_BUDGET_LATENCY_MS])) {
                runs.kernels[kernel][bits] = true;
                runs.pairs[DEPTHWISE][genes.bits[APQ_DW_WEIGHT][b]][bits] =
                    true;
                runs.pairs[POINTWISE][genes.bits[APQ_PW_WEIGHT][b]]
                          [genes.bits[APQ_PW_ACT][b]] = true;
            } else if (space->forbids_k7_dw_act4 && kernel == 7 && bits == 4) {
                out->n_forbidden++;
            } else {
                out->n_unsupported++;
            }
        }
    }
    append_bits(space, &runs, POINTWISE, out);
    append_bits(space, &runs, DEPTHWISE, out);
    append_kernels(space, &runs, out);
}
