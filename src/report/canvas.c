/* SVG, PNG and PDF of one drawing with cairo. For SVG the texts are collected
 * while drawing and put in as <text> elements at the end, hence on top. */
#include "report/canvas.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cairo-pdf.h>
#include <cairo-svg.h>

static const char font_family[] = "DejaVu Sans";
static const double png_scale = 2.0;

struct apq_canvas {
    cairo_t *cr;
    FILE *texts; /* SVG: the <text> elements; else NULL */
};

/* A growing memory file. */
typedef struct memory_file {
    FILE *stream;
    char *bytes;
    size_t n_bytes;
} memory_file;

static apq_status memory_open(memory_file *file) {
    *file = (memory_file){0};
    file->stream = open_memstream(&file->bytes, &file->n_bytes);
    if (file->stream == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "plot: no memory for a picture");
    }
    return APQ_OK;
}

/* After this, bytes and n_bytes are final. */
static apq_status memory_finish(memory_file *file) {
    bool is_good = ferror(file->stream) == 0;
    is_good = fclose(file->stream) == 0 && is_good;
    file->stream = NULL;
    if (!is_good) {
        APQ_FAIL(APQ_ERR_NOMEM, "plot: no memory for a picture");
    }
    return APQ_OK;
}

static void memory_close(memory_file *file) {
    if (file->stream != NULL) {
        (void)fclose(file->stream);
    }
    free(file->bytes);
}

static cairo_status_t write_bytes(void *closure, const unsigned char *bytes,
                                  unsigned int n) {
    FILE *stream = closure;
    return fwrite(bytes, 1, n, stream) == n ? CAIRO_STATUS_SUCCESS
                                            : CAIRO_STATUS_WRITE_ERROR;
}

static apq_status external(cairo_status_t status) {
    if (status == CAIRO_STATUS_SUCCESS) {
        return APQ_OK;
    }
    APQ_FAIL(status == CAIRO_STATUS_NO_MEMORY ? APQ_ERR_NOMEM
                                              : APQ_ERR_EXTERNAL,
             "plot: cairo: %s", cairo_status_to_string(status));
}

cairo_t *apq_canvas_cairo(apq_canvas *canvas) {
    return canvas->cr;
}

void apq_canvas_color(apq_canvas *canvas, uint32_t rgb, double alpha) {
    cairo_set_source_rgba(canvas->cr, ((rgb >> 16) & 255) / 255.0,
                          ((rgb >> 8) & 255) / 255.0, (rgb & 255) / 255.0,
                          alpha);
}

static void select_font(cairo_t *cr, apq_text_style style) {
    cairo_select_font_face(cr, font_family, CAIRO_FONT_SLANT_NORMAL,
                           style.is_bold ? CAIRO_FONT_WEIGHT_BOLD
                                         : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, style.size);
}

double apq_canvas_text_width(apq_canvas *canvas, apq_text_style style,
                             const char *text) {
    cairo_text_extents_t extents;
    select_font(canvas->cr, style);
    cairo_text_extents(canvas->cr, text, &extents);
    return extents.x_advance;
}

static void put_escaped(FILE *stream, const char *text) {
    for (const char *p = text; *p != '\0'; p++) {
        switch (*p) {
        case '&':
            (void)fputs("&amp;", stream);
            break;
        case '<':
            (void)fputs("&lt;", stream);
            break;
        case '>':
            (void)fputs("&gt;", stream);
            break;
        default:
            (void)fputc(*p, stream);
        }
    }
}

static void svg_text(FILE *stream, double x, double y, apq_text_style style,
                     const char *text) {
    static const char *const anchors[] = {"start", "middle", "end"};
    (void)fprintf(stream,
                  "<text x=\"%.2f\" y=\"%.2f\" font-family=\"%s, Verdana, "
                  "sans-serif\" font-size=\"%.1f\" font-weight=\"%s\" "
                  "text-anchor=\"%s\" fill=\"#%06x\"",
                  x, y, font_family, style.size,
                  style.is_bold ? "bold" : "normal", anchors[style.anchor],
                  (unsigned)style.rgb);
    if (style.is_vertical) {
        (void)fprintf(stream, " transform=\"rotate(-90 %.2f %.2f)\"", x, y);
    }
    (void)fputs(">", stream);
    put_escaped(stream, text);
    (void)fputs("</text>\n", stream);
}

void apq_canvas_text(apq_canvas *canvas, double x, double y,
                     apq_text_style style, const char *text) {
    if (canvas->texts != NULL) {
        svg_text(canvas->texts, x, y, style, text);
        return;
    }
    static const double shares[] = {0.0, 0.5, 1.0};
    double width = apq_canvas_text_width(canvas, style, text);
    cairo_save(canvas->cr);
    cairo_translate(canvas->cr, x, y);
    if (style.is_vertical) {
        cairo_rotate(canvas->cr, -1.5707963267948966);
    }
    apq_canvas_color(canvas, style.rgb, 1.0);
    cairo_move_to(canvas->cr, -width * shares[style.anchor], 0.0);
    cairo_show_text(canvas->cr, text);
    cairo_restore(canvas->cr);
    cairo_new_path(canvas->cr);
}

void apq_canvas_line(apq_canvas *canvas, double x0, double y0, double x1,
                     double y1, double width) {
    cairo_set_line_width(canvas->cr, width);
    cairo_move_to(canvas->cr, x0, y0);
    cairo_line_to(canvas->cr, x1, y1);
    cairo_stroke(canvas->cr);
}

/* Draws on a surface, which it finishes but does not release. */
static apq_status paint(cairo_surface_t *surface, double scale, FILE *texts,
                        apq_draw_fn draw, const void *what) {
    apq_canvas canvas = {.cr = cairo_create(surface), .texts = texts};
    cairo_scale(canvas.cr, scale, scale);
    apq_canvas_color(&canvas, 0xffffff, 1.0);
    cairo_paint(canvas.cr);
    draw(&canvas, what);
    cairo_status_t status = cairo_status(canvas.cr);
    cairo_destroy(canvas.cr);
    cairo_surface_flush(surface);
    return external(status);
}

static apq_status to_png(double width, double height, apq_draw_fn draw,
                         const void *what, memory_file *file) {
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(width * png_scale),
                                   (int)(height * png_scale));
    apq_status st = paint(surface, png_scale, NULL, draw, what);
    if (st == APQ_OK) {
        st = external(cairo_surface_write_to_png_stream(surface, write_bytes,
                                                        file->stream));
    }
    cairo_surface_destroy(surface);
    return st;
}

/* Fonts are embedded, so the texts stay texts. */
static apq_status to_pdf(double width, double height, apq_draw_fn draw,
                         const void *what, memory_file *file) {
    cairo_surface_t *surface = cairo_pdf_surface_create_for_stream(
        write_bytes, file->stream, width, height);
    /* The same picture is the same file, whenever it was drawn. */
    cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATE_DATE,
                                   "2020-01-01T00:00:00Z");
    apq_status st = paint(surface, 1.0, NULL, draw, what);
    cairo_surface_finish(surface);
    if (st == APQ_OK) {
        st = external(cairo_surface_status(surface));
    }
    cairo_surface_destroy(surface);
    return st;
}

/* Cairo's shapes, then the texts, inside one <svg> element. */
static apq_status join_svg(const memory_file *shapes, const memory_file *texts,
                           memory_file *file) {
    static const char end[] = "</svg>", group[] = "<g id=\"surface";
    char *last = NULL;
    for (char *p = strstr(shapes->bytes, end); p != NULL;
         p = strstr(p + 1, end)) {
        last = p;
    }
    if (last == NULL) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "plot: cairo: the SVG has no end");
    }
    /* Cairo numbers its surfaces; the same picture is to be the same file. */
    const char *head = strstr(shapes->bytes, group);
    const char *rest = head == NULL ? NULL : strchr(head, '>');
    if (rest == NULL || rest > last) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "plot: cairo: the SVG has no group");
    }
    (void)fwrite(shapes->bytes, 1, (size_t)(head - shapes->bytes),
                 file->stream);
    (void)fputs("<g", file->stream);
    (void)fwrite(rest, 1, (size_t)(last - rest), file->stream);
    (void)fwrite(texts->bytes, 1, texts->n_bytes, file->stream);
    (void)fprintf(file->stream, "%s\n", end);
    return APQ_OK;
}

static apq_status to_svg(double width, double height, apq_draw_fn draw,
                         const void *what, memory_file *file) {
    memory_file shapes;
    memory_file texts = {0};
    cairo_surface_t *surface = NULL;
    apq_status st = memory_open(&shapes);
    if (st != APQ_OK) {
        goto done;
    }
    if ((st = memory_open(&texts)) != APQ_OK) {
        goto done;
    }
    surface = cairo_svg_surface_create_for_stream(write_bytes, shapes.stream,
                                                  width, height);
    if ((st = paint(surface, 1.0, texts.stream, draw, what)) != APQ_OK) {
        goto done;
    }
    cairo_surface_finish(surface);
    if ((st = external(cairo_surface_status(surface))) != APQ_OK ||
        (st = memory_finish(&shapes)) != APQ_OK ||
        (st = memory_finish(&texts)) != APQ_OK) {
        goto done;
    }
    st = join_svg(&shapes, &texts, file);
done:
    if (surface != NULL) {
        cairo_surface_destroy(surface); /* before the stream it writes to */
    }
    memory_close(&texts);
    memory_close(&shapes);
    return st;
}

typedef struct format {
    const char *ending;
    apq_status (*render)(double width, double height, apq_draw_fn draw,
                         const void *what, memory_file *file);
} format;
static const format formats[] = {
    {".svg", to_svg}, {".png", to_png}, {".pdf", to_pdf}};

apq_status apq_canvas_write(double width, double height, apq_draw_fn draw,
                            const void *what, const char *stem) {
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char path[APQ_PATH_MAX + 8];
        (void)snprintf(path, sizeof path, "%s%s", stem, formats[i].ending);
        memory_file file;
        APQ_TRY(memory_open(&file));
        apq_status st = formats[i].render(width, height, draw, what, &file);
        if (st == APQ_OK) {
            st = memory_finish(&file);
        }
        if (st == APQ_OK) {
            st = apq_file_write(path, file.bytes, file.n_bytes);
        }
        memory_close(&file);
        APQ_TRY(st);
    }
    return APQ_OK;
}

apq_status apq_canvas_svg(double width, double height, apq_draw_fn draw,
                          const void *what, char **svg) {
    memory_file file;
    APQ_TRY(memory_open(&file));
    apq_status st = to_svg(width, height, draw, what, &file);
    if (st == APQ_OK) {
        st = memory_finish(&file);
    }
    if (st == APQ_OK) {
        *svg = file.bytes;
        file.bytes = NULL;
    }
    memory_close(&file);
    return st;
}
