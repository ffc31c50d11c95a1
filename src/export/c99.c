/* C99 source of a network: all texts are made in memory, then written. */
#include "export/c99.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/data.h"
#include "export/c99_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NOISE_IMAGES = 2, NOISE_SEED = 7 };

/* Test vectors ------------------------------------------------------------ */

typedef struct vectors {
    const uint8_t *images; /* (n, H, W, 3) */
    int n;
    uint8_t *noise; /* owned; NULL where images are the caller's */
    int32_t *sums;  /* owned, (n, n_classes) */
    float *logits;  /* owned, (n_classes), scratch */
} vectors;

static void release(vectors *v) {
    free(v->noise);
    free(v->sums);
    free(v->logits);
}

static apq_status make_vectors(const apq_c99_plan *p, vectors *v) {
    const apq_int_model *m = p->model;
    size_t image_bytes = 3 * (size_t)m->resolution * (size_t)m->resolution;
    *v = (vectors){.images = p->options->images, .n = p->options->n_images};
    if (v->n == 0) {
        v->n = NOISE_IMAGES;
        v->noise = apq_calloc(NOISE_IMAGES * image_bytes, 1);
        v->images = v->noise;
    }
    v->sums = apq_calloc((size_t)v->n * (size_t)m->n_classes, sizeof *v->sums);
    v->logits = apq_calloc((size_t)m->n_classes, sizeof *v->logits);
    if (v->images == NULL || v->sums == NULL || v->logits == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "c: out of memory");
    }
    apq_rng rng = apq_rng_make(NOISE_SEED, APQ_RNG_SHAPES, 0);
    for (size_t i = 0; v->noise != NULL && i < NOISE_IMAGES * image_bytes;
         i++) {
        v->noise[i] = (uint8_t)apq_rng_below(&rng, 256);
    }
    for (int i = 0; i < v->n; i++) {
        APQ_TRY(apq_c99_reference(m, p->options->mean, p->options->std,
                                  v->images + (size_t)i * image_bytes,
                                  v->sums + (size_t)i * (size_t)m->n_classes,
                                  v->logits, NULL));
    }
    return APQ_OK;
}

static void write_vectors(const apq_c99_plan *p, const vectors *v, FILE *out) {
    int n_classes = p->model->n_classes;
    int n_bytes = 3 * p->model->resolution * p->model->resolution;
    fprintf(out,
            "/* SPDX-License-Identifier: MIT\n"
            " * Copyright (c) 2026 the apq authors */\n"
            "/* Runs the network on %d images whose sums are known, or on "
            "those of a file. */\n"
            "#include \"network.h\"\n\n#include <stdio.h>\n"
            "#include <string.h>\n\n"
            "enum { N_IMAGES = %d };\n\n"
            "static const uint8_t images[N_IMAGES][%s_IMAGE_BYTES] = {\n",
            v->n, v->n, p->upper);
    for (int i = 0; i < v->n; i++) {
        for (int j = 0; j < n_bytes; j++) {
            fprintf(out, "%s%d",
                    j == 0        ? "    {"
                    : j % 16 == 0 ? ",\n    "
                                  : ",",
                    v->images[(size_t)i * (size_t)n_bytes + (size_t)j]);
        }
        fprintf(out, "},\n");
    }
    fprintf(out,
            "};\nstatic const int32_t expected[N_IMAGES][%s_CLASSES] = {\n",
            p->upper);
    for (int i = 0; i < v->n; i++) {
        for (int k = 0; k < n_classes; k++) {
            fprintf(out, "%s%" PRId32,
                    k == 0       ? "    {"
                    : k % 8 == 0 ? ",\n    "
                                 : ", ",
                    v->sums[(size_t)i * (size_t)n_classes + (size_t)k]);
        }
        fprintf(out, "},\n");
    }
    fprintf(out, "};\n\n");
}

/* Texts ------------------------------------------------------------------- */

/* The text with @name@ and @NAME@ replaced by the prefix in both cases, and
 * @side@ and so on by numbers. */
static void fill_in(const apq_c99_plan *p, const char *text, FILE *out) {
    char side[16], limit[16], classes[16], arena[32], weights[32], tables[32];
    (void)snprintf(side, sizeof side, "%d", p->model->resolution);
    (void)snprintf(limit, sizeof limit, "%d",
                   apq_image_largest_side(p->model->resolution));
    (void)snprintf(classes, sizeof classes, "%d", p->model->n_classes);
    (void)snprintf(arena, sizeof arena, "%zu", p->sizes.arena_bytes);
    (void)snprintf(weights, sizeof weights, "%zu", p->sizes.weight_bytes);
    (void)snprintf(tables, sizeof tables, "%zu", p->sizes.table_bytes);
    const struct {
        const char *key, *value;
    } fields[] = {{"@name@", p->options->prefix},
                  {"@NAME@", p->upper},
                  {"@side@", side},
                  {"@limit@", limit},
                  {"@classes@", classes},
                  {"@arena@", arena},
                  {"@weights@", weights},
                  {"@tables@", tables}};
    while (*text != '\0') {
        size_t i = 0, n = sizeof fields / sizeof fields[0];
        while (i < n &&
               strncmp(text, fields[i].key, strlen(fields[i].key)) != 0) {
            i++;
        }
        if (i < n) {
            fputs(fields[i].value, out);
            text += strlen(fields[i].key);
        } else {
            fputc(*text++, out);
        }
    }
}

static void write_arith_h(const apq_c99_plan *p, FILE *out) {
    (void)p;
    fputs(apq_c99_arith_h, out);
}

static void write_makefile(const apq_c99_plan *p, FILE *out) {
    fill_in(p, apq_c99_makefile, out);
}

static void write_layer_table(const apq_c99_plan *p, FILE *out) {
    fprintf(out,
            "\n## Layers\n\n"
            "| layer | kernel | stride | output | weight bits | input bits "
            "| multiply-accumulates |\n|---|---|---|---|---|---|---|\n");
    for (int i = 0; i <= p->mix + 1; i++) {
        const apq_ir_layer *ir =
            i <= p->mix ? &p->model->convs[i].ir : &p->model->classifier;
        int side = i <= p->mix ? ir->out_size : 1;
        fprintf(out,
                "| %s | %d | %d | %d x %d x %d | %d | %d | %" PRId64 " |\n",
                i <= p->mix ? p->names[i] : "classifier", ir->kernel,
                ir->stride, side, side, ir->out_channels, ir->weight_bits,
                ir->act_bits, apq_ir_layer_macs(ir));
    }
}

/* "apq 1.0 from a network of the space ..."; a space has any name, of which
 * only what cannot end a comment or begin a trigraph is kept. */
static void write_origin(const apq_c99_origin *from, FILE *out) {
    fprintf(out, "Made by apq %s from a network of the space ", from->version);
    for (const char *c = from->space; *c != '\0'; c++) {
        bool is_plain = isalnum((unsigned char)*c) || strchr("-_. ", *c);
        fputc(is_plain ? *c : '_', out);
    }
    fprintf(out, ", hash %s", from->hash);
}

static void write_origin_comment(const apq_c99_plan *p, FILE *out) {
    if (p->options->origin.version != NULL) {
        fprintf(out, "/* ");
        write_origin(&p->options->origin, out);
        fprintf(out, ".\n * README.md says on which terms. */\n");
    }
}

static void write_origin_section(const apq_c99_plan *p, FILE *out) {
    const apq_c99_origin *from = &p->options->origin;
    if (from->version == NULL) {
        return;
    }
    fprintf(out, "\n## Origin\n\n");
    write_origin(from, out);
    fprintf(out, " (XXH3-64 of its file).");
    if (from->test_count > 0) {
        fprintf(out, " It classed %.2f %% of %" PRId64 " test images right.",
                100 * from->test_top1, from->test_count);
    }
    fprintf(out, "\n");
}

static void write_readme(const apq_c99_plan *p, FILE *out) {
    fill_in(p, apq_c99_readme_md, out);
    write_origin_section(p, out);
    if (p->options->class_names != NULL) {
        fill_in(p,
                "\n## Classes\n\n`@name@_class_names[label]` is the name of a "
                "class, in UTF-8.\n",
                out);
    }
    write_layer_table(p, out);
    fprintf(out, "\n## Terms\n\n"
                 "`arith.h`, `main_test.c`, `Makefile` and what else is the "
                 "same in every export are\nparts of apq, under these "
                 "terms:\n\n");
    fputs(apq_c99_license, out);
}

/* A file of the export but main_test.c. */
typedef struct file_part {
    const char *name;
    bool has_origin; /* begins with a comment that tells it */
    void (*write)(const apq_c99_plan *plan, FILE *out);
} file_part;

static const file_part parts[] = {
    {"network.h", true, apq_c99_write_network_h},
    {"network.c", true, apq_c99_write_network_c},
    {"weights.h", true, apq_c99_write_weights_h},
    {"weights.c", true, apq_c99_write_weights_c},
    {"arith.h", false, write_arith_h},
    {"Makefile", false, write_makefile},
    {"README.md", false, write_readme},
};
enum { N_PARTS = sizeof parts / sizeof parts[0] };

/* The text of one part, or with vectors of main_test.c; the caller's. */
static apq_status make_text(const apq_c99_plan *p, const file_part *part,
                            const vectors *v, char **text, size_t *n_bytes) {
    *text = NULL;
    FILE *out = open_memstream(text, n_bytes);
    if (out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "c: out of memory");
    }
    if (v != NULL) {
        write_vectors(p, v, out);
        fill_in(p, apq_c99_main_test_c, out);
    } else {
        if (part->has_origin) {
            write_origin_comment(p, out);
        }
        part->write(p, out);
    }
    bool is_whole = ferror(out) == 0;
    if (fclose(out) != 0 || !is_whole) {
        APQ_FAIL(APQ_ERR_NOMEM, "c: out of memory");
    }
    return APQ_OK;
}

static apq_status write_file(const char *dir, const char *name,
                             const char *text, size_t n_bytes) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, dir, name));
    return apq_file_write(path, text, n_bytes);
}

apq_status apq_export_c(const apq_int_model *model,
                        const apq_c99_options *options, const char *dir,
                        apq_c99_sizes *sizes) {
    apq_c99_plan plan;
    APQ_TRY(apq_c99_plan_make(model, options, &plan));
    vectors v;
    char *texts[N_PARTS + 1] = {NULL};
    size_t n_bytes[N_PARTS + 1] = {0};
    apq_status st = make_vectors(&plan, &v);
    for (int i = 0; st == APQ_OK && i <= N_PARTS; i++) {
        st = make_text(&plan, i < N_PARTS ? &parts[i] : NULL,
                       i < N_PARTS ? NULL : &v, &texts[i], &n_bytes[i]);
    }
    if (st == APQ_OK) {
        st = apq_dir_make(dir);
    }
    for (int i = 0; st == APQ_OK && i <= N_PARTS; i++) {
        st = write_file(dir, i < N_PARTS ? parts[i].name : "main_test.c",
                        texts[i], n_bytes[i]);
    }
    if (st == APQ_OK && sizes != NULL) {
        *sizes = plan.sizes;
    }
    for (int i = 0; i <= N_PARTS; i++) {
        free(texts[i]);
    }
    release(&v);
    return st;
}
