#ifndef APQ_APP_EXPORT_JOB_H
#define APQ_APP_EXPORT_JOB_H

#include "app/export.h"
#include "app/network_file.h"

/* What the formats and the manifest of one export have in common. */
typedef struct apq_export_job {
    const apq_export_request *request;
    apq_session session;
    apq_network_file network;
    bool is_drawn;    /* the images, as the recipe's are not there */
    bool has_classes; /* the images' classes are the network's */
    json_t *expected; /* `test_top1` and `test_count` of finetune.json beside
                         the network; null: it does not tell them */
    json_t *changed;  /* names: files of an earlier export not as written */
    /* Of the images that the network was trained on, where they are known. */
    bool has_normalisation;
    float mean[3], std[3];
} apq_export_job;

typedef struct apq_export_format {
    const char *name;
    const char *ending; /* of its file; NULL: the export is a folder */
    const char *member; /* of a folder: the file that stands for it */
    bool may_pack, has_intquant, may_have_prefix;
    bool reads_pixels; /* so that their normalisation must be known */
    /* Why the export cannot be verified and what would help, as apq export and
     * apq verify both say it; NULL: it can be. */
    const char *(*obstacle)(const apq_export_request *request);
    apq_status (*write)(const apq_export_job *job, const char *path);
    /* `loader` has been started. */
    apq_status (*verify)(const apq_export_job *job, const char *path,
                         apq_loader *loader, apq_verification *out);
} apq_export_format;

/* NULL: none has the name. */
const apq_export_format *apq_export_format_find(const char *name);

/* Opens the request's network, or the run's, and the images that the recipe
 * names; where they are not asked for and not there, drawn ones. `images` says
 * which. The job is to be closed, after an error too. */
APQ_NODISCARD apq_status apq_export_job_open(apq_export_job *job,
                                             const apq_recipe *recipe,
                                             const char *run_dir_or_null,
                                             const apq_progress *progress,
                                             char images[APQ_IMAGES_MAX]);
void apq_export_job_close(apq_export_job *job);
/* ARG where the format needs a normalisation that is not known. */
APQ_NODISCARD apq_status apq_export_job_check(const apq_export_job *job,
                                              const apq_export_format *format);
/* Runs out->file on the images and adds the row to out->manifest. Errors: those
 * of the format and of the loader. */
APQ_NODISCARD apq_status apq_export_job_verify(apq_export_job *job,
                                               const apq_export_format *format,
                                               apq_export_answer *out);

/* FORMAT for the manifest of an export that a later version has written: the
 * same keys may mean other things in it. */
APQ_NODISCARD apq_status apq_manifest_check_age(const json_t *manifest,
                                                const char *path);
/* The file that "manifest.json" beside `file` describes must be this one, or
 * there is none yet. Errors: ARG, FORMAT. */
APQ_NODISCARD apq_status apq_manifest_check(const char *manifest,
                                            const char *file);
/* How images become the input, as the manifest and ONNX files tell; likewise
 * new. */
json_t *apq_export_preprocessing(const apq_export_job *job);
/* Sets `expected`; a note where finetune.json is there and does not tell it. */
void apq_export_read_expected(apq_export_job *job);
/* New; NULL without memory. The export is what is in the folder of `file`. */
json_t *apq_manifest_create(const apq_export_job *job, const char *file);
/* Adds to `changed` the names of the export's files that are gone or not as the
 * manifest has them. Errors: FORMAT for a name with a folder; IO for a file
 * that cannot be read. */
APQ_NODISCARD apq_status apq_manifest_find_changes(const json_t *manifest,
                                                   const char *file,
                                                   json_t *changed);
/* Adds a row, which says what its images were and names the files that had
 * changed, if any. It replaces those of the same runtime; but one of drawn
 * images none of data that the same files were verified with. */
void apq_manifest_set_row(json_t *manifest, const apq_export_job *job,
                          const apq_verification *v);

#endif
