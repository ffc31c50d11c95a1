/* apq lut show: where a table comes from, and what stands in it. */
#include "cli/commands.h"

#include "app/json.h"
#include "app/lut.h"
#include "app/parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_FILTERS = 5 };

typedef struct show_options {
    apq_common_options common;
    const char *kind;
    int filters[N_FILTERS]; /* 0: any */
    bool rows;
} show_options;

/* The field of the key that each filter compares. */
static const int filter_fields[N_FILTERS] = {APQ_LUT_KERNEL, APQ_LUT_STRIDE,
                                             APQ_LUT_SIZE, APQ_LUT_WEIGHT_BITS,
                                             APQ_LUT_ACT_BITS};

#define AT(member) offsetof(show_options, member)
#define FILTER(option, i, text, most)                                          \
    {                                                                          \
        .name = option, .type = APQ_OPTION_INT, .argument = "N", .help = text, \
        .offset = AT(filters) + (i) * sizeof(int), .low = 1, .high = most      \
    }
static const apq_option show_table[] = {
    {.name = "kind",
     .type = APQ_OPTION_CHOICE,
     .argument = "KIND",
     .help = "only layers of this kind",
     .offset = AT(kind),
     .choices = apq_ir_kind_names},
    FILTER("kernel", 0, "only this kernel size", 31),
    FILTER("stride", 1, "only this stride", 31),
    FILTER("size", 2, "only this side of the input", 4096),
    FILTER("weight-bits", 3, "only this width of weights", 8),
    FILTER("act-bits", 4, "only this width of activations", 8),
    {.name = "rows",
     .type = APQ_OPTION_FLAG,
     .help = "list the layers themselves",
     .offset = AT(rows)},
    {.name = NULL},
};
/* Extremes over the rows of one kind; NaN where none is known. */
typedef struct summary {
    size_t n_rows, n_unsupported;
    double low_ms, high_ms, sum_ms, low_mj, high_mj;
    double max_spread; /* of latency, relative */
} summary;

static void add_row(summary *s, const apq_lut_row *row) {
    const apq_lut_sample *x = &row->sample;
    s->n_rows++;
    if (!row->is_supported) {
        s->n_unsupported++;
        return;
    }
    /* fmin and fmax pass over what is not known. */
    s->low_ms = fmin(s->low_ms, x->latency_ms);
    s->high_ms = fmax(s->high_ms, x->latency_ms);
    s->sum_ms += x->latency_ms;
    s->low_mj = fmin(s->low_mj, x->energy_mj);
    s->high_mj = fmax(s->high_mj, x->energy_mj);
    if (x->latency_ms > 0) {
        s->max_spread =
            fmax(s->max_spread, x->latency_spread_ms / x->latency_ms);
    }
}

static double mean_ms(const summary *s) {
    size_t n = s->n_rows - s->n_unsupported;
    return n > 0 ? s->sum_ms / (double)n : (double)NAN;
}

static bool is_wanted(const show_options *o, const apq_lut_row *row) {
    if (o->kind != NULL &&
        apq_lut_kind_find(o->kind) != row->key[APQ_LUT_KIND]) {
        return false;
    }
    for (int i = 0; i < N_FILTERS; i++) {
        if (o->filters[i] != 0 && o->filters[i] != row->key[filter_fields[i]]) {
            return false;
        }
    }
    return true;
}

static json_t *row_json(const apq_lut_row *row) {
    json_t *object = json_object();
    const apq_lut_sample *s = &row->sample;
    const char *kind = apq_ir_kind_name((apq_ir_kind)row->key[APQ_LUT_KIND]);
    (void)json_object_set_new(object, "kind", json_string(kind));
    for (int i = APQ_LUT_INPUT_IMAGE; i < APQ_LUT_N_KEY; i++) {
        json_t *value = i <= APQ_LUT_RELU6 ? json_boolean(row->key[i])
                                           : json_integer(row->key[i]);
        (void)json_object_set_new(object, apq_lut_key_name(i), value);
    }
    if (!row->is_supported) {
        (void)json_object_set_new(object, "supported", json_false());
        return object;
    }
    json_t *numbers = json_pack(
        "{s:f, s:f, s:o, s:o, s:I, s:i, s:i}", "latency_ms", s->latency_ms,
        "latency_spread_ms", s->latency_spread_ms, "energy_mj",
        apq_json_number(s->energy_mj), "energy_spread_mj",
        apq_json_number(s->energy_spread_mj), "count", (json_int_t)s->count,
        "weight_container_bits", s->weight_container_bits, "act_container_bits",
        s->act_container_bits);
    (void)json_object_update(object, numbers);
    json_decref(numbers);
    return object;
}

static json_t *kinds_json(const summary *all) {
    json_t *rows = json_array();
    for (int k = 0; k < APQ_IR_N_KINDS; k++) {
        const summary *s = &all[k];
        if (s->n_rows > 0) {
            (void)json_array_append_new(
                rows,
                json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
                          "kind", apq_ir_kind_name((apq_ir_kind)k), "rows",
                          (json_int_t)s->n_rows, "unsupported",
                          (json_int_t)s->n_unsupported, "min_latency_ms",
                          apq_json_number(s->low_ms), "mean_latency_ms",
                          apq_json_number(mean_ms(s)), "max_latency_ms",
                          apq_json_number(s->high_ms), "min_energy_mj",
                          apq_json_number(s->low_mj), "max_energy_mj",
                          apq_json_number(s->high_mj), "max_latency_spread",
                          apq_json_number(s->max_spread)));
        }
    }
    return rows;
}

static void print_table_json(const show_options *o, const apq_lut *lut,
                             const summary *all) {
    const apq_lut_header *h = apq_lut_header_of(lut);
    json_t *document = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:i, s:s, s:s, s:i, s:b, s:b, "
        "s:I, s:o}",
        "schema_version", APQ_LUT_SCHEMA, "target", h->target, "target_hash",
        h->target_hash, "space", h->space, "space_hash", h->space_hash, "units",
        "latency", "ms", "energy", "mJ", "batch", h->batch, "date", h->date,
        "tool_version", h->tool_version, "width_step", h->width_step,
        "has_flags", h->has_flags, "is_complete", h->is_complete, "rows",
        (json_int_t)apq_lut_n_rows(lut), "kinds", kinds_json(all));
    json_t *rows = json_array();
    for (size_t i = 0; o->rows && i < apq_lut_n_rows(lut); i++) {
        if (is_wanted(o, apq_lut_row_at(lut, i))) {
            (void)json_array_append_new(rows, row_json(apq_lut_row_at(lut, i)));
        }
    }
    if (o->rows) {
        (void)json_object_set(document, "layers", rows);
    }
    json_decref(rows);
    apq_cli_print_json(document, false);
}

static void print_row(const apq_lut_row *row) {
    const int32_t *key = row->key;
    printf("%-10s %6d %6d %5d %6d %6d  W%dA%d ",
           apq_ir_kind_name((apq_ir_kind)key[APQ_LUT_KIND]),
           key[APQ_LUT_IN_CHANNELS], key[APQ_LUT_OUT_CHANNELS],
           key[APQ_LUT_SIZE], key[APQ_LUT_KERNEL], key[APQ_LUT_STRIDE],
           key[APQ_LUT_WEIGHT_BITS], key[APQ_LUT_ACT_BITS]);
    if (!row->is_supported) {
        printf("not executed\n");
        return;
    }
    const apq_lut_sample *s = &row->sample;
    apq_cli_print_number(10, 6, s->latency_ms);
    apq_cli_print_number(9, 3, s->latency_spread_ms);
    apq_cli_print_number(11, 6, s->energy_mj);
    apq_cli_print_number(9, 3, s->energy_spread_mj);
    printf(" %6" PRId64 "  W%dA%d\n", s->count, s->weight_container_bits,
           s->act_container_bits);
}

static void print_summary(const char *kind, const summary *s) {
    const double numbers[] = {s->low_ms, mean_ms(s), s->high_ms, s->low_mj,
                              s->high_mj};
    printf("%-10s %7zu %9zu", kind, s->n_rows, s->n_unsupported);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        apq_cli_print_number(11, 5, numbers[i]);
    }
    printf(" %6.2f %%\n", 100 * s->max_spread);
}

static void print_text(const show_options *o, const apq_lut *lut,
                       const summary *all) {
    const apq_lut_header *h = apq_lut_header_of(lut);
    printf("target %s (%s), space %s (%s)\n"
           "%zu layers of batch %d, widths %d channels apart, made %s by apq "
           "%s%s\n\n",
           h->target, h->target_hash[0] != '\0' ? h->target_hash : "imported",
           h->space, h->space_hash, apq_lut_n_rows(lut), h->batch,
           h->width_step, h->date, h->tool_version,
           h->is_complete ? "" : ", unfinished");
    printf("%-10s %7s %9s %11s %11s %11s %11s %11s %8s\n", "kind", "layers",
           "not run", "min ms", "mean ms", "max ms", "min mJ", "max mJ",
           "spread");
    for (int k = 0; k < APQ_IR_N_KINDS; k++) {
        const summary *s = &all[k];
        if (s->n_rows > 0) {
            print_summary(apq_ir_kind_name((apq_ir_kind)k), s);
        }
    }
    if (o->rows) {
        printf("\n%-10s %6s %6s %5s %6s %6s  %s %11s %9s %11s %9s %6s  %s\n",
               "kind", "in", "out", "size", "kernel", "stride", "bits", "ms",
               "+-", "mJ", "+-", "count", "executed");
    }
    for (size_t i = 0; o->rows && i < apq_lut_n_rows(lut); i++) {
        if (is_wanted(o, apq_lut_row_at(lut, i))) {
            print_row(apq_lut_row_at(lut, i));
        }
    }
}

static int show(const apq_command *self, int argc, char **argv) {
    show_options o = {.kind = NULL};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code >= 0) {
        return code;
    }
    if (o.common.n_words == 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "the table to show is missing");
        return apq_cli_usage(self);
    }
    apq_lut *lut = NULL;
    apq_status st = apq_lut_load(o.common.words[0], &lut);
    if (st != APQ_OK) {
        return apq_cli_exit(st);
    }
    summary all[APQ_IR_N_KINDS];
    for (int k = 0; k < APQ_IR_N_KINDS; k++) {
        all[k] = (summary){.low_ms = (double)NAN,
                           .high_ms = (double)NAN,
                           .low_mj = (double)NAN,
                           .high_mj = (double)NAN};
    }
    for (size_t i = 0; i < apq_lut_n_rows(lut); i++) {
        const apq_lut_row *row = apq_lut_row_at(lut, i);
        if (is_wanted(&o, row)) {
            add_row(&all[row->key[APQ_LUT_KIND]], row);
        }
    }
    if (o.common.json) {
        print_table_json(&o, lut, all);
    } else {
        print_text(&o, lut, all);
    }
    apq_lut_destroy(lut);
    return APQ_EXIT_OK;
}

const apq_command apq_command_lut_show = {
    .name = "lut show",
    .brief = "where a table comes from, and its layers",
    .usage = "apq lut show TABLE [--kind K] [--kernel N] ... [--rows]",
    .summary = "Where a table comes from, and its layers by kind.",
    .examples = "  apq lut show bitfusion.jsonl\n"
                "  apq lut show bitfusion.jsonl --kind depthwise --kernel 5\n"
                "  apq lut show bitfusion.jsonl --size 7 --weight-bits 4 "
                "--rows --json\n",
    .options = show_table,
    .max_words = 1,
    .run = show,
};
