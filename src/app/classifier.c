/* Classes of single images by a fine-tuned network, evaluated in integers:
 * what `apq eval --bits policy` does to a data set. */
#include "app/classifier.h"

#include "app/app.h"
#include "app/network.h"
#include "base/file.h"
#include "deploy/int_engine.h"
#include "deploy/int_infer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 24 };

struct apq_classifier {
    apq_network *network;
    apq_int_engine *engine;
    apq_int_infer *fused; /* NULL: the engine alone runs */
    uint8_t *pixels;      /* (resolution, resolution, 3) */
    float *image;         /* the same, normalised */
    float *logits;        /* (n_classes) */
    double *probabilities;
    char (*numbers)[NUMBER_BYTES]; /* names where there are none */
};

static apq_status allocate(apq_classifier *self) {
    size_t side = (size_t)self->network->space.resolution;
    size_t n_classes = (size_t)self->network->space.n_classes;
    self->pixels = apq_calloc(side * side, 3);
    self->image = apq_calloc(side * side * 3, sizeof *self->image);
    self->logits = apq_calloc(n_classes, sizeof *self->logits);
    self->probabilities = apq_calloc(n_classes, sizeof *self->probabilities);
    self->numbers = apq_calloc(n_classes, sizeof *self->numbers);
    if (self->pixels == NULL || self->image == NULL || self->logits == NULL ||
        self->probabilities == NULL || self->numbers == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "classifier: out of memory");
    }
    for (size_t c = 0; c < n_classes; c++) {
        (void)snprintf(self->numbers[c], NUMBER_BYTES, "%zu", c);
    }
    return APQ_OK;
}

static apq_status make_engine(apq_classifier *self, const char *path) {
    apq_int_model *model;
    APQ_TRY(apq_network_integers(self->network, path, &model));
    apq_status st = apq_int_infer_create(model, &self->fused);
    if (st == APQ_OK && self->fused == NULL) {
        st = apq_int_engine_create(model, &self->engine);
    }
    apq_int_model_destroy(model);
    return st;
}

static apq_status open_network(apq_classifier *self, const char *path,
                               const apq_classifier_options *options) {
    APQ_TRY(apq_network_open(path, options->space, &self->network));
    if (!self->network->has_statistics && options->data == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: tells no mean and deviation of its images; give the data "
                 "it was trained on (--data)",
                 path);
    }
    if (!self->network->has_statistics) {
        APQ_TRY(apq_network_add_data(self->network, path, options->data));
    }
    APQ_TRY(make_engine(self, path));
    return allocate(self);
}

apq_status apq_classifier_create(const char *path,
                                 const apq_classifier_options *options,
                                 apq_classifier **out) {
    static const apq_classifier_options none = APQ_CLASSIFIER_OPTIONS_INIT;
    char shipped[APQ_PATH_MAX];
    options = options == NULL ? &none : options;
    if (path == NULL) {
        APQ_TRY(apq_app_shipped_network(
            options->space != NULL ? options->space : "cifar10", shipped));
        path = shipped;
    }
    apq_classifier *self = calloc(1, sizeof *self);
    if (self == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "classifier: out of memory");
    }
    apq_status st = open_network(self, path, options);
    if (st != APQ_OK) {
        apq_classifier_destroy(self);
        return st;
    }
    *out = self;
    return APQ_OK;
}

void apq_classifier_destroy(apq_classifier *classifier) {
    if (classifier == NULL) {
        return;
    }
    apq_int_infer_destroy(classifier->fused);
    apq_int_engine_destroy(classifier->engine);
    apq_network_destroy(classifier->network);
    free(classifier->pixels);
    free(classifier->image);
    free(classifier->logits);
    free(classifier->probabilities);
    free(classifier->numbers);
    free(classifier);
}

/* logits -> probabilities */
static apq_status softmax(apq_classifier *self) {
    int n = self->network->space.n_classes;
    double largest = (double)-INFINITY, sum = 0;
    for (int c = 0; c < n; c++) {
        if (!isfinite(self->logits[c])) {
            APQ_FAIL(APQ_ERR_NUMERIC, "the network's answer is not finite");
        }
        largest = fmax(largest, (double)self->logits[c]);
    }
    for (int c = 0; c < n; c++) {
        self->probabilities[c] = exp((double)self->logits[c] - largest);
        sum += self->probabilities[c];
    }
    for (int c = 0; c < n; c++) {
        self->probabilities[c] /= sum;
    }
    return APQ_OK;
}

/* The n most probable, the first of equal ones; takes them out as it goes. */
static void choose(apq_classifier *self, size_t n, apq_class *classes) {
    int n_classes = self->network->space.n_classes;
    char **names = self->network->class_names;
    for (size_t i = 0; i < n; i++) {
        int best = -1;
        for (int c = 0; c < n_classes; c++) {
            double p = self->probabilities[c];
            if (p >= 0 && (best < 0 || p > self->probabilities[best])) {
                best = c;
            }
        }
        classes[i] = (apq_class){.label = -1};
        if (best >= 0) {
            classes[i] = (apq_class){
                .label = best,
                .name = names != NULL ? names[best] : self->numbers[best],
                .probability = self->probabilities[best],
            };
            self->probabilities[best] = -1;
        }
    }
}

/* Of the image in `pixels`. */
static apq_status classify(apq_classifier *self, size_t n, apq_class *classes) {
    const apq_network *net = self->network;
    size_t side = (size_t)net->space.resolution;
    for (size_t i = 0; i < side * side * 3; i++) {
        /* As the loader of an evaluation does it. */
        self->image[i] = ((float)self->pixels[i] / 255.0f - net->mean[i % 3]) /
                         net->std[i % 3];
    }
    if (self->fused != NULL) {
        apq_int_infer_run(self->fused, self->image, 1, self->logits);
    } else {
        APQ_TRY(apq_int_engine_run(self->engine, self->image, 1, self->logits));
    }
    APQ_TRY(softmax(self));
    choose(self, n, classes);
    return APQ_OK;
}

apq_status apq_classifier_file(apq_classifier *classifier, const char *path,
                               size_t n, apq_class *classes) {
    APQ_TRY(apq_image_read(path, classifier->network->space.resolution,
                           classifier->pixels));
    return classify(classifier, n, classes);
}

apq_status apq_classifier_pixels(apq_classifier *classifier, const uint8_t *rgb,
                                 int width, int height, size_t n,
                                 apq_class *classes) {
    APQ_TRY(apq_image_fit(rgb, width, height,
                          classifier->network->space.resolution,
                          classifier->pixels));
    return classify(classifier, n, classes);
}

const uint8_t *apq_classifier_input(const apq_classifier *classifier,
                                    size_t *n_bytes) {
    size_t side = (size_t)classifier->network->space.resolution;
    *n_bytes = side * side * 3;
    return classifier->pixels;
}
