/* The C99 export's weights.h and weights.c: packed codes, biases, scales and
 * tables as constant arrays (ours). */
#include "export/c99_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BYTES_A_LINE = 16, WORDS_A_LINE = 6 };

/* What weights.h and weights.c say of a layer; w NULL leaves out its codes. */
typedef struct layer_arrays {
    const char *name; /* identifier */
    const apq_ir_layer *ir;
    const int8_t *w;
    const int32_t *bias;
} layer_arrays;

static layer_arrays conv_arrays(const apq_c99_plan *p, int i) {
    const apq_int_conv *l = &p->model->convs[i];
    return (layer_arrays){p->names[i], &l->ir, l->w, l->bias};
}

static layer_arrays classifier_arrays(const apq_c99_plan *p) {
    const apq_int_model *m = p->model;
    return (layer_arrays){"classifier", &m->classifier, m->w, m->bias};
}

static const char *weight_type(const apq_ir_layer *ir) {
    return apq_c99_container_bits(ir) < 8 ? "uint8_t" : "int8_t";
}

static void declare(const apq_c99_plan *p, const layer_arrays *a, FILE *out) {
    const char *n = p->options->prefix;
    int rows = a->ir->out_channels;
    fprintf(out, "extern const %s %s_%s_w[%d];\n", weight_type(a->ir), n,
            a->name, rows * apq_c99_row_bytes(a->ir));
    fprintf(out, "extern const int32_t %s_%s_bias[%d];\n", n, a->name, rows);
}

void apq_c99_write_weights_h(const apq_c99_plan *p, FILE *out) {
    const char *n = p->options->prefix;
    const apq_int_model *m = p->model;
    fprintf(out,
            "#ifndef %s_WEIGHTS_H\n#define %s_WEIGHTS_H\n\n"
            "#include <stdint.h>\n\n"
            "/* w: an output channel after the other, packed where the weights "
            "have 4 or 6 bits\n * (arith.h: unpack); bias: what its sum begins "
            "with; scale: as requantise reads\n * it; reround: from the "
            "block's input code + 128 to the layer's. */\n"
            "extern const %s %s_pixels[3][256];\n\n",
            p->upper, p->upper, apq_c99_type(&m->convs[0].in), n);
    for (int i = 0; i < m->n_convs; i++) {
        layer_arrays a = conv_arrays(p, i);
        declare(p, &a, out);
        fprintf(out, "extern const uint32_t %s_%s_scale[%d];\n", n, a.name,
                a.ir->out_channels);
        if (m->convs[i].reround != NULL) {
            fprintf(out, "extern const int8_t %s_%s_reround[256];\n", n,
                    a.name);
        }
        fprintf(out, "\n");
    }
    layer_arrays a = classifier_arrays(p);
    declare(p, &a, out);
    if (!p->has_equal_scales) {
        fprintf(out, "extern const int32_t %s_classifier_factor[%d];\n", n,
                m->n_classes);
    }
    fprintf(out, "\n#endif\n");
}

/* Arrays ------------------------------------------------------------------ */

/* What comes before number i of a list. */
static const char *gap(int i, int a_line) {
    return i % a_line != 0 ? ", " : i == 0 ? "\n    " : ",\n    ";
}

/* n codes of 4, 6 or 8 bits as bytes, the lower bits first; *at counts the
 * bytes of the array. */
static void write_row(const int8_t *w, int n, int bits, int *at, FILE *out) {
    if (bits == 8) {
        for (int i = 0; i < n; i++) {
            fprintf(out, "%s%d", gap((*at)++, BYTES_A_LINE), w[i]);
        }
        return;
    }
    int group = bits == 4 ? 2 : 4; /* codes that fill whole bytes */
    for (int i = 0; i < n; i += group) {
        uint32_t word = 0;
        for (int j = i; j < n && j < i + group; j++) {
            uint32_t code = (uint32_t)w[j] & ((1U << bits) - 1);
            word |= code << (j - i) * bits;
        }
        for (int j = 0; j < group * bits; j += 8) {
            fprintf(out, "%s0x%02x", gap((*at)++, BYTES_A_LINE),
                    (unsigned)(word >> j & 255));
        }
    }
}

/* The begin of an array that weights.h declares. */
static void define(const apq_c99_plan *p, const char *type, const char *layer,
                   const char *part, int n, FILE *out) {
    fprintf(out, "%s_WEIGHTS_ATTRIBUTE\nconst %s %s_%s_%s[%d] = {", p->upper,
            type, p->options->prefix, layer, part, n);
}

static void write_arrays(const apq_c99_plan *p, const layer_arrays *a,
                         FILE *out) {
    int rows = a->ir->out_channels, length = (int)apq_int_depth(a->ir);
    define(p, weight_type(a->ir), a->name, "w", rows * apq_c99_row_bytes(a->ir),
           out);
    int at = 0;
    for (int k = 0; k < rows; k++) {
        write_row(a->w + (int64_t)k * length, length,
                  apq_c99_container_bits(a->ir), &at, out);
    }
    fprintf(out, "\n};\n");
    define(p, "int32_t", a->name, "bias", rows, out);
    for (int k = 0; k < rows; k++) {
        fprintf(out, "%s%" PRId32, gap(k, WORDS_A_LINE), a->bias[k]);
    }
    fprintf(out, "\n};\n");
}

static void write_scales(const apq_c99_plan *p, int i, FILE *out) {
    const apq_int_conv *l = &p->model->convs[i];
    define(p, "uint32_t", p->names[i], "scale", l->ir.out_channels, out);
    for (int k = 0; k < l->ir.out_channels; k++) {
        fprintf(out, "%s0x%08" PRIx32, gap(k, WORDS_A_LINE),
                apq_c99_scale(l->rescale[k]));
    }
    fprintf(out, "\n};\n");
    if (l->reround != NULL) {
        define(p, "int8_t", p->names[i], "reround", 256, out);
        for (int v = 0; v < 256; v++) {
            fprintf(out, "%s%d", gap(v, BYTES_A_LINE), l->reround[v]);
        }
        fprintf(out, "\n};\n");
    }
}

static void write_pixels(const apq_c99_plan *p, FILE *out) {
    const apq_c99_options *o = p->options;
    const apq_int_codes *image = &p->model->convs[0].in;
    fprintf(out,
            "/* Codes of red, green and blue bytes. */\n"
            "%s_WEIGHTS_ATTRIBUTE\nconst %s %s_pixels[3][256] = {",
            p->upper, apq_c99_type(image), o->prefix);
    for (int c = 0; c < 3; c++) {
        fprintf(out, "%s\n    {", c > 0 ? "}," : "");
        for (int v = 0; v < 256; v++) {
            fprintf(out, "%s%d", gap(v, BYTES_A_LINE),
                    apq_c99_pixel_code(image, o->mean[c], o->std[c], v));
        }
    }
    fprintf(out, "}\n};\n\n");
}

void apq_c99_write_weights_c(const apq_c99_plan *p, FILE *out) {
    fprintf(out,
            "/* The numbers of the network; see weights.h. */\n"
            "#include \"weights.h\"\n\n"
            "#ifndef %s_WEIGHTS_ATTRIBUTE\n#define %s_WEIGHTS_ATTRIBUTE\n"
            "#endif\n\n",
            p->upper, p->upper);
    write_pixels(p, out);
    for (int i = 0; i < p->model->n_convs; i++) {
        fprintf(out, "/* Layer %d, %s: ", i, p->names[i]);
        apq_c99_write_layer_comment(p, i, out);
        fprintf(out, ". */\n");
        layer_arrays a = conv_arrays(p, i);
        write_arrays(p, &a, out);
        write_scales(p, i, out);
        fprintf(out, "\n");
    }
    layer_arrays a = classifier_arrays(p);
    write_arrays(p, &a, out);
    if (!p->has_equal_scales) {
        define(p, "int32_t", "classifier", "factor", p->model->n_classes, out);
        for (int k = 0; k < p->model->n_classes; k++) {
            fprintf(out, "%s%" PRId32, gap(k, WORDS_A_LINE),
                    apq_c99_logit_factor(p, k));
        }
        fprintf(out, "\n};\n");
    }
}
