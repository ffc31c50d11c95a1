#ifndef APQ_TESTS_UNIT_NN_TOY_H
#define APQ_TESTS_UNIT_NN_TOY_H

#include "nn/model.h"

enum {
    TOY_IMAGES = 6,
    TOY_SIDE = 8,
    TOY_CLASSES = 3,
    TOY_PIXELS = TOY_IMAGES * TOY_SIDE * TOY_SIDE * 3
};

/* One layer of every kind on 8 x 8 images, with a strided and a residual
 * block, and random weights, gammas, betas and images. */
typedef struct toy {
    apq_model *model;
    apq_nn_net net;
    apq_arena *arena;
    const apq_backend *backend;
    float images[TOY_PIXELS]; /* (TOY_IMAGES, 8, 8, 3) */
    int labels[TOY_IMAGES];
} toy;

/* `bits` of all but the stem and the classifier. toy_close releases. */
void toy_open(toy *t, const char *backend, int bits);
/* The same to be quantised with learned steps. */
void toy_open_lsq(toy *t, const char *backend, int bits);
void toy_close(toy *t);

/* Mean smoothed loss of the images in training mode; `with_gradient` also
 * fills the model's gradients, ranges included. Resets the arena. */
double toy_loss(toy *t, bool with_gradient);

#endif
