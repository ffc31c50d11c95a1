/* Charts of a page: each plot is there as an SVG by cairo, for paper and for
 * readers without scripts, and as JSON, from which the page's script draws the
 * chart that answers to the pointer. */
#include "report/page.h"

#include "report/assets.h"
#include "report/page_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const marker_names[] = {
    [APQ_MARKER_NONE] = "none",       [APQ_MARKER_CIRCLE] = "circle",
    [APQ_MARKER_SQUARE] = "rect",     [APQ_MARKER_TRIANGLE] = "triangle",
    [APQ_MARKER_DIAMOND] = "rectRot", [APQ_MARKER_CROSS] = "crossRot",
};

static void put_base64(FILE *out, const char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs"
                                 "tuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)text;
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned bits = (unsigned)in[i] << 16 |
                        (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                        (left > 2 ? (unsigned)in[i + 2] : 0);
        (void)fputc(digits[bits >> 18], out);
        (void)fputc(digits[bits >> 12 & 63], out);
        (void)fputc(left > 1 ? digits[bits >> 6 & 63] : '=', out);
        (void)fputc(left > 2 ? digits[bits & 63] : '=', out);
    }
}

static json_t *column(const double *values, size_t n) {
    if (values == NULL) {
        return json_null();
    }
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(out, json_real(values[i]));
    }
    return out;
}

static json_t *texts(const char *const *hover, size_t n) {
    if (hover == NULL) {
        return json_null();
    }
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *text = hover[i] == NULL ? NULL : json_string(hover[i]);
        (void)json_array_append_new(out, text == NULL ? json_null() : text);
    }
    return out;
}

static json_t *series_json(const apq_plot_series *s, const char *const *hover) {
    return json_pack(
        "{s:s, s:i, s:s, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "label", s->label == NULL ? "" : s->label, "color", s->color, "marker",
        marker_names[s->marker], "line", s->has_line, "dashed", s->is_dashed,
        "faint", s->is_faint, "x", column(s->x, s->n), "y", column(s->y, s->n),
        "xLow", column(s->x_low, s->n), "xHigh", column(s->x_high, s->n),
        "yLow", column(s->y_low, s->n), "yHigh", column(s->y_high, s->n),
        "hover", texts(hover, s->n));
}

static json_t *chart_json(const apq_plot *plot,
                          const char *const *const *hover) {
    json_t *series = json_array();
    for (size_t i = 0; i < plot->n_series; i++) {
        (void)json_array_append_new(
            series,
            series_json(&plot->series[i], hover == NULL ? NULL : hover[i]));
    }
    return json_pack("{s:s, s:s, s:s?, s:o, s:s?, s:o}", "x", plot->x_label,
                     "y", plot->y_label, "better", plot->better, "line",
                     plot->has_vline ? json_real(plot->vline) : json_null(),
                     "lineLabel", plot->has_vline ? plot->vline_label : NULL,
                     "series", series);
}

/* ASCII only, and without the three characters that HTML could take for its
 * own: no text can end the script element or hide from its parser. */
static apq_status put_json(FILE *out, json_t *chart) {
    char *text = chart == NULL
                     ? NULL
                     : json_dumps(chart, JSON_COMPACT | JSON_ENSURE_ASCII |
                                             JSON_REAL_PRECISION(7));
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '<' || *p == '>' || *p == '&') {
            (void)fprintf(out, "\\u%04x", (unsigned)*p);
        } else {
            (void)fputc(*p, out);
        }
    }
    free(text);
    return APQ_OK;
}

apq_status apq_page_chart(apq_page *page, const apq_plot *plot,
                          const char *const *const *hover, const char *note) {
    FILE *out = apq_page_html(page);
    if (out == NULL) {
        return APQ_OK;
    }
    apq_page_end(page);
    apq_plot untitled = *plot;
    untitled.title = NULL;
    char *svg = NULL;
    APQ_TRY(apq_plot_svg(&untitled, &svg));
    (void)fprintf(out, "<figure class=\"chart\" id=\"chart%d\">\n<figcaption>",
                  apq_page_next_chart(page));
    apq_page_escape(out, plot->title == NULL ? "" : plot->title);
    (void)fputs("</figcaption>\n<div class=\"frame\"><img class=\"still\" "
                "alt=\"",
                out);
    apq_page_escape(out, plot->title == NULL ? "" : plot->title);
    (void)fputs("\" src=\"data:image/svg+xml;base64,", out);
    put_base64(out, svg);
    (void)fputs("\"></div>\n", out);
    free(svg);
    apq_status st = APQ_OK;
    if (apq_asset_chart_js[0] != '\0') {
        (void)fputs("<script type=\"application/json\">", out);
        json_t *chart = chart_json(plot, hover);
        st = put_json(out, chart);
        json_decref(chart);
        (void)fputs("</script>\n", out);
    }
    if (note != NULL) {
        (void)fputs("<p class=\"note\">", out);
        apq_page_inline(out, note);
        (void)fputs("</p>\n", out);
    }
    (void)fputs("</figure>\n", out);
    return st;
}
