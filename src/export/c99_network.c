/* The C99 export's network.h and network.c: a function for each layer, which
 * computes one row, one for each chain of layers, and those that a program
 * calls (ours). */
#include "export/c99_internal.h"

#include <inttypes.h>
#include <math.h>

static int most(int a, int b) {
    return a > b ? a : b;
}

static const char *prefix(const apq_c99_plan *p) {
    return p->options->prefix;
}

static bool is_packed(const apq_ir_layer *ir) {
    return apq_c99_container_bits(ir) < 8;
}

/* Type of the codes that a layer reads. */
static const char *input_type(const apq_c99_plan *p, int i) {
    const apq_int_conv *l = &p->model->convs[i];
    return apq_c99_type(i == 0 || l->reround != NULL ? &l->in : &l[-1].out);
}

/* network.h --------------------------------------------------------------- */

static int64_t total_macs(const apq_c99_plan *p) {
    int64_t macs = apq_ir_layer_macs(&p->model->classifier);
    for (int i = 0; i < p->model->n_convs; i++) {
        macs += apq_ir_layer_macs(&p->model->convs[i].ir);
    }
    return macs;
}

static void write_sizes(const apq_c99_plan *p, FILE *out) {
    const apq_int_model *m = p->model;
    const char *u = p->upper;
    int exponent;
    long mantissa = (long)ldexp(frexp((double)p->unit, &exponent), 24);
    fprintf(out,
            "enum {\n"
            "    %s_SIDE = %d, /* pixels */\n"
            "    %s_CLASSES = %d,\n"
            "    %s_CONVS = %d, /* convolutions */\n"
            "    %s_IMAGE_BYTES = %d\n"
            "};\n\n",
            u, m->resolution, u, m->n_classes, u, m->n_convs, u,
            m->resolution * m->resolution * 3);
    fprintf(out,
            "/* Memory in bytes: static, constant weights, constant tables. "
            "On the\n * stack are one row of pointers and the logits. */\n"
            "#define %s_ARENA_BYTES %zu\n"
            "#define %s_WEIGHT_BYTES %zu\n"
            "#define %s_TABLE_BYTES %zu\n\n",
            u, p->sizes.arena_bytes, u, p->sizes.weight_bytes, u,
            p->sizes.table_bytes);
    fprintf(out,
            "/* 1 in the logits stands for %ld * 2^%d, about %.6g. */\n"
            "#define %s_LOGIT_UNIT_MANTISSA %ld\n"
            "#define %s_LOGIT_UNIT_EXPONENT (%d)\n\n",
            mantissa, exponent - 24, (double)p->unit, u, mantissa, u,
            exponent - 24);
}

void apq_c99_write_network_h(const apq_c99_plan *p, FILE *out) {
    const char *n = prefix(p);
    fprintf(out,
            "#ifndef %s_NETWORK_H\n#define %s_NETWORK_H\n\n"
            "#include <stdint.h>\n\n"
            "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
            "/* A convolutional network of whole numbers: %" PRId64
            " multiply-accumulates an\n * image. README.md says how to use it. "
            "*/\n",
            p->upper, p->upper, total_macs(p));
    write_sizes(p, out);
    fprintf(out,
            "/* image: (%d, %d, 3), RGB bytes, row by row -> logits[%d]. Not "
            "for two threads\n * at once: working memory is static. */\n"
            "void %s_run(const uint8_t *image, int32_t *logits);\n"
            "/* The class of the largest logit, the first of equal ones. */\n"
            "int %s_classify(const uint8_t *image);\n\n",
            p->model->resolution, p->model->resolution, p->model->n_classes, n,
            n);
    fprintf(out,
            "/* %s_run in two steps: the classifier's sums, %s,\n"
            " * and what becomes of them, in place. */\n"
            "void %s_sums(const uint8_t *image, int32_t *sums);\n"
            "void %s_logits(int32_t *sums);\n\n",
            n,
            p->has_equal_scales ? "which are the logits"
                                : "each class in a unit of its own",
            n, n);
    apq_c99_declare_names(p, out);
    fprintf(out, "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}

/* Layers ------------------------------------------------------------------ */

void apq_c99_write_layer_comment(const apq_c99_plan *p, int i, FILE *out) {
    static const char *const kinds[APQ_IR_N_KINDS] = {
        [APQ_IR_CONV] = "convolution",
        [APQ_IR_POINTWISE] = "convolution",
        [APQ_IR_DEPTHWISE] = "depthwise convolution",
        [APQ_IR_LINEAR] = "classifier"};
    const apq_ir_layer *ir = &p->model->convs[i].ir;
    fprintf(out, "%d x %d %s", ir->kernel, ir->kernel, kinds[ir->kind]);
    if (ir->stride > 1) {
        fprintf(out, " of stride %d", ir->stride);
    }
    fprintf(out,
            ",\n * %d x %d x %d to %d x %d x %d, weights of %d bits, inputs "
            "of %d,\n * %" PRId64 " multiply-accumulates",
            ir->in_size, ir->in_size, ir->in_channels, ir->out_size,
            ir->out_size, ir->out_channels, ir->weight_bits, ir->act_bits,
            apq_ir_layer_macs(ir));
}

static void begin_layer(const apq_c99_plan *p, int i, FILE *out) {
    fprintf(out, "/* Layer %d, %s: ", i, p->names[i]);
    apq_c99_write_layer_comment(p, i, out);
}

/* Declares w, the `count` weights of output channel `index`, and where its sum
 * begins. */
static void write_weights_of(const apq_c99_plan *p, const char *layer,
                             const apq_ir_layer *ir, const char *scratch,
                             const char *index, const char *count, FILE *out) {
    if (is_packed(ir)) {
        fprintf(out,
                "        int8_t *w = memory.now.%s.w;\n"
                "        unpack%d(%s_%s_w + %s * %d, %s, w);\n",
                scratch, apq_c99_container_bits(ir), prefix(p), layer, index,
                apq_c99_row_bytes(ir), count);
    } else {
        fprintf(out, "        const int8_t *w = %s_%s_w + %s * %d;\n",
                prefix(p), layer, index, apq_c99_row_bytes(ir));
    }
    fprintf(out, "        const int32_t bias = %s_%s_bias[%s];\n", prefix(p),
            layer, index);
}

static void write_channel_of(const apq_c99_plan *p, int i, const char *scratch,
                             const char *index, const char *count, FILE *out) {
    write_weights_of(p, p->names[i], &p->model->convs[i].ir, scratch, index,
                     count, out);
    fprintf(out, "        const uint32_t scale = %s_%s_scale[%s];\n", prefix(p),
            p->names[i], index);
}

/* The code that a sum becomes. */
static void write_code(const apq_c99_plan *p, int i, FILE *out) {
    const apq_int_codes *to = &p->model->convs[i].out;
    fprintf(out, "            int code = requantise(sum, scale, %d, %d);\n",
            to->low, to->high);
}

static void write_conv(const apq_c99_plan *p, int i, const char *scratch,
                       FILE *out) {
    const apq_int_conv *l = &p->model->convs[i];
    const char *n = prefix(p), *name = p->names[i];
    begin_layer(p, i, out);
    fprintf(out,
            ".\n * Reads the image, writes row oy. */\n"
            "static void %s_row(const uint8_t *image, int oy, %s *y)\n{\n"
            "    enum { IN = %d, OUT = %d, C = %d, K = %d, R = %d, "
            "STRIDE = %d };\n"
            "    %s *x = memory.now.%s.patch;\n"
            "    for (int ox = 0; ox < OUT; ox++) {\n"
            "        int n = 0;\n",
            name, apq_c99_type(&l->out), l->ir.in_size, l->ir.out_size,
            l->ir.in_channels, l->ir.out_channels, l->ir.kernel, l->ir.stride,
            input_type(p, i), scratch);
    fprintf(out,
            "        for (int tap = 0; tap < R * R; tap++) {\n"
            "            int iy = oy * STRIDE + tap / R - R / 2;\n"
            "            int ix = ox * STRIDE + tap %% R - R / 2;\n"
            "            int is_inside = iy >= 0 && iy < IN && ix >= 0 && "
            "ix < IN;\n"
            "            const uint8_t *pixel = image + "
            "(is_inside ? (iy * IN + ix) * C : 0);\n"
            "            for (int c = 0; c < C; c++) {\n"
            "                x[n++] = (%s)(is_inside ? %s_pixels[c][pixel[c]] "
            ": 0);\n"
            "            }\n"
            "        }\n",
            input_type(p, i), n);
    fprintf(out,
            "        for (int k = 0; k < K; k++) {\n"
            "            const int8_t *w = %s_%s_w + k * %d;\n"
            "            const uint32_t scale = %s_%s_scale[k];\n"
            "            int32_t sum = %s_%s_bias[k];\n"
            "            for (int c = 0; c < R * R * C; c++) {\n"
            "                sum += x[c] * w[c];\n"
            "            }\n",
            n, name, apq_c99_row_bytes(&l->ir), n, name, n, name);
    write_code(p, i, out);
    fprintf(out,
            "            y[ox * K + k] = (%s)code;\n        }\n    }\n"
            "    TRACE(%d, y, OUT * K);\n}\n\n",
            apq_c99_type(&l->out), i);
}

static void write_depthwise(const apq_c99_plan *p, int i,
                            const apq_c99_chain *chain, FILE *out) {
    const apq_int_conv *l = &p->model->convs[i];
    const char *name = p->names[i], *type = input_type(p, i);
    begin_layer(p, i, out);
    fprintf(out,
            ".\n * Reads the rows kept, writes row oy. */\n"
            "static void %s_row(int oy, %s *y)\n{\n"
            "    enum { IN = %d, OUT = %d, C = %d, R = %d, STRIDE = %d, "
            "ROWS = %d };\n"
            "    const %s *rows[R];\n"
            "    for (int ky = 0; ky < R; ky++) {\n"
            "        int iy = oy * STRIDE + ky - R / 2;\n"
            "        rows[ky] = NULL;\n"
            "        if (iy >= 0 && iy < IN) {\n"
            "            rows[ky] = memory.now.%s.rows + iy %% ROWS * IN * C;\n"
            "        }\n"
            "    }\n"
            "    for (int c = 0; c < C; c++) {\n",
            name, apq_c99_type(&l->out), l->ir.in_size, l->ir.out_size,
            l->ir.in_channels, l->ir.kernel, l->ir.stride, chain->ring_rows,
            type, chain->name);
    write_channel_of(p, i, chain->name, "c", "R * R", out);
    fprintf(out,
            "        for (int ox = 0; ox < OUT; ox++) {\n"
            "            int32_t sum = bias;\n"
            "            for (int ky = 0; ky < R; ky++) {\n"
            "                if (rows[ky] == NULL) {\n"
            "                    continue; /* above or below the image */\n"
            "                }\n"
            "                for (int kx = 0; kx < R; kx++) {\n"
            "                    int ix = ox * STRIDE + kx - R / 2;\n"
            "                    if (ix >= 0 && ix < IN) {\n"
            "                        sum += rows[ky][ix * C + c] * "
            "w[ky * R + kx];\n"
            "                    }\n                }\n            }\n");
    write_code(p, i, out);
    fprintf(out,
            "            y[ox * C + c] = (%s)code;\n        }\n    }\n"
            "    TRACE(%d, y, OUT * C);\n}\n\n",
            apq_c99_type(&l->out), i);
}

/* The row that a 1 x 1 layer reads, rounded again to its own step. */
static void write_reround(const apq_c99_plan *p, int i, const char *scratch,
                          FILE *out) {
    fprintf(out,
            "    int8_t *x = memory.now.%s.x;\n"
            "    for (int at = 0; at < SIDE * C; at++) {\n"
            "        x[at] = %s_%s_reround[from[at] + 128];\n"
            "    }\n",
            scratch, prefix(p), p->names[i]);
}

static void write_pointwise(const apq_c99_plan *p, int i, const char *scratch,
                            FILE *out) {
    const apq_int_conv *l = &p->model->convs[i];
    const char *name = p->names[i], *type = apq_c99_type(&l->out);
    bool is_residual = l->ir.residual_from >= 0;
    begin_layer(p, i, out);
    fprintf(out,
            ".\n * Reads and writes a row.%s */\n"
            "static void %s_row(const %s *%s, %s *y)\n{\n"
            "    enum { SIDE = %d, C = %d, K = %d };\n",
            is_residual ? " y holds the row of the block's input, to which it\n"
                          " * is added."
                        : "",
            name, l->reround != NULL ? "int8_t" : input_type(p, i),
            l->reround != NULL ? "from" : "x", type, l->ir.out_size,
            l->ir.in_channels, l->ir.out_channels);
    if (l->reround != NULL) {
        write_reround(p, i, scratch, out);
    }
    fprintf(out, "    for (int k = 0; k < K; k++) {\n");
    write_channel_of(p, i, scratch, "k", "C", out);
    fprintf(out, "        for (int ox = 0; ox < SIDE; ox++) {\n"
                 "            int32_t sum = bias;\n"
                 "            for (int c = 0; c < C; c++) {\n"
                 "                sum += x[ox * C + c] * w[c];\n"
                 "            }\n");
    write_code(p, i, out);
    if (is_residual) {
        fprintf(out,
                "            code = clamp(code + y[ox * K + k], %d, %d);\n",
                l->out.low, l->out.high);
    }
    fprintf(out,
            "            y[ox * K + k] = (%s)code;\n"
            "        }\n    }\n    TRACE(%d, y, SIDE * K);\n}\n\n",
            type, i);
}

/* Chains ------------------------------------------------------------------ */

static void write_chain_run(const apq_c99_plan *p, const apq_c99_chain *chain,
                            FILE *out) {
    const apq_int_conv *l = &p->model->convs[chain->head];
    const apq_ir_layer *first = &l[0].ir, *middle = &l[1].ir, *last = &l[2].ir;
    const char *name = chain->name;
    bool is_first = chain->head == 0;
    fprintf(out, "/* %s, a row of its output after the other, from ", name);
    if (is_first) {
        fprintf(out, "the image");
    } else {
        fprintf(out, "stream + %d", chain->in_at);
    }
    fprintf(out,
            "\n * to stream + %d. */\n"
            "static void run_%s(%s)\n{\n"
            "    enum { IN = %d, OUT = %d, R = %d, STRIDE = %d, ROWS = %d, "
            "ROW = %d };\n"
            "    int n = 0; /* rows kept so far */\n"
            "    for (int oy = 0; oy < OUT; oy++) {\n"
            "        for (; n < IN && n <= oy * STRIDE + R / 2; n++) {\n",
            chain->out_at, name, is_first ? "const uint8_t *image" : "void",
            middle->in_size, middle->out_size, middle->kernel, middle->stride,
            chain->ring_rows, middle->in_size * middle->in_channels);
    if (is_first) {
        fprintf(out, "            %s_row(image, n,", p->names[0]);
    } else {
        fprintf(out, "            %s_row(memory.stream + %d + n * %d,",
                p->names[chain->head], chain->in_at,
                first->in_size * first->in_channels);
    }
    fprintf(out,
            "\n                memory.now.%s.rows + n %% ROWS * ROW);\n"
            "        }\n"
            "        %s_row(oy, memory.now.%s.line);\n"
            "        %s_row(memory.now.%s.line,\n"
            "            memory.stream + %d + oy * %d);\n"
            "    }\n}\n\n",
            name, p->names[chain->head + 1], name, p->names[chain->head + 2],
            name, chain->out_at, last->out_size * last->out_channels);
}

static void write_array(const char *type, const char *name, int n, FILE *out) {
    if (n > 0) {
        fprintf(out, "            %s %s[%d];\n", type, name, n);
    }
}

static int unpacked(const apq_ir_layer *ir) {
    return is_packed(ir) ? (int)apq_int_depth(ir) : 0;
}

static void write_chain_memory(const apq_c99_plan *p,
                               const apq_c99_chain *chain, FILE *out) {
    const apq_int_conv *l = &p->model->convs[chain->head];
    const apq_ir_layer *first = &l[0].ir, *middle = &l[1].ir;
    fprintf(out, "        struct {\n");
    write_array(apq_c99_type(&l[0].out), "rows",
                chain->ring_rows * middle->in_size * middle->in_channels, out);
    write_array(apq_c99_type(&l[1].out), "line",
                middle->out_size * middle->out_channels, out);
    write_array(input_type(p, chain->head), "patch",
                first->kind == APQ_IR_CONV ? (int)apq_int_depth(first) : 0,
                out);
    write_array("int8_t", "x",
                l->reround != NULL ? first->in_size * first->in_channels : 0,
                out);
    write_array(
        "int8_t", "w",
        most(unpacked(first), most(unpacked(middle), unpacked(&l[2].ir))), out);
    fprintf(out, "        } %s;\n", chain->name);
}

static void write_memory(const apq_c99_plan *p, FILE *out) {
    const apq_int_conv *mix = &p->model->convs[p->mix];
    fprintf(out,
            "#ifndef %s_ARENA_ATTRIBUTE\n#define %s_ARENA_ATTRIBUTE\n"
            "#endif\n\n"
            "/* All working memory. stream: inputs and outputs of the blocks, "
            "whose rows take\n * the place of rows that were read; now: of the "
            "block that runs. */\n"
            "%s_ARENA_ATTRIBUTE static struct {\n    union {\n",
            p->upper, p->upper, p->upper);
    for (int i = 0; i < p->n_chains; i++) {
        write_chain_memory(p, &p->chains[i], out);
    }
    fprintf(out, "        struct {\n");
    write_array("int32_t", "pooled", mix->ir.out_channels, out);
    write_array(apq_c99_type(&mix->out), "line",
                mix->ir.out_size * mix->ir.out_channels, out);
    write_array(
        "int8_t", "x",
        mix->reround != NULL ? mix->ir.in_size * mix->ir.in_channels : 0, out);
    write_array("int8_t", "w",
                most(unpacked(&mix->ir), unpacked(&p->model->classifier)), out);
    fprintf(out,
            "        } end;\n    } now;\n    int8_t stream[%d];\n} memory;\n\n"
            "/* An error here: the size in network.h is not right. */\n"
            "typedef char arena_size_is_right"
            "[sizeof memory == %s_ARENA_BYTES ? 1 : -1];\n\n",
            p->stream_bytes, p->upper);
}

/* The end ----------------------------------------------------------------- */

static void write_end(const apq_c99_plan *p, FILE *out) {
    const apq_int_model *m = p->model;
    const apq_int_conv *mix = &m->convs[p->mix];
    const char *name = p->names[p->mix];
    fprintf(out,
            "/* %s and sums over all pixels. */\n"
            "static void run_end(void)\n{\n"
            "    enum { SIDE = %d, C = %d, K = %d };\n"
            "    int32_t *pooled = memory.now.end.pooled;\n"
            "    memset(pooled, 0, sizeof memory.now.end.pooled);\n"
            "    for (int oy = 0; oy < SIDE; oy++) {\n"
            "        const %s *line = memory.now.end.line;\n"
            "        %s_row(memory.stream + %d + oy * SIDE * C, "
            "memory.now.end.line);\n"
            "        for (int at = 0; at < SIDE * K; at++) {\n"
            "            pooled[at %% K] += line[at];\n"
            "        }\n    }\n}\n\n",
            name, mix->ir.in_size, mix->ir.in_channels, mix->ir.out_channels,
            apq_c99_type(&mix->out), name, p->mix_in_at);
    fprintf(
        out,
        "/* Mean of all pixels, rounded, then a matrix and a bias: weights "
        "of %d bits, inputs\n * of %d, %" PRId64 " multiply-accumulates. */\n"
        "static void classifier(int32_t *sums)\n{\n"
        "    enum { C = %d, K = %d };\n"
        "    int32_t *x = memory.now.end.pooled;\n"
        "    for (int c = 0; c < C; c++) {\n"
        "        x[c] = requantise(x[c], UINT32_C(0x%08" PRIx32 "), %d, %d);\n"
        "    }\n"
        "    for (int k = 0; k < K; k++) {\n",
        m->classifier.weight_bits, m->classifier.act_bits,
        apq_ir_layer_macs(&m->classifier), m->channels, m->n_classes,
        apq_c99_scale(m->pool_rescale), m->pooled.low, m->pooled.high);
    write_weights_of(p, "classifier", &m->classifier, "end", "k", "C", out);
    fprintf(out, "        int32_t sum = bias;\n"
                 "        for (int c = 0; c < C; c++) {\n"
                 "            sum += x[c] * w[c];\n"
                 "        }\n"
                 "        sums[k] = sum;\n    }\n}\n\n");
}

static void write_logits(const apq_c99_plan *p, FILE *out) {
    const char *n = prefix(p);
    int shift = 30 - p->unit_bits;
    fprintf(out, "void %s_logits(int32_t *sums)\n{\n", n);
    if (p->has_equal_scales) {
        fprintf(out, "    (void)sums; /* they are the logits */\n}\n\n");
        return;
    }
    fprintf(out,
            "    /* To one unit; halves away from 0. */\n"
            "    for (int k = 0; k < %s_CLASSES; k++) {\n"
            "        int64_t product = (int64_t)sums[k] * "
            "%s_classifier_factor[k];\n"
            "        int64_t size = product < 0 ? -product : product;\n"
            "        size = (size + (INT64_C(1) << %d)) >> %d;\n"
            "        sums[k] = (int32_t)(product < 0 ? -size : size);\n"
            "    }\n}\n\n",
            p->upper, n, shift - 1, shift);
}

static void write_api(const apq_c99_plan *p, FILE *out) {
    const char *n = prefix(p);
    fprintf(out, "void %s_sums(const uint8_t *image, int32_t *sums)\n{\n", n);
    for (int i = 0; i < p->n_chains; i++) {
        fprintf(out, "    run_%s(%s);\n", p->chains[i].name,
                i == 0 ? "image" : "");
    }
    fprintf(out, "    run_end();\n    classifier(sums);\n}\n\n");
    write_logits(p, out);
    fprintf(out,
            "void %s_run(const uint8_t *image, int32_t *logits)\n{\n"
            "    %s_sums(image, logits);\n"
            "    %s_logits(logits);\n}\n\n"
            "int %s_classify(const uint8_t *image)\n{\n"
            "    int32_t logits[%s_CLASSES];\n"
            "    int best = 0;\n"
            "    %s_run(image, logits);\n"
            "    for (int k = 1; k < %s_CLASSES; k++) {\n"
            "        best = logits[k] > logits[best] ? k : best;\n"
            "    }\n    return best;\n}\n",
            n, n, n, n, p->upper, n, p->upper);
}

void apq_c99_write_network_c(const apq_c99_plan *p, FILE *out) {
    fprintf(out,
            "/* The network: whole numbers only. A tensor is (row, column, "
            "channel); what\n * lies outside of it is 0. */\n"
            "#include \"network.h\"\n\n"
            "#include \"arith.h\"\n#include \"weights.h\"\n\n"
            "#include <stddef.h>\n#include <string.h>\n\n"
            "/* Compiled with -DNETWORK_TRACE=FUNCTION, every row of every "
            "layer is shown to\n * that function. */\n"
            "#ifdef NETWORK_TRACE\n"
            "void NETWORK_TRACE(int layer, const void *codes, size_t n);\n"
            "#define TRACE(layer, codes, n) NETWORK_TRACE(layer, codes, n)\n"
            "#else\n#define TRACE(layer, codes, n) ((void)0)\n#endif\n\n");
    apq_c99_define_names(p, out);
    write_memory(p, out);
    for (int i = 0; i < p->n_chains; i++) {
        const apq_c99_chain *c = &p->chains[i];
        if (c->head == 0) {
            write_conv(p, 0, c->name, out);
        } else {
            write_pointwise(p, c->head, c->name, out);
        }
        write_depthwise(p, c->head + 1, c, out);
        write_pointwise(p, c->head + 2, c->name, out);
        write_chain_run(p, c, out);
    }
    write_pointwise(p, p->mix, "end", out);
    write_end(p, out);
    write_api(p, out);
}
