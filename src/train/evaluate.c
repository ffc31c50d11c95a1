/* Accuracy, batch-norm recalibration and range calibration over a loader. */
#include "train/evaluate.h"

#include "base/log.h"
#include "nn/loss.h"

apq_status apq_evaluate(apq_nn_net *net, apq_loader *loader,
                        apq_evaluation *out) {
    double start = apq_now_s();
    apq_loss_sum total = {0};
    int64_t count = 0;
    APQ_TRY(apq_loader_start(loader, 0, 0));
    for (;;) {
        const float *images;
        const int *labels;
        int n;
        APQ_TRY(apq_loader_next(loader, &images, &labels, &n));
        if (n == 0) {
            break;
        }
        apq_arena_mark mark = apq_arena_position(net->arena);
        float *logits;
        APQ_TRY(apq_nn_forward(net, APQ_NN_EVAL, images, n, &logits));
        apq_loss_sum sum =
            apq_loss_labels(logits, labels, n, net->n_classes, 0.0, NULL);
        total.loss += sum.loss;
        total.correct += sum.correct;
        count += n;
        apq_arena_rewind(net->arena, mark);
    }
    if (count == 0) {
        APQ_FAIL(APQ_ERR_ARG, "evaluation: no images");
    }
    *out = (apq_evaluation){
        .top1 = (double)total.correct / (double)count,
        .loss = total.loss / (double)count,
        .count = count,
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
