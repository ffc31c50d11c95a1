#ifndef APQ_SUPERNET_INTERNAL_H
#define APQ_SUPERNET_INTERNAL_H

#include "supernet/supernet.h"

/* Parameter indices of one convolution with batch norm. */
typedef struct unit {
    size_t weight, gamma, beta;
} unit;

typedef struct block {
    unit expand, depthwise, project;
    size_t shrink[2]; /* 7->5 and 5->3, as far as the space has them */
} block;

struct apq_supernet {
    apq_space space;
    apq_params params;
    unit stem, first_depthwise, first_pointwise, feature_mix, classifier;
    block blocks[APQ_MAX_BLOCKS];
    /* Of the first sub-network bound, so that a training, which binds one
     * after the other, allocates nothing; further ones have their own. */
    float *statistics;
    bool is_statistics_lent;
};

#endif
