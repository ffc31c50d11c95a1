#ifndef APQ_APP_NETWORK_H
#define APQ_APP_NETWORK_H

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/data.h"
#include "deploy/int_model.h"
#include "nn/model.h"
#include "space/space.h"
#include "tensor/safetensors.h"

#include <stdbool.h>

/* A fine-tuned network of a file (docs/formats/network.md), quantised and
 * ready to run: `net` borrows from `model` and `arena`. What the file tells of
 * the images it was trained on stands beside. */
typedef struct apq_network {
    apq_space space; /* with the network's classes */
    apq_policy policy;
    apq_arena *arena;
    apq_model *model;
    apq_nn_net net;
    char data_hash[APQ_HASH_MAX];
    char **class_names;  /* (space.n_classes); NULL: not told */
    bool has_statistics; /* of the channels, units of 0 ... 1: */
    float mean[3], std[3];
} apq_network;

/* `space_or_null` is the space by name or file where the network carries
 * neither the text of its space nor the name of a built-in one. The caller
 * destroys *out. Errors: IO; FORMAT not such a file, or damaged; MISMATCH of
 * another space; UNSUPPORTED images of other channels than 3; NOMEM. */
APQ_NODISCARD apq_status apq_network_open(const char *path,
                                          const char *space_or_null,
                                          apq_network **out);
void apq_network_destroy(apq_network *network);
/* Of n class names; NULL is fine. */
void apq_network_free_names(char **names, int n);

/* In integers; `path` is of the network, for messages. The caller destroys
 * *out. Errors: FORMAT weights that no network has; NOMEM. */
APQ_NODISCARD apq_status apq_network_integers(apq_network *network,
                                              const char *path,
                                              apq_int_model **out);

/* What the file does not tell, from the data it was trained on; `path` is of
 * the network, for messages. Errors: those of apq_dataset_open(); MISMATCH
 * other data. */
APQ_NODISCARD apq_status apq_network_add_data(apq_network *network,
                                              const char *path,
                                              const char *data);

/* Into the metadata of a file to write: class names and statistics. */
APQ_NODISCARD apq_status apq_network_put_data(apq_tensor_file *file,
                                              const apq_dataset *dataset);

#endif
