#ifndef APQ_REPORT_CANVAS_H
#define APQ_REPORT_CANVAS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Cairo's context, named as in cairo.h, which only the .c files include. */
typedef struct _cairo cairo_t;

/* One drawing for three file formats. Shapes go straight to cairo; text goes
 * through here, because cairo would turn it into outlines in an SVG, where
 * nobody could search, select or read it aloud. */

typedef enum apq_anchor {
    APQ_ANCHOR_START,
    APQ_ANCHOR_MIDDLE,
    APQ_ANCHOR_END,
} apq_anchor;

typedef struct apq_canvas apq_canvas;

/* How a text is set. */
typedef struct apq_text_style {
    double size; /* pixels */
    apq_anchor anchor;
    bool is_bold;
    bool is_vertical; /* reads upward */
    uint32_t rgb;     /* 0xRRGGBB */
} apq_text_style;

/* The drawing; called once per format, must do the same each time. */
typedef void (*apq_draw_fn)(apq_canvas *canvas, const void *what);

/* Renders in memory, then replaces `stem`.svg, .png and .pdf. Sizes in
 * pixels. */
APQ_NODISCARD apq_status apq_canvas_write(double width, double height,
                                          apq_draw_fn draw, const void *what,
                                          const char *stem);

/* The SVG alone as malloc'd text. */
APQ_NODISCARD apq_status apq_canvas_svg(double width, double height,
                                        apq_draw_fn draw, const void *what,
                                        char **svg);

cairo_t *apq_canvas_cairo(apq_canvas *canvas);
void apq_canvas_color(apq_canvas *canvas, uint32_t rgb, double alpha);
/* Baseline at (x, y). */
void apq_canvas_text(apq_canvas *canvas, double x, double y,
                     apq_text_style style, const char *text);
double apq_canvas_text_width(apq_canvas *canvas, apq_text_style style,
                             const char *text);
/* Straight line in the current colour. */
void apq_canvas_line(apq_canvas *canvas, double x0, double y0, double x1,
                     double y1, double width);

#endif
