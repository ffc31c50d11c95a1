#ifndef APQ_APP_SESSION_H
#define APQ_APP_SESSION_H

#include "app/recipe.h"
#include "app/stopwatch.h"
#include "backend/backend.h"
#include "base/log.h"
#include "base/status.h"
#include "comm/comm.h"
#include "data/data.h"
#include "space/space.h"
#include "store/rundir.h"
#include "supernet/supernet.h"
#include "tensor/safetensors.h"

/* What the steps of a run share: recipe, space with the data's classes,
 * backend, and, as far as opened, run directory, data and supernet. */
typedef struct apq_session {
    const apq_recipe *recipe;
    apq_comm *comm;               /* borrowed; NULL: this process alone */
    const apq_progress *progress; /* the stopwatch's */
    apq_stopwatch stopwatch;
    apq_space space;
    char *space_text; /* of the recipe's space where it is a file, else NULL */
    char space_hash[APQ_HASH_MAX];
    const apq_backend *backend;
    apq_rundir *dir;
    apq_dataset *dataset;
    apq_supernet *supernet;
} apq_session;

/* Space and backend; starts the stopwatch. Fini also after an error. */
APQ_NODISCARD apq_status apq_session_open(apq_session *session,
                                          const apq_recipe *recipe,
                                          const apq_progress *progress);
void apq_session_fini(apq_session *session);

/* From here on the work is shared with the processes of `comm`; without a
 * number of threads in the recipe they share the processors too. */
void apq_session_join(apq_session *session, apq_comm *comm);

/* Opens the recipe's data at the space's resolution and gives the space its
 * number of classes. */
APQ_NODISCARD apq_status apq_session_open_data(apq_session *session);

/* The locked run directory, made if missing; one that is bound to another space
 * or seed or, when open, to other data is refused. After the data, so that bad
 * data leave nothing behind. */
APQ_NODISCARD apq_status apq_session_open_run(apq_session *session,
                                              const char *run_dir);

/* The same beside other processes that open it so. */
APQ_NODISCARD apq_status apq_session_open_shared_run(apq_session *session,
                                                     const char *run_dir);

/* APQ_ERR_IO where a folder has neither a run nor a supernet: no step after the
 * training makes a run there. To be asked before the data, as a recipe that is
 * not the run's names other ones. */
APQ_NODISCARD apq_status apq_session_check_run(const char *run_dir);

/* Binds a run to the open data and the size of their validation split: other
 * images to validate with are other ones to train on. */
APQ_NODISCARD apq_status apq_session_bind_data(const apq_session *session,
                                               apq_rundir *dir);

/* A step after the training, from its command: opens the session, the data
 * where has_data, and the run of a folder as above, does the step, and closes
 * them all. */
typedef apq_status (*apq_session_step)(apq_session *session);
APQ_NODISCARD apq_status apq_session_run(const apq_recipe *recipe,
                                         const char *run_dir,
                                         const apq_progress *progress,
                                         bool has_data, apq_session_step step);

/* Was `step` finished from this input, and is `path`, what it made, still
 * there? Says so in a line, also when the file is gone and made again. */
bool apq_session_has(const apq_session *session, const char *step,
                     const char *input, const char *path);

/* From here on the run is bound to space, seed and data, and the work metered
 * as `step` of the run, from the opening of the session or the end of the step
 * before. Not earlier than what may be refused has been looked at. */
APQ_NODISCARD apq_status apq_session_begin(apq_session *session,
                                           const char *step, const char *input);
/* Stores what the step spent, then marks it as finished. */
APQ_NODISCARD apq_status apq_session_finish(apq_session *session,
                                            const char *step, const char *input,
                                            const char *artefact);

/* A file without tensors that says what weights come from: `format`, space,
 * space_hash, space_text of a user's space, classes, data_hash, and one pair
 * more. `value` NULL: the text for
 * it found no memory. The caller destroys it. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_session_tensor_file(const apq_session *session,
                                                 const char *format,
                                                 const char *key,
                                                 const char *value,
                                                 apq_tensor_file **out);

/* A file of a supernet of the session's space and its number of classes, which
 * is that of the data where they are open; the caller destroys *out. Errors:
 * IO; FORMAT no such file, or damaged; MISMATCH of another space or other
 * classes. */
APQ_NODISCARD apq_status apq_session_open_supernet(const apq_session *session,
                                                   const char *path,
                                                   int *n_classes,
                                                   apq_tensor_file **out);
/* The run's supernet.safetensors, with steps if it has any. Errors: as above;
 * NOMEM. */
APQ_NODISCARD apq_status apq_session_load_supernet(apq_session *session,
                                                   const char *path);
APQ_NODISCARD apq_status apq_session_save_supernet(apq_session *session,
                                                   const char *path);

/* Hash over a section of the recipe ("train") and a salt, naming the input
 * of a step. */
APQ_NODISCARD apq_status apq_session_input_hash(const apq_session *session,
                                                const char *section,
                                                const char *salt,
                                                char out[APQ_HASH_MAX]);

/* The keys of a section that differ, for people: "train.epochs 1, now 2; ...",
 * as far as it fits; empty where none does. */
void apq_session_changes(const apq_recipe *earlier, const apq_recipe *now,
                         const char *section, char *out, size_t size);

/* ARG, in every process, where `hash` is not that of process 0: of its `what`,
 * say "images", which every process has read by itself. */
APQ_NODISCARD apq_status apq_session_check_same(const apq_session *session,
                                                const char *what,
                                                const char *hash);

/* The same of the data and the size of its validation split. */
APQ_NODISCARD apq_status
apq_session_check_same_images(const apq_session *session);

/* UNSUPPORTED where the backend does not compute in it. */
APQ_NODISCARD apq_status apq_session_check_precision(const apq_session *session,
                                                     apq_precision precision);
/* The same of collect.qat_dtype and finetune.dtype with their quantisers, for
 * steps that use one of them or that hours later another step would follow. */
APQ_NODISCARD apq_status apq_session_check_qat(const apq_session *session);

enum { APQ_EVAL_BATCH = 64 };

/* The loaders of calibration (training images in a fixed order, augmented: as
 * they are they cost a point of accuracy, see docs/results.md) and validation
 * or test. The latter deliver this process's part. */
APQ_NODISCARD apq_status
apq_session_calibration_loader(const apq_session *session, apq_loader **out);
apq_loader_options apq_session_eval_options(const apq_session *session,
                                            apq_split split, size_t limit);
APQ_NODISCARD apq_status apq_session_eval_loader(const apq_session *session,
                                                 apq_split split, size_t limit,
                                                 apq_loader **out);
/* Batches of the calibration loader that hold recalibrate_images. */
int apq_session_calibration_batches(const apq_session *session);

#endif
