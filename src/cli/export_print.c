/* The frame of `apq export` and `apq verify`, and what they print. */
#include "cli/export_print.h"

#include "app/json.h"

#include <stdio.h>
#include <string.h>

static void print_verdict(const apq_verification *v) {
    if (v->difference[0] != '\0') {
        printf("does not agree in %s: %s\n", v->runtime, v->difference);
        return;
    }
    printf("%s in %s: %lld images, %lld of another class, logits off by %.2g "
           "of their range at most, %.2g on average\n",
           v->agrees ? "agrees" : "does not agree", v->runtime,
           (long long)v->n_images, (long long)v->n_other_class, v->worst,
           v->mean);
    if (v->has_correct) {
        double percent = 100.0 / (double)v->n_images;
        printf("top-1 %.2f %% there, %.2f %% of the network itself\n",
               percent * (double)v->n_correct,
               percent * (double)v->n_correct_own);
    }
    if (!v->agrees && v->layer[0] != '\0') {
        printf("first layer that differs: %s, %lld codes of image %lld\n",
               v->layer, (long long)v->n_codes, (long long)v->image);
    } else if (!v->agrees && v->no_layer[0] != '\0') {
        printf("first layer that differs: cannot be named: %s\n", v->no_layer);
    } else if (!v->agrees) {
        printf("all layers before the logits are equal for image %lld\n",
               (long long)v->image);
    }
}

/* A verdict on files that are no longer those of the export is not one on it.
 */
static void print_changed(const json_t *changed) {
    size_t i;
    const json_t *name;
    json_array_foreach(changed, i, name) {
        printf("%s%s", i == 0 ? "changed or gone since exported: " : ", ",
               json_string_value(name));
    }
    if (i > 0) {
        printf("\n");
    }
}

static void print_answer(const apq_export_options *options,
                         apq_export_answer *answer) {
    if (options->step.common.json) {
        (void)json_object_set_new(answer->manifest, "path",
                                  apq_json_text(answer->file));
        apq_cli_print_json(answer->manifest, false);
        return;
    }
    printf("%s (%s)\n", answer->file, answer->hash);
    if (answer->is_verified) {
        print_changed(answer->changed);
        print_verdict(&answer->verification);
        printf("images: %s\n", answer->images);
    } else {
        printf("not verified: %s\n", answer->how);
    }
    json_decref(answer->manifest);
}

/* Whether someone has named the data of the recipe: what nobody has is no name
 * to complain about. */
static bool has_data(const apq_step_options *options, int first_word) {
    const apq_common_options *common = &options->common;
    bool has =
        options->data != NULL || options->recipe != NULL || common->run != NULL;
    for (int i = first_word; i < common->n_words; i++) {
        const char *word = common->words[i];
        has = has || strchr(word, '=') == NULL ||
              strncmp(word, "data=", strlen("data=")) == 0;
    }
    return has;
}

int apq_export_command(const apq_export_options *options,
                       const apq_export_request *request, int first_word,
                       apq_export_fn *fn) {
    apq_export_request own = *request;
    own.model = options->model;
    own.runtime =
        options->runtime != NULL ? options->runtime : apq_app_runtime();
    own.n_images = options->images;
    own.has_data = has_data(&options->step, first_word);
    own.needs_data = options->step.data != NULL;
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, options->step.common.quiet);
    apq_recipe recipe;
    apq_export_answer answer;
    apq_status st = apq_step_recipe(&options->step, first_word, &recipe);
    if (st == APQ_OK) {
        apq_cli_note_stale(&recipe, options->step.common.run, options->model);
        st = fn(&recipe, options->step.common.run, &own, &progress.base,
                &answer);
    }
    apq_cli_progress_end(&progress);
    if (st != APQ_OK) {
        return apq_cli_exit(st);
    }
    bool is_wrong = answer.is_verified && !answer.verification.agrees;
    print_answer(options, &answer);
    (void)fflush(stdout);
    if (answer.not_entered[0] != '\0') {
        (void)fprintf(stderr, "%s; the manifest does not have the verdict\n",
                      answer.not_entered);
    }
    if (is_wrong) {
        (void)fprintf(stderr, "apq: %s: not what the network computes\n",
                      answer.file);
        return APQ_EXIT_VERIFICATION;
    }
    return APQ_EXIT_OK;
}
