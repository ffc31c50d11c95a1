#ifndef APQ_SUPERNET_INTERNAL_H
#define APQ_SUPERNET_INTERNAL_H

#include "supernet/supernet.h"

/* Parameter indices of one convolution with batch norm. */
typedef struct unit {
    size_t weight, gamma, beta;
    size_t weight_log_step, act_log_range; /* where there are steps */
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
    bool has_steps;
    size_t n_weights; /* tensors that are no steps: the first */
    /* Of the first sub-network bound, so that a training, which binds one
     * after the other, allocates nothing; further ones have their own. */
    float *statistics;
    bool is_statistics_lent;
};

/* The unit that layer `ir` is a view of. */
unit *apq_supernet_unit(apq_supernet *s, const apq_ir_layer *ir);

/* The tensors of steps, the last before the parameters are allocated, and
 * their values until they are started. */
APQ_NODISCARD apq_status apq_supernet_add_steps(apq_supernet *s);
void apq_supernet_init_steps(apq_supernet *s);
/* After backward of a sub-network in bits: gradients of its steps' logarithms,
 * without the scale of LSQ. */
void apq_subnet_collect_step_grads(apq_subnet *subnet);

#endif
