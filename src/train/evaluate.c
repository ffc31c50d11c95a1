/* Accuracy, batch-norm recalibration and range calibration over a loader. */
#include "train/evaluate.h"

#include "base/log.h"
#include "nn/infer.h"
#include "nn/loss.h"

#include <math.h>

/* logits (N, n_classes) of a batch, in the net's arena. */
static apq_status run_batch(apq_nn_net *net, apq_infer *infer,
                            const float *images, int n, float **logits) {
    if (infer == NULL) {
        return apq_nn_forward(net, APQ_NN_EVAL, images, n, logits);
    }
    *logits = apq_arena_alloc(net->arena, (size_t)n * (size_t)net->n_classes,
                              sizeof **logits);
    if (*logits == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "evaluation: out of memory");
    }
    net->backend->infer->run(infer, images, n, *logits);
    return APQ_OK;
}

static apq_status run_epoch(apq_nn_net *net, apq_loader *loader,
                            apq_infer *infer, apq_loss_sum *total,
                            int64_t *count) {
    APQ_TRY(apq_loader_start(loader, 0, 0));
    for (;;) {
        const float *images;
        const int *labels;
        int n;
        APQ_TRY(apq_loader_next(loader, &images, &labels, &n));
        if (n == 0) {
            return APQ_OK;
        }
        apq_arena_mark mark = apq_arena_position(net->arena);
        float *logits;
        APQ_TRY(run_batch(net, infer, images, n, &logits));
        apq_loss_sum sum =
            apq_loss_labels(logits, labels, n, net->n_classes, 0.0, NULL);
        total->loss += sum.loss;
        total->squares += sum.squares;
        total->correct += sum.correct;
        *count += n;
        apq_arena_rewind(net->arena, mark);
    }
}

apq_status apq_evaluate(apq_nn_net *net, apq_loader *loader, bool is_bfloat16,
                        apq_evaluation *out) {
    return apq_evaluate_together(net, loader, is_bfloat16, NULL, out);
}

static apq_status count_epoch(apq_nn_net *net, apq_loader *loader,
                              bool is_bfloat16, apq_loss_sum *total,
                              int64_t *count) {
    apq_infer *infer;
    APQ_TRY(apq_nn_infer_create(net, is_bfloat16, &infer));
    apq_status st = run_epoch(net, loader, infer, total, count);
    if (infer != NULL) {
        net->backend->infer->destroy(infer);
    }
    return st;
}

/* Sample deviation of n values from their sum and that of their squares. */
static double deviation(double sum, double squares, double n) {
    return n > 1 ? sqrt(fmax(0, squares - sum * sum / n) / (n - 1)) : 0;
}

apq_status apq_evaluate_together(apq_nn_net *net, apq_loader *loader,
                                 bool is_bfloat16, apq_comm *comm,
                                 apq_evaluation *out) {
    double start = apq_now_s();
    apq_loss_sum total = {0};
    int64_t count = 0;
    APQ_TRY(apq_comm_agree(
        comm, count_epoch(net, loader, is_bfloat16, &total, &count)));
    double sums[] = {total.loss, (double)total.correct, (double)count,
                     total.squares};
    apq_comm_sum_doubles(comm, sums, sizeof sums / sizeof sums[0]);
    if (!(sums[2] > 0)) {
        return apq_comm_agree(comm,
                              APQ_ERROR(APQ_ERR_ARG, "evaluation: no images"));
    }
    *out = (apq_evaluation){
        .top1 = sums[1] / sums[2],
        .loss = sums[0] / sums[2],
        .loss_sd = deviation(sums[0], sums[3], sums[2]),
        .count = (int64_t)sums[2],
        .seconds = apq_now_s() - start,
    };
    return APQ_OK;
}

apq_status apq_recalibrate(apq_nn_net *net, apq_loader *loader, int n_batches) {
    APQ_TRY(apq_loader_start(loader, 0, 0));
    apq_nn_recalibrate_reset(net);
    for (int i = 0; i < n_batches; i++) {
        const float *images;
        const int *labels;
        int n;
        APQ_TRY(apq_loader_next(loader, &images, &labels, &n));
        if (n == 0) {
            break;
        }
        apq_arena_mark mark = apq_arena_position(net->arena);
        float *logits;
        APQ_TRY(apq_nn_forward(net, APQ_NN_RECALIBRATE, images, n, &logits));
        apq_arena_rewind(net->arena, mark);
    }
    return APQ_OK;
}

apq_status apq_calibrate(apq_nn_net *net, apq_loader *loader, int n_batches) {
    APQ_TRY(apq_loader_start(loader, 0, 0));
    const float *images;
    const int *labels;
    int n;
    APQ_TRY(apq_loader_next(loader, &images, &labels, &n));
    if (n == 0) {
        APQ_FAIL(APQ_ERR_ARG, "calibration: no images");
    }
    apq_arena_mark mark = apq_arena_position(net->arena);
    APQ_TRY(apq_nn_calibrate(net, images, n));
    apq_arena_rewind(net->arena, mark);
    return apq_recalibrate(net, loader, n_batches);
}
