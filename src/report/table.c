/* Markdown tables: cells are kept as text, widths counted in characters, and
 * everything printed at the end. */
#include "report/table.h"

#include "report/page_internal.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef char cell[APQ_TABLE_CELL_MAX];

struct apq_table {
    size_t n_columns, n_cells, capacity;
    bool is_right[APQ_TABLE_MAX_COLUMNS];
    cell *cells; /* (n_cells), the header's row first */
    bool has_failed;
};

static cell *next_cell(apq_table *table) {
    if (table->n_cells == table->capacity) {
        size_t capacity = 2 * table->capacity + 64;
        cell *grown = realloc(table->cells, capacity * sizeof *grown);
        if (grown == NULL) {
            table->has_failed = true;
            return NULL;
        }
        table->cells = grown;
        table->capacity = capacity;
    }
    return &table->cells[table->n_cells++];
}

apq_table *apq_table_create(const char *header) {
    apq_table *table = calloc(1, sizeof *table);
    while (table != NULL && table->n_columns < APQ_TABLE_MAX_COLUMNS) {
        table->is_right[table->n_columns++] = *header == '>';
        header += *header == '>';
        size_t n = strcspn(header, "|");
        cell *title = next_cell(table);
        if (title == NULL) {
            break;
        }
        (void)snprintf(*title, sizeof *title, "%.*s", (int)n, header);
        if (header[n] == '\0') {
            break;
        }
        header += n + 1;
    }
    return table;
}

void apq_table_destroy(apq_table *table) {
    if (table != NULL) {
        free(table->cells);
        free(table);
    }
}

/* Copies what a table cell may hold. */
static void clean(const char *text, cell out) {
    size_t n = 0;
    for (; *text != '\0' && n + 2 < APQ_TABLE_CELL_MAX; text++) {
        out[n++] = (unsigned char)*text < ' ' ? ' ' : *text;
    }
    /* Not in the middle of a UTF-8 character. */
    if (*text != '\0') {
        while (n > 0 && ((unsigned char)*text & 0xC0) == 0x80) {
            text--;
            n--;
        }
    }
    out[n] = '\0';
}

void apq_table_cell(apq_table *table, const char *format, ...) {
    char text[2 * APQ_TABLE_CELL_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cell *slot = next_cell(table);
    if (slot != NULL) {
        clean(text, *slot);
    }
}

void apq_table_end_row(apq_table *table) {
    while (!table->has_failed && table->n_cells % table->n_columns != 0) {
        apq_table_cell(table, "%s", "");
    }
}

/* Characters of UTF-8 text; a '|' would end its cell and gets a backslash. */
static size_t width_of(const char *text) {
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xC0) != 0x80;
        n += *text == '|';
    }
    return n;
}

static void print_padded(FILE *out, const char *text, size_t width,
                         bool is_right) {
    int pad = (int)(width - width_of(text));
    (void)fprintf(out, " %*s", is_right ? pad : 0, "");
    for (; *text != '\0'; text++) {
        (void)fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
    }
    (void)fprintf(out, "%*s |", is_right ? 0 : pad, "");
}

static void print_rule(const apq_table *table, const size_t *widths,
                       FILE *out) {
    (void)fputc('|', out);
    for (size_t c = 0; c < table->n_columns; c++) {
        (void)fputc(' ', out);
        for (size_t i = 1; i < widths[c]; i++) {
            (void)fputc('-', out);
        }
        (void)fputs(table->is_right[c] ? ": |" : "- |", out);
    }
    (void)fputc('\n', out);
}

void apq_table_print(const apq_table *table, FILE *out) {
    size_t widths[APQ_TABLE_MAX_COLUMNS] = {0};
    size_t n_columns = table->n_columns;
    size_t n_rows = table->n_cells / n_columns;
    for (size_t i = 0; i < n_rows * n_columns; i++) {
        size_t width = width_of(table->cells[i]);
        size_t *widest = &widths[i % n_columns];
        width = width < 2 ? 2 : width; /* "-:" */
        *widest = width > *widest ? width : *widest;
    }
    for (size_t r = 0; r < n_rows; r++) {
        (void)fputc('|', out);
        for (size_t c = 0; c < n_columns; c++) {
            print_padded(out, table->cells[r * n_columns + c], widths[c],
                         table->is_right[c]);
        }
        (void)fputc('\n', out);
        if (r == 0) {
            print_rule(table, widths, out);
        }
    }
    (void)fputc('\n', out);
}

void apq_table_print_html(const apq_table *table, FILE *out) {
    size_t n_columns = table->n_columns;
    size_t n_rows = table->n_cells / n_columns;
    (void)fputs("<div class=\"wide\"><table>\n", out);
    for (size_t r = 0; r < n_rows; r++) {
        (void)fputs(r == 0 ? "<thead><tr>" : "<tr>", out);
        for (size_t c = 0; c < n_columns; c++) {
            (void)fprintf(out, "<%s%s>", r == 0 ? "th" : "td",
                          table->is_right[c] ? " class=\"num\"" : "");
            apq_page_inline(out, table->cells[r * n_columns + c]);
            (void)fputs(r == 0 ? "</th>" : "</td>", out);
        }
        (void)fputs(r == 0 ? "</tr></thead>\n" : "</tr>\n", out);
    }
    (void)fputs("</table></div>\n", out);
}
