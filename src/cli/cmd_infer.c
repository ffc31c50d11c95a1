/* apq infer: what images show, by a fine-tuned network. */
#include "cli/commands.h"

#include "app/classifier.h"
#include "app/json.h"
#include "app/machine.h"
#include "app/network_file.h"
#include "app/parts.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TOP = 5, MAX_TOP = 1000, MAX_IMAGES = 1000000 };

typedef struct infer_options {
    apq_common_options common;
    const char *model, *space, *data, *pixels;
    int top;
} infer_options;

#define AT(member) offsetof(infer_options, member)
static const apq_option table[] = {
    {.name = "model",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "network of apq finetune; else the run's, else the shipped one",
     .offset = AT(model)},
    {.name = "image",
     .type = APQ_OPTION_WORD,
     .argument = "FILE",
     .help = "JPEG or PNG; more may follow"},
    {.name = "top",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "most probable classes of each image; else 5",
     .offset = AT(top),
     .low = 1,
     .high = MAX_TOP},
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "else the one the network carries or names",
     .offset = AT(space)},
    {.name = "data",
     .type = APQ_OPTION_TEXT,
     .argument = "PATH",
     .help = "data it was trained on, for networks that do not tell its "
             "statistics",
     .offset = AT(data)},
    {.name = "pixels",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "what the images were made into: RGB bytes by rows, as exported C "
             "source reads them",
     .offset = AT(pixels)},
    {.name = NULL},
};

typedef struct answers {
    apq_classifier *classifier;
    const char *const *images; /* (n_images) names of files */
    int n_images;
    apq_class *classes; /* (n_images, top) */
    uint8_t *pixels;    /* of all images, one after the other; NULL: not asked
                           for */
    size_t image_bytes;
} answers;

/* The file and options of a run are those of its recipe where not given. */
static apq_status open_classifier(const infer_options *o,
                                  apq_classifier **out) {
    apq_classifier_options options = {.space = o->space, .data = o->data};
    char in_run[APQ_PATH_MAX];
    apq_recipe recipe;
    const char *path = o->model;
    APQ_TRY(apq_cli_recipe(&o->common, NULL, &recipe));
    apq_machine_set_threads(recipe.threads);
    apq_cli_note_stale(&recipe, o->common.run, o->model);
    if (o->common.run != NULL && path == NULL) {
        APQ_TRY(apq_rundir_need(o->common.run, "network.safetensors", in_run));
        path = in_run;
    }
    if (o->common.run != NULL) {
        options.space = o->space != NULL
                            ? o->space
                            : apq_network_space_of_user(recipe.space);
        if (o->data == NULL && recipe.data[0] != '\0') {
            options.data = recipe.data;
        }
    }
    return apq_classifier_create(path, &options, out);
}

static apq_status allocate_pixels(answers *a) {
    (void)apq_classifier_input(a->classifier, &a->image_bytes);
    a->pixels = apq_calloc((size_t)a->n_images, a->image_bytes);
    if (a->pixels == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "infer: out of memory for the pixels");
    }
    return APQ_OK;
}

static void keep_pixels(answers *a, int i) {
    size_t n;
    memcpy(a->pixels + (size_t)i * a->image_bytes,
           apq_classifier_input(a->classifier, &n), a->image_bytes);
}

static apq_status classify_all(const infer_options *o, answers *a) {
    APQ_TRY(apq_file_check_write(o->pixels));
    APQ_TRY(open_classifier(o, &a->classifier));
    if (o->pixels != NULL) {
        APQ_TRY(allocate_pixels(a));
    }
    for (int i = 0; i < a->n_images; i++) {
        APQ_TRY(apq_classifier_file(a->classifier, a->images[i], (size_t)o->top,
                                    a->classes + (size_t)i * (size_t)o->top));
        if (a->pixels != NULL) {
            keep_pixels(a, i);
        }
    }
    return a->pixels == NULL
               ? APQ_OK
               : apq_file_write(o->pixels, a->pixels,
                                (size_t)a->n_images * a->image_bytes);
}

static void print_json(const infer_options *o, const answers *a) {
    json_t *images = json_array();
    for (int i = 0; i < a->n_images; i++) {
        json_t *classes = json_array();
        const apq_class *c = a->classes + (size_t)i * (size_t)o->top;
        for (int k = 0; k < o->top && c->label >= 0; k++, c++) {
            (void)json_array_append_new(
                classes, json_pack("{s:i, s:s, s:f}", "label", c->label, "name",
                                   c->name, "probability", c->probability));
        }
        (void)json_array_append_new(
            images, json_pack("{s:o, s:o}", "image",
                              apq_json_text(a->images[i]), "classes", classes));
    }
    apq_cli_print_json(json_pack("{s:o}", "images", images), false);
}

static void print_text(const infer_options *o, const answers *a) {
    for (int i = 0; i < a->n_images; i++) {
        printf("%s\n", a->images[i]);
        const apq_class *c = a->classes + (size_t)i * (size_t)o->top;
        for (int k = 0; k < o->top && c->label >= 0; k++, c++) {
            printf("  %6.2f %%  %s\n", 100 * c->probability, c->name);
        }
    }
}

static int run(const apq_command *self, int argc, char **argv) {
    infer_options o = {.top = DEFAULT_TOP};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code >= 0) {
        return code;
    }
    if (o.common.n_words == 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--image FILE is required");
        return apq_cli_usage(self);
    }
    answers a = {.images = o.common.words, .n_images = o.common.n_words};
    a.classes =
        apq_calloc((size_t)a.n_images * (size_t)o.top, sizeof *a.classes);
    if (a.classes == NULL) {
        return apq_cli_exit(APQ_ERROR(APQ_ERR_NOMEM, "infer: out of memory"));
    }
    /* All first, so that nothing is printed when one is bad. */
    apq_status st = classify_all(&o, &a);
    if (st == APQ_OK) {
        (o.common.json ? print_json : print_text)(&o, &a);
    }
    apq_classifier_destroy(a.classifier);
    free(a.classes);
    free(a.pixels);
    return apq_cli_exit(st);
}

const apq_command apq_command_infer = {
    .name = "infer",
    .brief = "what images show, by a fine-tuned network",
    .usage = "apq infer [--model M] --image F... [options]",
    .summary =
        "The most probable classes of images, by a network that apq finetune "
        "wrote, in\nintegers. Images are turned upright, resized and cut as "
        "those of an evaluation.\nWithout --model, the network of --run, else "
        "the shipped one of --space.",
    .examples =
        "  apq infer --run runs/first --image cat.jpg\n"
        "  apq infer --model network.safetensors --image *.png --json\n"
        "  apq infer --run runs/first --image cat.jpg --pixels cat.rgb\n",
    .options = table,
    .max_words = MAX_IMAGES,
    .is_parallel = true,
    .run = run,
};
