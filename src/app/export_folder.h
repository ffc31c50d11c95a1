#ifndef APQ_APP_EXPORT_FOLDER_H
#define APQ_APP_EXPORT_FOLDER_H

#include "app/export_job.h"

/* The formats whose export is a folder; `file` is one of the files in it. The
 * normalisation of pixels must be known. */
APQ_NODISCARD apq_status apq_export_write_c(const apq_export_job *job,
                                            const char *file);
APQ_NODISCARD apq_status apq_export_write_weights(const apq_export_job *job,
                                                  const char *file);

/* Whether there is a compiler to run C source with. */
bool apq_export_can_compile(void);
/* Compares test images; the loader is not used, since the source reads bytes.
 * The row says in `difference` what is wrong. */
APQ_NODISCARD apq_status apq_export_verify_c(const apq_export_job *job,
                                             const char *file,
                                             apq_loader *loader,
                                             apq_verification *out);
/* The same of weights, which are read back; they read bytes, too. */
APQ_NODISCARD apq_status apq_export_verify_weights(const apq_export_job *job,
                                                   const char *file,
                                                   apq_loader *loader,
                                                   apq_verification *out);

#endif
