#ifndef APQ_SUPERNET_SUPERNET_H
#define APQ_SUPERNET_SUPERNET_H

#include "base/memory.h"
#include "base/status.h"
#include "nn/model.h"
#include "nn/net.h"
#include "nn/params.h"
#include "space/space.h"

/* Shared weights of a space. A sub-network is a set of views: middle channels
 * are prefixes, depth keeps the first blocks of a stage, and smaller kernels
 * come from the centre of the larger through learned matrices 7->5 and 5->3
 * shared by all channels (identity at the start).
 * Source: Once-for-All (ICLR 2020) section 3. */
typedef struct apq_supernet apq_supernet;

APQ_NODISCARD apq_status apq_supernet_create(const apq_space *space,
                                             uint64_t seed, apq_supernet **out);
/* The same weights and, besides, learned steps (LSQ) that sub-networks share:
 * of each layer's weights by kernel size, bit-width and output channel, of its
 * input by bit-width. So one latent tensor serves all bits. Their logarithms
 * are parameters without decay, after all others; steps are 1 and ranges 6
 * until apq_supernet_start_steps(). Source: BatchQuant (NeurIPS
 * 2021), OQAT (ICLR 2021) and, of logarithms, TQT (MLSys 2020). */
APQ_NODISCARD apq_status apq_supernet_create_shared(const apq_space *space,
                                                    uint64_t seed,
                                                    apq_supernet **out);
void apq_supernet_destroy(apq_supernet *supernet);
const apq_space *apq_supernet_space(const apq_supernet *supernet);
apq_params *apq_supernet_params(apq_supernet *supernet);
bool apq_supernet_has_steps(const apq_supernet *supernet);

/* All parameters but steps, from a file that may have more. Errors: those of
 * apq_params_get(). */
APQ_NODISCARD apq_status apq_supernet_get_weights(apq_supernet *supernet,
                                                  const apq_tensor_file *file);

/* Steps, and their average where one is kept, as calibration of the largest
 * network with each kernel size and bit-width finds them from one batch: where
 * their training begins. Needs steps; the arena is reset. Errors: NOMEM;
 * NUMERIC for values that are not finite. */
APQ_NODISCARD apq_status apq_supernet_start_steps(apq_supernet *supernet,
                                                  const apq_backend *backend,
                                                  apq_arena *arena,
                                                  const float *images,
                                                  int n_images);

/* Index of the stem's weights (stem channels, 9 * image channels), tap-major,
 * among the parameters. */
size_t apq_supernet_stem(const apq_supernet *supernet);

/* The last batch-norm scale of each block with a residual becomes 0, so that
 * the blocks start as the identity. Source: BigNAS (ECCV 2020). */
void apq_supernet_zero_residuals(apq_supernet *supernet);

/* The learning rate of every batch-norm shift is multiplied by `rate`, >= 0,
 * from now on; it is not stored in files.
 * Source: Jordan 2024 (arXiv 2404.00498), there 64. */
void apq_supernet_set_shift_rate(apq_supernet *supernet, double rate);

/* A sub-network bound to the shared weights. Depthwise kernels smaller than
 * the largest are computed into the arena at bind, so a binding is valid
 * until the arena is reset or a weight changes. */
typedef struct apq_subnet {
    apq_nn_net net;
    apq_supernet *supernet;
    float *kernel_grad[APQ_MAX_BLOCKS]; /* (k*k, C) in the arena, or NULL */
    apq_policy policy;
    bool has_shared_steps; /* bound to them */
} apq_subnet;

/* Initialises *out in place; apq_subnet_fini afterwards, also on error. */
APQ_NODISCARD apq_status apq_subnet_bind(apq_supernet *supernet,
                                         const apq_policy *policy,
                                         const apq_backend *backend,
                                         apq_arena *arena, apq_subnet *out);
/* From here on in the policy's bits, by the supernet's steps, which it needs;
 * streams stay float until calibrated (see apq_nn_net). Errors: ARG for bits or
 * a kernel that the space does not have. */
APQ_NODISCARD apq_status apq_subnet_quantise(apq_subnet *subnet);
void apq_subnet_fini(apq_subnet *subnet);
/* After backward: gradients of transformed kernels into the matrices and the
 * largest kernel, those of steps into the shared ones. */
APQ_NODISCARD apq_status apq_subnet_collect_grads(apq_subnet *subnet);

/* Middle channels by importance, the sum of |w| of the projection's weights
 * that read them: the first widths[b] channels of block b change places so
 * that the most important come first, those of equal importance keep their
 * order. Expansion, depthwise layer, their norms and the projection follow, so
 * that every sub-network at least that wide computes what it did.
 *
 * `arrays` are the n_arrays arrays to reorder, each laid out as the parameters'
 * values: these, their momenta, and whatever else follows the weights.
 * 0 <= widths[b] <= max_channels for each block of the space, and the supernet
 * has no steps. On failure nothing is reordered. Errors: APQ_ERR_NOMEM.
 * Source: Once-for-All (ICLR 2020) section 3.3. */
APQ_NODISCARD apq_status apq_supernet_sort_channels(apq_supernet *supernet,
                                                    const int *widths,
                                                    float *const *arrays,
                                                    size_t n_arrays);

/* A stand-alone copy of the sub-network's weights, to be quantised so; with LSQ
 * also of the supernet's steps, if it has any. Errors: NOMEM; those of
 * apq_subnet_quantise(). */
APQ_NODISCARD apq_status apq_supernet_extract(apq_supernet *supernet,
                                              const apq_policy *policy,
                                              apq_quantiser quantiser,
                                              apq_model **out);

#endif
