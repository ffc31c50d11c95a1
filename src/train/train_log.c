/* What a training tells of an epoch: a note, and a line of JSON in a file that
 * is only ever appended to. */
#include "train/train_log.h"

#include "base/file.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

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

static double ratio(double a, int64_t b) {
    return b == 0 ? 0.0 : a / (double)b;
}

void apq_train_log_detail(const apq_train_sums *sums, char *out, size_t size) {
    (void)snprintf(out, size, "largest: loss %.3f, top-1 %.1f %%",
                   ratio(sums->largest.loss, sums->n_largest),
                   100 * ratio((double)sums->largest.correct, sums->n_largest));
}

apq_status apq_train_log_epoch(const apq_train_options *options, int64_t epoch,
                               const apq_train_sums *sums) {
    char line[256];
    double loss = ratio(sums->largest.loss, sums->n_largest);
    double top1 = ratio((double)sums->largest.correct, sums->n_largest);
    double others = ratio((double)sums->others.correct, sums->n_others);
    (void)snprintf(line, sizeof line,
                   "{\"epoch\":%" PRId64 ",\"largest_loss\":%.4f,"
                   "\"largest_train_top1\":%.4f,\"others_loss\":%.4f,"
                   "\"others_train_top1\":%.4f}",
                   epoch, loss, top1, ratio(sums->others.loss, sums->n_others),
                   others);
    char smaller[32] = ""; /* in the first epochs there may be none */
    if (sums->n_others > 0) {
        (void)snprintf(smaller, sizeof smaller, "  others: %.2f %%",
                       100 * others);
    }
    apq_note(options->progress,
             "epoch %" PRId64 "/%d  largest: loss %.3f, train top-1 %.2f %%%s",
             epoch, options->epochs, loss, 100 * top1, smaller);
    return options->log_path == NULL
               ? APQ_OK
               : apq_file_append_line(options->log_path, line);
}
