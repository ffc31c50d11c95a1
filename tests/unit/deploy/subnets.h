#ifndef APQ_TESTS_UNIT_DEPLOY_SUBNETS_H
#define APQ_TESTS_UNIT_DEPLOY_SUBNETS_H

#include "supernet/supernet.h"

enum { SUBNET_IMAGES = 12 };

/* Sub-networks of a random supernet of a space that the package has, and
 * random images for them. */
typedef struct subnets {
    apq_space space;
    apq_supernet *supernet;
    apq_arena *arena;
    const apq_backend *backend;
    float *images; /* (SUBNET_IMAGES, H, W, C) */
    size_t image_values;
} subnets;

/* Gains of both signs, 0 and next to 0 among them. */
void subnets_open(subnets *s, const char *space);
void subnets_close(subnets *s);

/* Calibrated with statistics, of the images; apq_subnet_fini it. */
void subnets_calibrate(subnets *s, const apq_policy *policy,
                       apq_quantiser quantiser, apq_subnet *subnet);

#endif
