/* The writer of reports. Markdown goes out as it comes; HTML is escaped, its
 * inline marks become elements, and style and scripts are put around it. */
#include "report/page.h"

#include "report/assets.h"
#include "report/page_internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Of memory; texts are complete after fflush. */
typedef struct sink {
    FILE *stream;
    char *text;
    size_t n;
} sink;

struct apq_page {
    bool is_html;
    const char *files; /* borrowed */
    sink body, links;
    char *paragraph; /* (n_paragraph + 1); NULL: none */
    size_t n_paragraph;
    bool has_failed, has_tiles;
    int n_sections, n_charts;
};

static bool sink_open(sink *s) {
    s->stream = open_memstream(&s->text, &s->n);
    return s->stream != NULL;
}

static void sink_close(sink *s) {
    if (s->stream != NULL) {
        (void)fclose(s->stream);
    }
    free(s->text);
}

apq_page *apq_page_create(bool is_html, const char *files) {
    apq_page *page = calloc(1, sizeof *page);
    if (page == NULL) {
        return NULL;
    }
    page->is_html = is_html;
    page->files = files;
    if (!sink_open(&page->body) || !sink_open(&page->links)) {
        apq_page_destroy(page);
        return NULL;
    }
    return page;
}

void apq_page_destroy(apq_page *page) {
    if (page != NULL) {
        sink_close(&page->body);
        sink_close(&page->links);
        free(page->paragraph);
        free(page);
    }
}

bool apq_page_is_html(const apq_page *page) {
    return page->is_html;
}

FILE *apq_page_html(apq_page *page) {
    return page->is_html ? page->body.stream : NULL;
}

int apq_page_next_chart(apq_page *page) {
    return ++page->n_charts;
}

static void put_char(FILE *out, char c) {
    switch (c) {
    case '&':
        (void)fputs("&amp;", out);
        break;
    case '<':
        (void)fputs("&lt;", out);
        break;
    case '>':
        (void)fputs("&gt;", out);
        break;
    case '"':
        (void)fputs("&quot;", out);
        break;
    default:
        (void)fputc((unsigned char)c < ' ' && c != '\n' ? ' ' : c, out);
    }
}

void apq_page_escape(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        put_char(out, *text);
    }
}

/* Escapes, and turns pairs of ** and ` into elements. A mark without its end
 * stays as it is. */
void apq_page_inline(FILE *out, const char *text) {
    static const struct {
        const char *mark, *tag;
    } marks[] = {{"**", "strong"}, {"`", "code"}};
    while (*text != '\0') {
        bool is_done = false;
        for (size_t i = 0; i < 2 && !is_done; i++) {
            size_t n = strlen(marks[i].mark);
            const char *end = strncmp(text, marks[i].mark, n) == 0
                                  ? strstr(text + n, marks[i].mark)
                                  : NULL;
            if (end != NULL) {
                (void)fprintf(out, "<%s>", marks[i].tag);
                for (const char *p = text + n; p < end; p++) {
                    put_char(out, *p);
                }
                (void)fprintf(out, "</%s>", marks[i].tag);
                text = end + n;
                is_done = true;
            }
        }
        if (!is_done) {
            put_char(out, *text++);
        }
    }
}

void apq_page_heading(apq_page *page, const char *title) {
    FILE *out = page->body.stream;
    if (!page->is_html) {
        (void)fprintf(out, "## %s\n\n", title);
        return;
    }
    int id = ++page->n_sections;
    (void)fprintf(out, "%s<section><h2 id=\"s%d\">", id > 1 ? "</section>" : "",
                  id);
    apq_page_escape(out, title);
    (void)fputs("</h2>\n", out);
    (void)fprintf(page->links.stream, "<a href=\"#s%d\">", id);
    apq_page_escape(page->links.stream, title);
    (void)fputs("</a>\n", page->links.stream);
}

void apq_page_put(apq_page *page, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    size_t used = page->n_paragraph, size = used + (size_t)(n < 0 ? 0 : n) + 1;
    char *grown = n < 0 ? NULL : realloc(page->paragraph, size);
    if (grown == NULL) {
        page->has_failed = true;
    } else {
        (void)vsnprintf(grown + used, size - used, format, again);
        page->paragraph = grown;
        page->n_paragraph = size - 1;
    }
    va_end(again);
    va_end(args);
}

/* Blanks and brackets would end the address of a link. */
static void put_address(apq_page *page, const char *path) {
    for (; *path != '\0'; path++) {
        bool is_plain = isalnum((unsigned char)*path) != 0 ||
                        strchr("/._-~", *path) != NULL;
        apq_page_put(page, is_plain ? "%c" : "%%%02X", (unsigned char)*path);
    }
}

void apq_page_link(apq_page *page, const char *name) {
    apq_page_put(page, "[%s](", name);
    put_address(page, page->files);
    put_address(page, page->files[0] != '\0' ? "/" : "");
    put_address(page, name);
    apq_page_put(page, "%s", ")");
}

void apq_page_end(apq_page *page) {
    FILE *out = page->body.stream;
    if (page->paragraph == NULL) {
        return;
    }
    if (page->is_html) {
        (void)fputs("<p>", out);
        apq_page_inline(out, page->paragraph);
        (void)fputs("</p>\n", out);
    } else {
        (void)fprintf(out, "%s\n\n", page->paragraph);
    }
    free(page->paragraph);
    page->paragraph = NULL;
    page->n_paragraph = 0;
}

void apq_page_table(apq_page *page, apq_table *table) {
    if (table != NULL && page->is_html) {
        apq_table_print_html(table, page->body.stream);
    } else if (table != NULL) {
        apq_table_print(table, page->body.stream);
    }
    apq_table_destroy(table);
}

void apq_page_code(apq_page *page, const char *text) {
    FILE *out = page->body.stream;
    if (page->is_html) {
        (void)fputs("<pre>", out);
        apq_page_escape(out, text);
        (void)fputs("</pre>\n", out);
    } else {
        (void)fprintf(out, "```\n%s```\n\n", text);
    }
}

void apq_page_tile(apq_page *page, const char *name, const char *value,
                   const char *note) {
    FILE *out = page->body.stream;
    if (!page->is_html) {
        return;
    }
    if (!page->has_tiles) {
        (void)fputs("<dl class=\"tiles\">\n", out);
        page->has_tiles = true;
    }
    (void)fputs("<div><dt>", out);
    apq_page_escape(out, name);
    (void)fputs("</dt><dd>", out);
    apq_page_escape(out, value);
    (void)fputs("<small>", out);
    apq_page_escape(out, note);
    (void)fputs("</small></dd></div>\n", out);
}

void apq_page_tiles_end(apq_page *page) {
    if (page->has_tiles) {
        (void)fputs("</dl>\n", page->body.stream);
        page->has_tiles = false;
    }
}

static void put_asset(FILE *out, const char *tag, const char *text) {
    (void)fprintf(out, "<%s>\n%s</%s>\n", tag, text, tag);
}

/* Nothing may be loaded: the page says so to the browser too. */
static void put_head(FILE *out, const char *title) {
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
                "content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n"
                "<meta http-equiv=\"Content-Security-Policy\" "
                "content=\"default-src 'none'; img-src data:; style-src "
                "'unsafe-inline'; script-src 'unsafe-inline'\">\n<title>",
                out);
    apq_page_escape(out, title);
    (void)fputs("</title>\n", out);
    put_asset(out, "style", apq_asset_page_css);
    (void)fputs("</head>\n", out);
}

static void put_page(apq_page *page, const char *title, FILE *out) {
    put_head(out, title);
    (void)fputs("<body>\n<header><h1>", out);
    apq_page_escape(out, title);
    (void)fprintf(out, "</h1>\n<nav>%s</nav></header>\n<main>\n",
                  page->links.text);
    (void)fwrite(page->body.text, 1, page->body.n, out);
    (void)fprintf(out, "%s</main>\n",
                  page->n_sections > 0 ? "</section>\n" : "");
    if (apq_asset_chart_js[0] != '\0' && page->n_charts > 0) {
        put_asset(out, "script", apq_asset_chart_js);
        put_asset(out, "script", apq_asset_page_js);
    }
    (void)fputs("</body>\n</html>\n", out);
}

apq_status apq_page_finish(apq_page *page, const char *title, char **text) {
    apq_page_end(page);
    sink whole = {0};
    bool is_good = fflush(page->body.stream) == 0 &&
                   fflush(page->links.stream) == 0 && sink_open(&whole);
    is_good = is_good && !page->has_failed && ferror(page->body.stream) == 0 &&
              ferror(page->links.stream) == 0;
    if (is_good && page->is_html) {
        put_page(page, title, whole.stream);
    } else if (is_good) {
        (void)fprintf(whole.stream, "# %s\n\n", title);
        (void)fwrite(page->body.text, 1, page->body.n, whole.stream);
    }
    if (is_good) {
        is_good = ferror(whole.stream) == 0 && fclose(whole.stream) == 0;
        whole.stream = NULL;
    }
    if (is_good) {
        *text = whole.text;
        whole.text = NULL;
    }
    sink_close(&whole);
    if (!is_good) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    return APQ_OK;
}
