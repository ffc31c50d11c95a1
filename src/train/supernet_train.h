#ifndef APQ_TRAIN_SUPERNET_TRAIN_H
#define APQ_TRAIN_SUPERNET_TRAIN_H

#include "backend/backend.h"
#include "base/log.h"
#include "base/status.h"
#include "comm/comm.h"
#include "data/data.h"
#include "supernet/supernet.h"
#include "train/schedule.h"
#include "train/phases.h"

#include <stdint.h>

/* How a teacher's soft output teaches. */
typedef enum apq_distill {
    APQ_DISTILL_SOFT,  /* cross-entropy */
    APQ_DISTILL_ALPHA, /* apq_loss_alpha; gradients of the weights are clipped
                          to -1 ... 1, as in AlphaNet */
} apq_distill;

/* Training of the shared weights. What a step trains is the schedule's:
 *
 *   sandwich     the largest sub-network on the labels, the smallest and a few
 *                random ones on the largest's soft output of the same step.
 *                Source: BigNAS (ECCV 2020).
 *   progressive  the largest alone, then ever more of the space, taught by the
 *                labels and the largest as it was at the end of the first
 *                phase. Source: Once-for-All (ICLR 2020).
 *   alone        one sub-network on the labels, and nothing else: to compare
 *                the others with. */
typedef struct apq_train_options {
    const apq_backend *backend;
    apq_precision precision; /* of the arithmetic; weights stay in float */
    apq_comm *comm; /* processes that train together; NULL: this one alone */
    const apq_progress *progress;
    const char *checkpoint_path; /* NULL: none */
    const char *input; /* hash kept in the checkpoint of all that the training
                        * is made from (weights, data, recipe); NULL: none */
    const char *log_path;    /* JSON lines, appended; NULL: none */
    const char *events_path; /* TensorBoard events, appended; NULL: none */
    int eval_epochs; /* from one measuring of a few sub-networks' accuracies to
                      * the next, and at the end; 0: never */
    int eval_images; /* of the validation split, at most; >= 1 */
    double checkpoint_s; /* seconds between checkpoints */
    uint64_t seed;
    int epochs, batch;
    const char *schedule; /* of apq_train_schedule_names; NULL: sandwich */
    int random_subnets;   /* sandwich: of a step */
    int largest_epochs;   /* sandwich: first that train only the largest */
    /* sandwich, of a supernet with steps: the others are trained in random
     * bits once both kinds of first epochs are over; steps start from the
     * weights as they are then. */
    bool shares_bits;
    int float_epochs;
    apq_train_phases phases;  /* progressive */
    const apq_policy *policy; /* alone: legal; NULL: the largest */
    double learning_rate, momentum, weight_decay, label_smoothing;
    double warmup_epochs; /* linear; then by lr_schedule; in progressive
                           * training of each phase, at most a fifth of it */
    apq_rate_shape lr_schedule;
    double final_rate; /* where it ends, as a fraction of the peak */
    /* Decay a step of a running average of the weights, which the training
     * ends with; 0: none. The first steps forget faster. */
    double weight_average;
    apq_distill distill;
    int stem_frozen_epochs; /* first that leave the stem's weights alone */
    int loader_threads;
    const apq_augmentation *augmentation; /* NULL: the usual one */
} apq_train_options;

/* The epoch that bits are shared from, 0 is the first. */
int apq_train_first_bits_epoch(int largest_epochs, int float_epochs);
/* ARG where the schedule (NULL: sandwich) cannot share bits, or would do so
 * from an epoch beyond the last. */
APQ_NODISCARD apq_status apq_train_check_bits(const char *schedule,
                                              int first_bits_epoch, int epochs);

/* Trains in place. Resumes from the checkpoint file if it is there, bit for
 * bit on one machine and thread count. Returns
 * APQ_ERR_INTERRUPTED when asked to stop, with a checkpoint written if it has
 * a path; APQ_ERR_NUMERIC when the loss or a weight is no longer finite, which
 * no checkpoint keeps; of the checkpoint, APQ_ERR_MISMATCH when its input,
 * seed, length or tensors are another run's and APQ_ERR_FORMAT when it is
 * damaged; another learning rate, batch or schedule is noticed by `input`
 * alone. APQ_ERR_ARG when a batch or a first phase holds no image or step, the
 * schedule is unknown, or bits are shared by another schedule than sandwich or
 * a supernet without steps.
 *
 * With a comm, each of its processes calls this with equal arguments and takes
 * its part of every batch; options->batch must be a multiple of their number
 * (else APQ_ERR_ARG). Paths and notes are those of process 0. All processes
 * return the same status and end in the same weights; batch norm uses the
 * statistics of a process's own part. A training may go on with another number
 * of processes. */
APQ_NODISCARD apq_status apq_train_supernet(apq_supernet *supernet,
                                            const apq_dataset *dataset,
                                            const apq_train_options *options);

/* NULL-terminated; static. */
const char *const *apq_train_schedule_names(void);

/* Operations of a whole training by its options: 2 a multiply-accumulate and
 * image forward, 4 backward; random sub-networks at their mean size. Errors:
 * APQ_ERR_ARG the schedule is unknown. */
APQ_NODISCARD apq_status apq_train_flop(const apq_space *space,
                                        const apq_train_options *options,
                                        size_t n_images, double *flop);

#endif
