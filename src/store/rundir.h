#ifndef APQ_STORE_RUNDIR_H
#define APQ_STORE_RUNDIR_H

#include "base/file.h"
#include "base/status.h"

#include <stdbool.h>

/* A run directory: the only thing that the steps of a run share. Its
 * manifest.json says what the run was made from (bound values) and which steps
 * are finished; it is replaced atomically at each change. The format is in
 * docs/formats/run-directory.md. */
typedef struct apq_rundir apq_rundir;

/* APQ_ERR_IO unless there is such a folder. */
APQ_NODISCARD apq_status apq_rundir_check_folder(const char *path);

/* Path of a file that an earlier step leaves in a run. APQ_ERR_IO with the
 * command that makes it unless it is there. */
APQ_NODISCARD apq_status apq_rundir_need(const char *path, const char *name,
                                         char out[APQ_PATH_MAX]);

/* Opens for writing and locks; the lock ends with close or with the process.
 * With `create` a missing folder and manifest are made, without it they are
 * errors.
 * Errors: APQ_ERR_IO missing, unwritable or in use by another process;
 * APQ_ERR_FORMAT no or malformed manifest. */
APQ_NODISCARD apq_status apq_rundir_open(const char *path, bool create,
                                         apq_rundir **out);
/* The same beside other processes that open it so, and no others. What they
 * bind and mark meanwhile is seen at the next bind and step_mark. */
APQ_NODISCARD apq_status apq_rundir_open_shared(const char *path, bool create,
                                                apq_rundir **out);
/* Opens an existing run to read: no lock, nothing is written. bind compares
 * only, step_mark fails. */
APQ_NODISCARD apq_status apq_rundir_open_read(const char *path,
                                              apq_rundir **out);
/* NULL is fine. */
void apq_rundir_close(apq_rundir *dir);

/* As given to open; borrowed. */
const char *apq_rundir_path(const apq_rundir *dir);
/* Path of a file in the directory. */
APQ_NODISCARD apq_status apq_rundir_file(const apq_rundir *dir,
                                         const char *name,
                                         char out[APQ_PATH_MAX]);

/* Records `value` under `key` the first time. Later the same value is fine
 * and another one is APQ_ERR_MISMATCH: "run directory X was made with KEY a,
 * now b". */
APQ_NODISCARD apq_status apq_rundir_bind(apq_rundir *dir, const char *key,
                                         const char *value);
/* Compares only: what is not bound yet is fine. Errors: as of bind. */
APQ_NODISCARD apq_status apq_rundir_check(apq_rundir *dir, const char *key,
                                          const char *value);
/* One of the two. */
typedef apq_status (*apq_rundir_settle)(apq_rundir *dir, const char *key,
                                        const char *value);
/* bind where nothing has been made from the earlier value yet: it is
 * replaced. The directory is open to write. */
APQ_NODISCARD apq_status apq_rundir_rebind(apq_rundir *dir, const char *key,
                                           const char *value);
/* The bound value, or NULL; borrowed until the next change. */
const char *apq_rundir_bound(const apq_rundir *dir, const char *key);

/* Was `step` finished from this very input? False also when it was finished
 * from another one. */
bool apq_rundir_step_done(const apq_rundir *dir, const char *step,
                          const char *input_hash);
/* Hash of what the finished step made, or NULL; borrowed until the next
 * change. */
const char *apq_rundir_step_artefact(const apq_rundir *dir, const char *step);
/* Is the file at `path` what the finished step made? Of steps whose artefact is
 * the hash of a file. */
bool apq_rundir_step_made(const apq_rundir *dir, const char *step,
                          const char *path);
/* Durable on return; replaces an earlier mark of the step. */
APQ_NODISCARD apq_status apq_rundir_step_mark(apq_rundir *dir, const char *step,
                                              const char *input_hash,
                                              const char *artefact_hash);

#endif
