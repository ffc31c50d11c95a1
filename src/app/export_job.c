/* What `apq export` and `apq verify` both do: open the network and the images,
 * and run the export on these. */
#include "app/export_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* At least `n_images` to verify with, as far as builtin:shapes draws so many;
 * the loader takes no more. 0 is all: 1000. */
static apq_status open_drawn(apq_session *s, int64_t n_images) {
    const apq_recipe *given = s->recipe;
    apq_recipe recipe = *given;
    (void)snprintf(recipe.data, sizeof recipe.data,
                   "builtin:shapes?train=100&test=%" PRId64 "&size=%" PRId64,
                   n_images > 0 ? clamp(n_images, 10, 1000000) : INT64_C(1000),
                   clamp(s->space.resolution, 8, 256));
    recipe.n_val = -1;
    s->recipe = &recipe;
    apq_status st = apq_session_open_data(s);
    s->recipe = given;
    return st;
}

/* Whether labels of the dataset mean the classes of the network: by their names
 * or, where the network's file knows none, as the images are those that it was
 * trained on. */
static bool has_same_classes(const apq_dataset *data,
                             const apq_network_file *network) {
    int n = apq_dataset_classes(data);
    bool is_same = n == network->n_classes;
    if (is_same && network->class_names == NULL) {
        return strcmp(apq_dataset_hash(data), network->data_hash) == 0;
    }
    for (int i = 0; is_same && i < n; i++) {
        is_same = strcmp(apq_dataset_class_name(data, i),
                         network->class_names[i]) == 0;
    }
    return is_same;
}

/* Of the images that the recipe names; where they are not asked for and not
 * there, of drawn ones. Says in `images` which. */
static apq_status open_images(apq_export_job *job,
                              char images[APQ_IMAGES_MAX]) {
    apq_session *s = &job->session;
    int n_classes = s->space.n_classes;
    apq_status st = apq_session_open_data(s);
    job->is_drawn = st == APQ_ERR_IO && !job->request->needs_data;
    if (job->is_drawn) {
        const char *why =
            job->request->has_data ? apq_error_message() : "no data are named";
        (void)snprintf(images, APQ_IMAGES_MAX, "drawn (%s)", why);
        if (!job->network.has_statistics) {
            apq_note(s->progress, "%s: the normalisation is not known", why);
        }
        st = open_drawn(s, job->request->n_images);
    }
    APQ_TRY(st);
    if (!job->is_drawn) {
        (void)snprintf(images, APQ_IMAGES_MAX, "%s (%s)", s->recipe->data,
                       apq_dataset_hash(s->dataset));
    }
    apq_space_set_classes(&s->space, n_classes);
    job->has_classes =
        !job->is_drawn && has_same_classes(s->dataset, &job->network);
    job->has_normalisation =
        strcmp(apq_dataset_hash(s->dataset), job->network.data_hash) == 0;
    apq_dataset_normalisation(s->dataset, job->mean, job->std);
    if (job->network.has_statistics) {
        job->has_normalisation = true;
        memcpy(job->mean, job->network.mean, sizeof job->mean);
        memcpy(job->std, job->network.std, sizeof job->std);
    }
    return APQ_OK;
}

apq_status apq_export_job_open(apq_export_job *job, const apq_recipe *recipe,
                               const char *run_dir_or_null,
                               const apq_progress *progress,
                               char images[APQ_IMAGES_MAX]) {
    APQ_TRY(apq_session_open(&job->session, recipe, progress));
    APQ_TRY(apq_network_file_load(&job->session, job->request->model,
                                  run_dir_or_null, &job->network));
    return open_images(job, images);
}

void apq_export_job_close(apq_export_job *job) {
    json_decref(job->expected);
    json_decref(job->changed);
    apq_network_file_fini(&job->network);
    apq_session_fini(&job->session);
}

apq_status apq_export_job_verify(apq_export_job *job,
                                 const apq_export_format *format,
                                 apq_export_answer *out) {
    apq_loader *loader;
    APQ_TRY(apq_session_eval_loader(&job->session, APQ_SPLIT_TEST,
                                    (size_t)job->request->n_images, &loader));
    apq_status st = apq_loader_start(loader, 0, 0);
    if (st == APQ_OK) {
        st = format->verify(job, out->file, loader, &out->verification);
        out->verification.has_correct &= job->has_classes;
    }
    apq_loader_destroy(loader);
    if (st == APQ_OK) {
        out->is_verified = true;
        apq_manifest_set_row(out->manifest, job, &out->verification);
    }
    return st;
}

apq_status apq_export_job_check(const apq_export_job *job,
                                const apq_export_format *format) {
    if (format->reads_pixels && !job->has_normalisation) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s does not tell the mean and deviation of its images, which "
                 "--format %s needs: name them with --data",
                 job->network.path, format->name);
    }
    return APQ_OK;
}
