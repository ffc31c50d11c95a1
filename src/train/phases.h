#ifndef APQ_TRAIN_PHASES_H
#define APQ_TRAIN_PHASES_H

/* The phases of progressive training, in their order. */
typedef enum apq_train_phase {
    APQ_PHASE_LARGEST, /* the largest sub-network alone */
    APQ_PHASE_KERNEL,  /* any kernel */
    APQ_PHASE_DEPTH_1, /* and the larger half of the depths */
    APQ_PHASE_DEPTH_2, /* and any depth */
    APQ_PHASE_WIDTH_1, /* and the larger half of the widths */
    APQ_PHASE_WIDTH_2, /* and any width: all sub-networks of the space */
    APQ_N_PHASES,
} apq_train_phase;

/* Both >= 0. Of the lengths only the proportions count: their sum is the whole
 * training. Rates are peaks as fractions of the learning rate. */
typedef struct apq_train_phases {
    double length[APQ_N_PHASES];
    double rate[APQ_N_PHASES];
} apq_train_phases;

#endif
