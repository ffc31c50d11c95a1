#ifndef APQ_TESTS_UNIT_SUPERNET_SAMPLE_H
#define APQ_TESTS_UNIT_SUPERNET_SAMPLE_H

#include "supernet/supernet.h"

enum { N_IMAGES = 6, SIDE = 16, N_CLASSES = 10 };

/* A supernet of the tiny space on the backend ref, and images of noise. */
typedef struct sample {
    apq_space space;
    apq_supernet *supernet;
    apq_arena *arena;
    const apq_backend *backend;
    float images[N_IMAGES * SIDE * SIDE * 3];
    int labels[N_IMAGES];
} sample;

/* cmocka set-ups and tear-down; *state is the sample. Of the second, learned
 * steps are shared and started. */
int sample_open(void **state);
int sample_open_shared(void **state);
int sample_close(void **state);

void sample_bind(const sample *s, const apq_policy *policy, apq_subnet *out);

/* Mean smoothed loss of the images in training mode; `with_gradient` also adds
 * to the gradients of the net. */
double sample_loss(const sample *s, apq_nn_net *net, bool with_gradient);

#endif
