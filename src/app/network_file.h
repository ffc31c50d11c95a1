#ifndef APQ_APP_NETWORK_FILE_H
#define APQ_APP_NETWORK_FILE_H

#include "app/network.h"
#include "app/session.h"
#include "base/file.h"
#include "base/status.h"
#include "deploy/int_model.h"

#include <stdbool.h>

/* A fine-tuned network from its file (docs/formats/network.md), as the whole
 * numbers that are deployed. */
typedef struct apq_network_file {
    char path[APQ_PATH_MAX];
    bool is_shipped; /* as none was named */
    char hash[APQ_HASH_MAX];
    char data_hash[APQ_HASH_MAX]; /* of the images it was trained on */
    bool has_statistics; /* of these images, where the file tells them: */
    float mean[3], std[3];
    int n_classes;
    char **class_names; /* (n_classes), owned, UTF-8; NULL: not told */
    apq_policy policy;
    apq_int_model *model; /* owned */
} apq_network_file;

/* What a network's file is opened with in place of a recipe's space: a file
 * names its own, so one that is built in does not matter and gives NULL. */
const char *apq_network_space_of_user(const char *space);

/* The file itself, to be simulated or trained; the session's space becomes that
 * of the file, with its classes. The caller destroys *out. Errors: those of
 * apq_network_open. */
APQ_NODISCARD apq_status apq_network_file_open(apq_session *session,
                                               const char *path,
                                               apq_network **out);

/* `path`; NULL: network.safetensors of the run or, without one, of what is
 * shipped for the session's space. The session's space becomes that of the
 * file, with its classes. Errors: FORMAT for another kind of file, MISMATCH for
 * another version of the space; IO, NOMEM, those of apq_int_model_create. Fini
 * also after an error. */
APQ_NODISCARD apq_status apq_network_file_load(apq_session *session,
                                               const char *path,
                                               const char *run_dir_or_null,
                                               apq_network_file *out);
void apq_network_file_fini(apq_network_file *network);

/* Is the run's network of an earlier search than its best.json, and no other
 * one that finetune.policy names? That is legal, but rarely meant. False where
 * a file is missing or cannot be read. */
bool apq_network_file_is_stale(const apq_recipe *recipe, const char *run_dir);

#endif
