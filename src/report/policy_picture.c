/* A policy at a glance: a row per block, its length the middle channels, its
 * four strips the bit-widths. Colours are five stops of viridis, whose
 * lightness falls steadily, so they order in grey and for every eye. */
#include "report/plot.h"

#include "report/canvas.h"

#include <math.h>
#include <stdio.h>

#include <cairo.h>

/* Viridis (van der Walt and Smith, 2015), light to dark: few bits to many. */
static const uint32_t viridis[] = {0xfde725, 0x5ec962, 0x21918c, 0x3b528b,
                                   0x440154};

enum { N_STOPS = sizeof viridis / sizeof *viridis };

static const char *const gene_names[APQ_N_BIT_GENES] = {
    "pointwise weights", "pointwise activations", "depthwise weights",
    "depthwise activations"};

static const double width = 760.0, row_height = 34.0, strip = 6.0;
static const double bar_left = 136.0, bar_width = 380.0;
static const double share_left = 586.0, share_width = 100.0;
static const double rows_top = 128.0;
static const uint32_t ink = 0x222222, muted = 0x5a5a5a, rule = 0xd0d0d0;

typedef struct picture {
    const apq_space *space;
    const apq_policy *policy;
    const double *shares; /* (n_blocks) or NULL */
    int most_channels;
    double most_share;
} picture;

static apq_text_style style(double size, apq_anchor anchor, uint32_t rgb) {
    return (apq_text_style){.size = size, .anchor = anchor, .rgb = rgb};
}

/* Colour of a bit-width, by the values 2..8 and not by the space, so that
 * pictures of different spaces compare. */
static uint32_t bits_color(int bits) {
    int stop = (bits - 1) / 2; /* 2: 0, 3 4: 1, 5 6: 2, 7 8: 3 */
    stop = stop < 0 ? 0 : stop;
    return viridis[stop < N_STOPS ? stop : N_STOPS - 1];
}

static void box(apq_canvas *canvas, double x, double y, double w, double h) {
    cairo_rectangle(apq_canvas_cairo(canvas), x, y, w, h);
    cairo_fill(apq_canvas_cairo(canvas));
}

static void outline(apq_canvas *canvas, double x, double y, double w, double h,
                    bool is_dashed) {
    static const double dashes[] = {3.0, 3.0};
    cairo_t *cr = apq_canvas_cairo(canvas);
    apq_canvas_color(canvas, rule, 1.0);
    cairo_set_dash(cr, dashes, is_dashed ? 2 : 0, 0.0);
    cairo_set_line_width(cr, 1.0);
    cairo_rectangle(cr, floor(x) + 0.5, floor(y) + 0.5, floor(w), floor(h));
    cairo_stroke(cr);
    cairo_set_dash(cr, dashes, 0, 0.0);
}

static void draw_head(apq_canvas *canvas, const picture *p) {
    char text[128];
    (void)snprintf(text, sizeof text, "Policy in space %s", p->space->name);
    apq_text_style title = style(16.0, APQ_ANCHOR_START, ink);
    title.is_bold = true;
    apq_canvas_text(canvas, 24.0, 32.0, title, text);

    double x = 24.0;
    apq_text_style small = style(12.0, APQ_ANCHOR_START, muted);
    for (int i = 0; i < p->space->n_bits; i++) {
        apq_canvas_color(canvas, bits_color(p->space->bits[i]), 1.0);
        box(canvas, x, 50.0, 22.0, 12.0);
        (void)snprintf(text, sizeof text, "%d bits", p->space->bits[i]);
        apq_canvas_text(canvas, x + 28.0, 60.5, small, text);
        x += 92.0;
    }
    (void)snprintf(text, sizeof text, "strips from the top: %s, %s, %s, %s",
                   gene_names[0], gene_names[1], gene_names[2], gene_names[3]);
    apq_canvas_text(canvas, 24.0, 84.0, small, text);
    double y = rows_top - 12.0;
    apq_canvas_text(canvas, 24.0, y, small, "block");
    apq_canvas_text(canvas, 84.0, y, small, "kernel");
    apq_canvas_text(canvas, bar_left, y, small,
                    "middle channels (outline: largest of the space)");
    if (p->shares != NULL) {
        apq_canvas_text(canvas, share_left, y, small, "share of latency");
    }
}

static void draw_share(apq_canvas *canvas, double share, double most,
                       double y) {
    char text[32];
    double length = most > 0.0 ? share_width * share / most : 0.0;
    apq_canvas_color(canvas, 0x9a9a9a, 1.0);
    box(canvas, share_left, y + 6.0, length, 12.0);
    (void)snprintf(text, sizeof text, "%.1f %%", 100.0 * share);
    apq_canvas_text(canvas, share_left + length + 6.0, y + 16.5,
                    style(12.0, APQ_ANCHOR_START, ink), text);
}

static void draw_block(apq_canvas *canvas, const picture *p, int b) {
    const apq_space_block *block = &p->space->blocks[b];
    double y = rows_top + b * row_height;
    double scale = bar_width / p->most_channels;
    double length = p->policy->channels[b] * scale;
    double height = strip * APQ_N_BIT_GENES;
    bool is_active = apq_space_block_active(p->space, p->policy, b);
    char text[32];
    if (block->position == 0 && b > 0) { /* a new stage */
        apq_canvas_color(canvas, rule, 1.0);
        apq_canvas_line(canvas, 24.0, y - 4.5, width - 24.0, y - 4.5, 1.0);
    }
    (void)snprintf(text, sizeof text, "%d", b);
    apq_canvas_text(canvas, 24.0, y + 16.5,
                    style(13.0, APQ_ANCHOR_START, is_active ? ink : 0x9a9a9a),
                    text);
    outline(canvas, bar_left, y, block->max_channels * scale, height,
            !is_active);
    if (!is_active) {
        apq_canvas_text(canvas, bar_left + 8.0, y + 16.5,
                        style(12.0, APQ_ANCHOR_START, 0x767676), "skipped");
        return;
    }
    (void)snprintf(text, sizeof text, "%d × %d", p->policy->kernel[b],
                   p->policy->kernel[b]);
    apq_canvas_text(canvas, 84.0, y + 16.5, style(13.0, APQ_ANCHOR_START, ink),
                    text);
    for (int g = 0; g < APQ_N_BIT_GENES; g++) {
        apq_canvas_color(canvas, bits_color(p->policy->bits[g][b]), 1.0);
        /* A hairline of white between pointwise and depthwise. */
        double gap = g == APQ_PW_ACT ? 1.0 : 0.0;
        box(canvas, bar_left, y + g * strip, length, strip - gap);
    }
    (void)snprintf(text, sizeof text, "%d", p->policy->channels[b]);
    apq_canvas_text(canvas, bar_left + block->max_channels * scale + 7.0,
                    y + 16.5, style(12.0, APQ_ANCHOR_START, ink), text);
    if (p->shares != NULL) {
        draw_share(canvas, p->shares[b], p->most_share, y);
    }
}

static void draw_picture(apq_canvas *canvas, const void *what) {
    const picture *p = what;
    draw_head(canvas, p);
    for (int b = 0; b < p->space->n_blocks; b++) {
        draw_block(canvas, p, b);
    }
}

apq_status apq_plot_policy(const apq_space *space, const apq_policy *policy,
                           const double *latency_share_per_block,
                           const char *stem) {
    APQ_TRY(apq_policy_check(space, policy));
    picture p = {.space = space,
                 .policy = policy,
                 .shares = latency_share_per_block,
                 .most_channels = 1};
    for (int b = 0; b < space->n_blocks; b++) {
        if (space->blocks[b].max_channels > p.most_channels) {
            p.most_channels = space->blocks[b].max_channels;
        }
        if (p.shares == NULL) {
            continue;
        }
        if (!(p.shares[b] >= 0.0 && p.shares[b] <= 1.0)) {
            APQ_FAIL(APQ_ERR_NUMERIC,
                     "plot: latency share of block %d is %g, not in 0..1", b,
                     p.shares[b]);
        }
        p.most_share = fmax(p.most_share, p.shares[b]);
    }
    double height = rows_top + space->n_blocks * row_height + 16.0;
    return apq_canvas_write(width, height, draw_picture, &p, stem);
}
