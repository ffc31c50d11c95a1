/* How `apq bench` shows its document to people: which members of which rows
 * become columns of which table. */
#include "cli/bench_print.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MAX_COLUMNS = 10, MAX_TABLES = 3, MAX_SHARED = 3 };

/* Text is left-aligned, numbers are right-aligned; a dash stands where a row
 * has no such member. */
typedef struct column {
    const char *title, *key;
    int width;
    int decimals; /* of a fraction */
    int digits;   /* where not 0: significant ones in place of decimals */
    bool is_text;
} column;

typedef struct table {
    const char *key; /* rows that have this member */
    column columns[MAX_COLUMNS];
} table;

typedef struct shared {
    const char *words, *key;
} shared;

typedef struct view {
    const char *kind;
    shared heading[MAX_SHARED]; /* of the document or its first row */
    table tables[MAX_TABLES];
} view;

#define TEXT(title, key, width)                                                \
    { title, key, width, 0, 0, true }
#define COUNT(title, key, width)                                               \
    { title, key, width, 0, 0, false }
#define FIXED(title, key, width, decimals)                                     \
    { title, key, width, decimals, 0, false }
#define FLOATING(title, key, width, digits)                                    \
    { title, key, width, 0, digits, false }

#define NETWORKS                                                               \
    {                                                                          \
        {                                                                      \
            .key = "network", .columns = {                                     \
                TEXT("network", "network", 9),                                 \
                TEXT("type", "dtype", 9),                                      \
                COUNT("bits", "bits", 5),                                      \
                FLOATING("M MACs", "m_macs", 7, 4),                            \
                FIXED("images/s", "images_per_s", 10, 1),                      \
                FIXED("of the peak", "peak_fraction", 12, 2),                  \
                FIXED("spread", "spread", 7, 2)                                \
            }                                                                  \
        }                                                                      \
    }

static const view views[] = {
    {"train", {{"threads", "threads"}, {"batch", "batch"}}, NETWORKS},
    {"eval", {{"threads", "threads"}, {"batch", "batch"}}, NETWORKS},
    {"search",
     {{"threads", "threads"}},
     {{"candidates_per_s",
       {TEXT("search", "case", 11), TEXT("space", "space", 14),
        COUNT("scored", "evaluations", 8), COUNT("cached", "cached", 8),
        FLOATING("seconds", "seconds", 9, 3),
        COUNT("scored/s", "evaluations_per_s", 10),
        COUNT("candidates/s", "candidates_per_s", 13)}},
      {"by",
       {TEXT("part", "case", 11), TEXT("by", "by", 9),
        COUNT("hidden", "hidden", 7), COUNT("batch", "batch", 6),
        COUNT("policies/s", "policies_per_s", 11),
        FIXED("GFLOP/s", "gflops", 8, 1),
        FIXED("of the peak", "peak_fraction", 12, 2),
        FIXED("spread", "spread", 7, 2)}},
      {"best_seconds",
       {TEXT("apq search of", "space", 14), TEXT("target", "target", 12),
        FIXED("latency ms", "latency_ms", 11, 2), COUNT("runs", "runs", 5),
        FIXED("best s", "best_seconds", 8, 3),
        FIXED("worst s", "worst_seconds", 8, 3),
        FIXED("best CPU s", "best_cpu_seconds", 11, 3),
        FIXED("asked s", "asked_seconds", 8, 2)}}}},
    {"cost",
     {{"space", "space"}, {"target", "target"}, {"threads", "threads"}},
     {{"policies",
       {TEXT("pricing", "case", 17), COUNT("policies", "policies", 9),
        FLOATING("filled in s", "fill_seconds", 12, 3),
        COUNT("policies/s", "policies_per_s", 11),
        COUNT("asked", "asked_policies_per_s", 9)}},
      {"layers",
       {TEXT("table", "case", 17), COUNT("layers", "layers", 9),
        COUNT("runs", "runs", 5), FLOATING("median s", "seconds", 10, 3),
        FLOATING("least s", "least_seconds", 10, 3),
        FLOATING("asked s", "asked_seconds", 9, 3)}}}},
    {"infer",
     {{"model", "model"}, {"M MACs", "m_macs"}},
     {{"runtime",
       {TEXT("runtime", "runtime", 20), TEXT("type", "dtype", 9),
        COUNT("threads", "threads", 7), COUNT("batch", "batch", 6),
        FIXED("images/s", "images_per_s", 10, 1),
        FIXED("of the peak", "peak_fraction", 12, 2),
        FIXED("spread", "spread", 7, 2), FIXED("to runtime", "ratio", 11, 2),
        FLOATING("differs by", "worst", 11, 2)}}}},
};

static const json_t *results_of(const json_t *document) {
    return json_object_get(document, "results");
}

/* ", words value" for each member there is. */
static void print_shared(const json_t *document, const shared *members) {
    const json_t *first = json_array_get(results_of(document), 0);
    for (int i = 0; i < MAX_SHARED && members[i].key != NULL; i++) {
        const json_t *value = json_object_get(document, members[i].key);
        value = value != NULL ? value : json_object_get(first, members[i].key);
        if (json_is_string(value)) {
            printf(", %s %s", members[i].words, json_string_value(value));
        } else if (json_is_number(value)) {
            printf(", %s %.4g", members[i].words, json_number_value(value));
        }
    }
}

static void print_peaks(const json_t *document) {
    static const char *const peaks[][2] = {{"gemm_peak_gflops", "float32"},
                                           {"bfloat16_peak_gflops", "bfloat16"},
                                           {"int8_peak_gops", "int8"}};
    const char *before = "; peak in GFLOP/s:";
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++) {
        double peak = json_number_value(json_object_get(document, peaks[i][0]));
        if (peak > 0) {
            printf("%s %.4g in %s", before, peak, peaks[i][1]);
            before = "";
        }
    }
}

static void print_cell(const column *c, const json_t *value) {
    const char *text = json_string_value(value);
    if (c->is_text) {
        printf("%-*s", c->width, text != NULL ? text : "-");
    } else if (!json_is_number(value)) {
        printf("%*s", c->width, "-");
    } else if (c->digits > 0) {
        printf("%*.*g", c->width, c->digits, json_number_value(value));
    } else {
        printf("%*.*f", c->width, c->decimals, json_number_value(value));
    }
}

static void print_titles(const table *t) {
    for (int i = 0; i < MAX_COLUMNS && t->columns[i].title != NULL; i++) {
        const column *c = &t->columns[i];
        printf("%s%*s", i > 0 ? " " : "", c->is_text ? -c->width : c->width,
               c->title);
    }
    printf("\n");
}

static void print_row(const table *t, const json_t *row) {
    for (int i = 0; i < MAX_COLUMNS && t->columns[i].title != NULL; i++) {
        printf("%s", i > 0 ? " " : "");
        print_cell(&t->columns[i], json_object_get(row, t->columns[i].key));
    }
    printf("\n");
}

/* Nothing where no row belongs to it. */
static void print_table(const table *t, const json_t *rows, bool is_first) {
    size_t i;
    const json_t *row;
    bool has_titles = false;
    json_array_foreach(rows, i, row) {
        if (json_object_get(row, t->key) == NULL) {
            continue;
        }
        if (!has_titles) {
            printf("%s", is_first ? "" : "\n");
            print_titles(t);
            has_titles = true;
        }
        print_row(t, row);
    }
}

static const view *view_of(const char *kind) {
    size_t n = sizeof views / sizeof views[0];
    for (size_t i = 0; i < n; i++) {
        if (strcmp(views[i].kind, kind) == 0) {
            return &views[i];
        }
    }
    return NULL;
}

void apq_bench_print(const char *kind, const json_t *document) {
    const view *v = view_of(kind);
    const char *cpu = json_string_value(
        json_object_get(json_object_get(document, "machine"), "cpu"));
    printf("%s", cpu != NULL ? cpu : "unknown processor");
    print_shared(document, v->heading);
    print_peaks(document);
    printf("\n");
    for (int i = 0; i < MAX_TABLES && v->tables[i].key != NULL; i++) {
        print_table(&v->tables[i], results_of(document), i == 0);
    }
}
