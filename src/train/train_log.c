/* What a training tells of an epoch: a note, accuracies for who draws them, a
 * line of JSON and a TensorBoard event in files that are only appended to. */
#include "train/train_log.h"

#include "base/file.h"
#include "base/log.h"
#include "base/tfevents.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void apq_train_sums_largest(apq_train_sums *sums, apq_loss_sum more, int n) {
    sums->largest.loss += more.loss;
    sums->largest.correct += more.correct;
    sums->n_largest += n;
}

void apq_train_sums_others(apq_train_sums *sums, apq_loss_sum more, int n) {
    sums->others.loss += more.loss;
    sums->others.correct += more.correct;
    sums->n_others += n;
}

void apq_train_sums_add(apq_train_sums *sums, const apq_train_sums *step) {
    sums->largest.loss += step->largest.loss;
    sums->largest.correct += step->largest.correct;
    sums->n_largest += step->n_largest;
    sums->others.loss += step->others.loss;
    sums->others.correct += step->others.correct;
    sums->n_others += step->n_others;
    sums->decisions += step->decisions;
}

void apq_train_sums_decisions(apq_train_sums *sums, const float *images,
                              const int *labels, int n, size_t n_values,
                              int64_t step, int64_t first, uint64_t policies) {
    for (int i = 0; i < n; i++) {
        const float *image = images + (size_t)i * n_values;
        const uint64_t seen[] = {
            apq_hash64(image, n_values * sizeof *image),
            (uint64_t)labels[i],
            (uint64_t)step,
            (uint64_t)(first + i),
            policies,
        };
        sums->decisions += apq_hash64(seen, sizeof seen);
    }
}

static double mean(double sum, int64_t n) {
    return n == 0 ? (double)NAN : sum / (double)n;
}

void apq_train_log_detail(const apq_train_sums *sums, const char *phase,
                          char *out, size_t size) {
    /* Only the largest is trained in a first phase, only others later on. */
    bool is_largest = phase == NULL ? sums->n_largest > 0 : sums->n_others == 0;
    apq_loss_sum sum = is_largest ? sums->largest : sums->others;
    int64_t n = is_largest ? sums->n_largest : sums->n_others;
    const char *who = phase != NULL ? phase : is_largest ? "largest" : "others";
    out[0] = '\0';
    if (n > 0) {
        (void)snprintf(out, size, "%s%s: loss %.3f, train top-1 %.2f %%",
                       phase == NULL ? "" : "phase ", who, sum.loss / (double)n,
                       100.0 * (double)sum.correct / (double)n);
    }
}

/* A number of an epoch, NaN where there is none. */
typedef struct entry {
    const char *key; /* of the line */
    const char *tag; /* of the event */
    double value;
    int digits; /* of the line, after the point */
} entry;

enum { MAX_ENTRIES = 8 + APQ_N_PROBED, LINE_MAX_BYTES = 1024 };

static size_t list_entries(const apq_train_epoch *e, entry *out) {
    const apq_train_sums *s = &e->sums;
    const entry always[] = {
        {"largest_loss", "loss/largest", mean(s->largest.loss, s->n_largest),
         4},
        {"largest_train_top1", "train_top1/largest",
         mean((double)s->largest.correct, s->n_largest), 4},
        {"others_loss", "loss/others", mean(s->others.loss, s->n_others), 4},
        {"others_train_top1", "train_top1/others",
         mean((double)s->others.correct, s->n_others), 4},
        {"lr", "speed/lr", e->learning_rate, 8},
        {"images_per_s", "speed/images_per_s",
         (double)e->n_images / fmax(e->seconds, 1e-9), 1},
        {"seconds", "speed/seconds", e->seconds, 3},
    };
    const apq_probe_result *p = &e->probe;
    const entry probed[] = {
        {"largest_val_top1", "val_top1/largest", p->top1[0], 4},
        {"smallest_val_top1", "val_top1/smallest", p->top1[1], 4},
        {"random1_val_top1", "val_top1/random1", p->top1[2], 4},
        {"random2_val_top1", "val_top1/random2", p->top1[3], 4},
        {"val_seconds", "speed/val_seconds", p->seconds, 3},
    };
    size_t n = sizeof always / sizeof always[0];
    memcpy(out, always, sizeof always);
    if (e->is_probed) {
        memcpy(out + n, probed, sizeof probed);
        n += sizeof probed / sizeof probed[0];
    }
    return n;
}

static apq_status append_line(const char *path, const apq_train_epoch *e,
                              const entry *entries, size_t n) {
    char line[LINE_MAX_BYTES];
    size_t used =
        (size_t)snprintf(line, sizeof line, "{\"epoch\":%" PRId64, e->epoch);
    for (size_t i = 0; i < n; i++) {
        char value[32] = "null";
        if (isfinite(entries[i].value)) {
            (void)snprintf(value, sizeof value, "%.*f", entries[i].digits,
                           entries[i].value);
        }
        used += (size_t)snprintf(line + used, sizeof line - used, ",\"%s\":%s",
                                 entries[i].key, value);
    }
    if (e->phase != NULL) {
        used += (size_t)snprintf(line + used, sizeof line - used,
                                 ",\"phase\":\"%s\"", e->phase);
    }
    used += (size_t)snprintf(line + used, sizeof line - used,
                             ",\"decisions\":\"%016" PRIx64 "\"",
                             e->sums.decisions);
    APQ_ASSERT(used + 2 <= sizeof line);
    (void)strcpy(line + used, "}");
    return apq_file_append_line(path, line);
}

static apq_status append_events(const char *path, const apq_train_epoch *e,
                                const entry *entries, size_t n) {
    apq_scalar scalars[MAX_ENTRIES];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(entries[i].value)) {
            scalars[used++] = (apq_scalar){entries[i].tag, entries[i].value};
        }
    }
    return apq_tfevents_append(path, (double)time(NULL), e->epoch, scalars,
                               used);
}

/* The loss and the accuracy of who is trained, of the others the accuracy. */
static void tell(const apq_train_options *options, const apq_train_epoch *e) {
    const apq_train_sums *s = &e->sums;
    char trained[96], others[32] = "", val[48] = "";
    apq_train_log_detail(s, e->phase, trained, sizeof trained);
    if (e->phase == NULL && s->n_largest > 0 && s->n_others > 0) {
        (void)snprintf(others, sizeof others, "  others: %.2f %%",
                       100 * mean((double)s->others.correct, s->n_others));
    }
    if (e->is_probed) {
        (void)snprintf(val, sizeof val, "  val: %.1f, smallest %.1f %%",
                       100 * e->probe.top1[0], 100 * e->probe.top1[1]);
    }
    apq_note(options->progress, "epoch %" PRId64 "/%d  %s%s%s", e->epoch,
             options->epochs, trained, others, val);
    if (e->is_probed) {
        apq_progress_measure(options->progress, "largest val %",
                             (double)e->epoch, 100 * e->probe.top1[0]);
        apq_progress_measure(options->progress, "smallest val %",
                             (double)e->epoch, 100 * e->probe.top1[1]);
    }
}

apq_status apq_train_log_epoch(const apq_train_options *options,
                               const apq_train_epoch *epoch) {
    entry entries[MAX_ENTRIES];
    size_t n = list_entries(epoch, entries);
    tell(options, epoch);
    if (options->log_path != NULL) {
        APQ_TRY(append_line(options->log_path, epoch, entries, n));
    }
    return options->events_path == NULL
               ? APQ_OK
               : append_events(options->events_path, epoch, entries, n);
}
