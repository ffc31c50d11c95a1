/* The layers of a network as bars, as HAQ and APQ print them: bits of weights
 * upward, of activations downward, then kernel, width kept and share of the
 * latency. An SVG whose colours are the page's. */
#include "report/document.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Pixels. */
static const double left = 78, bar = 15, step = 20, axis_y = 92, bit = 8.5;
static const double kernel_y = 186, width_y = 196, width_h = 26, share_y = 240,
                    share_h = 70;

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* Bits of a bar; none where they are not known. */
static double bits(const json_t *layer, const char *key) {
    return fmax(number(layer, key), 0);
}

static bool is_depthwise(const json_t *layer) {
    return strcmp(apq_document_text(layer, "kind", ""), "depthwise") == 0;
}

static bool is_searched(const json_t *layer) {
    return json_is_integer(json_object_get(layer, "block"));
}

/* Style of a bar: what its layer is. */
static const char *kind_class(const json_t *layer) {
    return !is_searched(layer) ? "fixed" : is_depthwise(layer) ? "dw" : "pw";
}

static void rect(FILE *out, const char *style, double x, double y, double w,
                 double h) {
    (void)fprintf(out,
                  "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                  "height=\"%.1f\"/>",
                  style, x, y, w, fmax(h, 0.5));
}

static void label(FILE *out, double x, double y, const char *anchor,
                  const char *text) {
    (void)fprintf(out,
                  "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
                  x, y, anchor, text);
}

static void count(FILE *out, double x, double y, double value) {
    char text[32] = "?";
    if (isfinite(value)) {
        (void)snprintf(text, sizeof text, "%.0f", value);
    }
    label(out, x, y, "middle", text);
}

static void put_names(FILE *out) {
    label(out, left - 10, axis_y - 40, "end", "weights");
    label(out, left - 10, axis_y - 28, "end", "[bits]");
    label(out, left - 10, axis_y + 40, "end", "inputs");
    label(out, left - 10, axis_y + 52, "end", "[bits]");
    label(out, left - 10, kernel_y, "end", "kernel");
    label(out, left - 10, width_y + 17, "end", "width kept");
    label(out, left - 10, share_y + 30, "end", "share of");
    label(out, left - 10, share_y + 42, "end", "latency");
}

/* Hatches are a second cue beside the colours. */
static void put_patterns(FILE *out) {
    (void)fputs(
        "<defs><pattern id=\"hatch\" width=\"5\" height=\"5\" "
        "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
        "<rect class=\"dw\" width=\"5\" height=\"5\"/><line class=\"cut\" "
        "y2=\"5\"/></pattern><pattern id=\"hatch2\" width=\"5\" height=\"5\" "
        "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">"
        "<rect class=\"mem\" width=\"5\" height=\"5\"/><line class=\"cut\" "
        "y2=\"5\"/></pattern></defs>\n",
        out);
}

static void put_title(FILE *out, const json_t *layer) {
    double share = number(layer, "latency_share");
    (void)fputs("<title>", out);
    apq_page_escape(out, apq_document_text(layer, "name", "layer"));
    if (isfinite(number(layer, "in_channels") + bits(layer, "act_bits"))) {
        (void)fprintf(out, ": %.0f \u2192 %.0f channels, W%.0f/A%.0f",
                      number(layer, "in_channels"),
                      number(layer, "out_channels"), bits(layer, "weight_bits"),
                      bits(layer, "act_bits"));
    }
    if (isfinite(share)) {
        (void)fprintf(out, ", %.1f %% of the latency", 100 * share);
    }
    (void)fputs("</title>", out);
}

static void put_layer(FILE *out, const json_t *layer, double x,
                      double most_share) {
    double w = bits(layer, "weight_bits"), a = bits(layer, "act_bits");
    double share = number(layer, "latency_share"), kept = number(layer, "kept");
    const char *kind = kind_class(layer);
    (void)fputs("<g>", out);
    put_title(out, layer);
    rect(out, kind, x, axis_y - bit * w, bar, bit * w);
    rect(out, kind, x, axis_y + 1, bar, bit * a);
    if (isfinite(share) && most_share > 0) {
        double h = share_h * share / most_share;
        rect(out, apq_document_text(layer, "bound", "unbound"), x,
             share_y + share_h - h, bar, h);
    }
    (void)fputs("</g>", out);
    count(out, x + bar / 2, axis_y - bit * w - 2, w);
    count(out, x + bar / 2, axis_y + bit * a + 11, a);
    if (is_depthwise(layer) || !is_searched(layer)) {
        count(out, x + bar / 2, kernel_y, number(layer, "kernel"));
    }
    if (isfinite(kept) && is_depthwise(layer)) {
        rect(out, "full", x - step, width_y, 2 * step + bar, width_h);
        rect(out, "kept", x - step, width_y, (2 * step + bar) * kept, width_h);
        char text[16];
        (void)snprintf(text, sizeof text, "%.0f %%", 100 * kept);
        label(out, x + bar / 2, width_y + 17, "middle", text);
    }
}

static bool has_bound(const json_t *layers, const char *bound) {
    size_t i;
    const json_t *layer;
    bool has = false;
    json_array_foreach(layers, i, layer) {
        has = has || strcmp(apq_document_text(layer, "bound", ""), bound) == 0;
    }
    return has;
}

/* A square as the bars of a class are drawn, hatches included: not every viewer
 * of a printed page shows gradients of the style sheet. */
static void put_key(FILE *out, const char *style, const char *text) {
    (void)fprintf(out,
                  "<svg class=\"key\"><rect class=\"%s\" width=\"100%%\" "
                  "height=\"100%%\"/></svg>%s",
                  style, text);
}

static void put_legend(FILE *out, const json_t *layers) {
    bool has_compute = has_bound(layers, "compute");
    bool has_memory = has_bound(layers, "memory");
    (void)fputs("<p class=\"note legend\">Bits: ", out);
    put_key(out, "pw", "1 \u00d7 1 layers, ");
    put_key(out, "dw", "depthwise layers, ");
    put_key(out, "fixed", "fixed layers. ");
    if (has_compute || has_memory) {
        (void)fputs("Share of latency: ", out);
    }
    if (has_compute) {
        put_key(out, "compute",
                has_memory ? "bound by arithmetic, " : "bound by arithmetic. ");
    }
    if (has_memory) {
        put_key(out, "memory", "bound by memory. ");
    }
    (void)fputs("Gaps part stages.</p>\n", out);
}

void apq_layers_picture(const json_t *layers, FILE *out) {
    size_t n = json_array_size(layers), n_gaps = 0;
    double most_share = 0, stage = -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *layer = json_array_get(layers, i);
        most_share = fmax(most_share, number(layer, "latency_share"));
        double own = is_searched(layer) ? number(layer, "stage") : -1;
        n_gaps += own < stage || own > stage;
        stage = own;
    }
    if (n == 0) {
        return;
    }
    double width = left + step * (double)n + 10 * (double)n_gaps + 10;
    (void)fprintf(out,
                  "<figure class=\"layers\"><figcaption>Bits, kernels, widths "
                  "and cost</figcaption>\n<div class=\"wide\"><svg "
                  "viewBox=\"0 0 %.0f 320\" width=\"%.0f\" role=\"img\" "
                  "aria-label=\"bits of each layer\">\n",
                  width, width);
    put_patterns(out);
    put_names(out);
    double x = left;
    stage = -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *layer = json_array_get(layers, i);
        double own = is_searched(layer) ? number(layer, "stage") : -1;
        if (own < stage || own > stage) {
            (void)fprintf(out,
                          "<line class=\"part\" x1=\"%.1f\" x2=\"%.1f\" "
                          "y1=\"8\" y2=\"%.1f\"/>",
                          x + 2.5, x + 2.5, share_y + share_h);
            x += 10;
        }
        stage = own;
        put_layer(out, layer, x, most_share);
        x += step;
    }
    (void)fputs("</svg></div>\n", out);
    put_legend(out, layers);
    (void)fputs("</figure>\n", out);
}
