/* Accuracy, batch-norm recalibration and range calibration over a loader. */
#include "train/evaluate.h"

#include "base/log.h"
#include "deploy/int_engine.h"
#include "deploy/int_infer.h"
#include "nn/infer.h"
#include "nn/loss.h"

#include <limits.h>
#include <math.h>

/* How a network is run: the first that is not NULL; else layer by layer. */
typedef struct runner {
    apq_infer *infer;     /* float, fused */
    apq_int_infer *fused; /* in integers */
    apq_int_engine *plain;
} runner;

static apq_status open_runner(const apq_nn_net *net, bool is_bfloat16,
                              runner *out) {
    *out = (runner){0};
    if (!net->is_quantised || is_bfloat16) {
        return apq_nn_infer_create(net, is_bfloat16, &out->infer);
    }
    apq_int_model *model;
    APQ_TRY(apq_int_model_create(net, &model));
    apq_status st = APQ_OK;
    if (net->backend->infer != NULL) {
        st = apq_int_infer_create(model, &out->fused);
    }
    if (st == APQ_OK && out->fused == NULL) {
        st = apq_int_engine_create(model, &out->plain);
    }
    apq_int_model_destroy(model);
    return st;
}

static void close_runner(const apq_nn_net *net, runner *r) {
    if (r->infer != NULL) {
        net->backend->infer->destroy(r->infer);
    }
    apq_int_infer_destroy(r->fused);
    apq_int_engine_destroy(r->plain);
}

/* logits (N, n_classes) of a batch, in the net's arena. */
static apq_status run_batch(apq_nn_net *net, const runner *r,
                            const float *images, int n, float **logits) {
    if (r->infer == NULL && r->fused == NULL && r->plain == NULL) {
        return apq_nn_forward(net, APQ_NN_EVAL, images, n, logits);
    }
    *logits = apq_arena_alloc(net->arena, (size_t)n * (size_t)net->n_classes,
                              sizeof **logits);
    if (*logits == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "evaluation: out of memory");
    }
    if (r->infer != NULL) {
        net->backend->infer->run(r->infer, images, n, *logits);
    } else if (r->fused != NULL) {
        apq_int_infer_run(r->fused, images, n, *logits);
    } else {
        return apq_int_engine_run(r->plain, images, n, *logits);
    }
    return APQ_OK;
}

/* What is done with a batch. */
typedef apq_status batch_fn(apq_nn_net *net, const float *images,
                            const int *labels, int n, void *ctx);

/* The first batches of epoch 0; what a visit leaves in the arena goes. */
static apq_status each_batch(apq_nn_net *net, apq_loader *loader, int n_batches,
                             batch_fn *visit, void *ctx) {
    apq_status st = APQ_OK;
    APQ_TRY(apq_loader_start(loader, 0, 0));
    for (int i = 0; i < n_batches && st == APQ_OK; i++) {
        const float *images;
        const int *labels;
        int n;
        APQ_TRY(apq_loader_next(loader, &images, &labels, &n));
        if (n == 0) {
            break;
        }
        apq_arena_mark mark = apq_arena_position(net->arena);
        st = visit(net, images, labels, n, ctx);
        apq_arena_rewind(net->arena, mark);
    }
    return st;
}

typedef struct counting {
    runner runner;
    apq_loss_sum total;
    int64_t count;
} counting;

static apq_status count_batch(apq_nn_net *net, const float *images,
                              const int *labels, int n, void *ctx) {
    counting *c = ctx;
    float *logits;
    APQ_TRY(run_batch(net, &c->runner, images, n, &logits));
    apq_loss_sum sum =
        apq_loss_labels(logits, labels, n, net->n_classes, 0.0, NULL);
    c->total.loss += sum.loss;
    c->total.squares += sum.squares;
    c->total.correct += sum.correct;
    c->count += n;
    return APQ_OK;
}

apq_status apq_evaluate(apq_nn_net *net, apq_loader *loader, bool is_bfloat16,
                        apq_evaluation *out) {
    return apq_evaluate_together(net, loader, is_bfloat16, NULL, out);
}

static apq_status count_epoch(apq_nn_net *net, apq_loader *loader,
                              bool is_bfloat16, counting *c) {
    apq_status st = open_runner(net, is_bfloat16, &c->runner);
    if (st == APQ_OK) {
        st = each_batch(net, loader, INT_MAX, count_batch, c);
    }
    close_runner(net, &c->runner);
    return st;
}

/* Sample deviation of n values from their sum and that of their squares. */
static double deviation(double sum, double squares, double n) {
    return n > 1 ? sqrt(fmax(0, squares - sum * sum / n) / (n - 1)) : 0;
}

static apq_status no_images(apq_comm *comm) {
    return apq_comm_agree(comm,
                          APQ_ERROR(APQ_ERR_ARG, "evaluation: no images"));
}

apq_status apq_evaluate_together(apq_nn_net *net, apq_loader *loader,
                                 bool is_bfloat16, apq_comm *comm,
                                 apq_evaluation *out) {
    double start = apq_now_s();
    counting c = {.count = 0};
    APQ_TRY(apq_comm_agree(comm, count_epoch(net, loader, is_bfloat16, &c)));
    double sums[] = {c.total.loss, (double)c.total.correct, (double)c.count,
                     c.total.squares};
    apq_comm_sum_doubles(comm, sums, sizeof sums / sizeof sums[0]);
    if (!(sums[2] > 0)) {
        return no_images(comm);
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

static int class_of(const float *logits, int n_classes) {
    int best = 0;
    for (int k = 1; k < n_classes; k++) {
        best = logits[k] > logits[best] ? k : best;
    }
    return best;
}

typedef struct checking {
    runner runner;
    apq_int_check sum;
} checking;

static apq_status check_batch(apq_nn_net *net, const float *images,
                              const int *labels, int n, void *ctx) {
    checking *c = ctx;
    int classes = net->n_classes;
    float *integer, *simulated;
    APQ_TRY(run_batch(net, &c->runner, images, n, &integer));
    APQ_TRY(run_batch(net, &(runner){0}, images, n, &simulated));
    for (int i = 0; i < n; i++) {
        int a = class_of(integer + i * classes, classes);
        int b = class_of(simulated + i * classes, classes);
        c->sum.n_correct += a == labels[i];
        c->sum.n_correct_simulated += b == labels[i];
        c->sum.n_other_class += a != b;
    }
    c->sum.count += n;
    return APQ_OK;
}

apq_status apq_check_integers(apq_nn_net *net, apq_loader *loader,
                              apq_comm *comm, apq_int_check *out) {
    checking c = {.sum = {0}};
    apq_status st = open_runner(net, false, &c.runner);
    if (st == APQ_OK) {
        st = each_batch(net, loader, INT_MAX, check_batch, &c);
    }
    close_runner(net, &c.runner);
    APQ_TRY(apq_comm_agree(comm, st));
    double sums[] = {(double)c.sum.count, (double)c.sum.n_correct,
                     (double)c.sum.n_correct_simulated,
                     (double)c.sum.n_other_class};
    apq_comm_sum_doubles(comm, sums, sizeof sums / sizeof sums[0]);
    if (!(sums[0] > 0)) {
        return no_images(comm);
    }
    *out = (apq_int_check){
        .count = (int64_t)sums[0],
        .n_correct = (int64_t)sums[1],
        .n_correct_simulated = (int64_t)sums[2],
        .n_other_class = (int64_t)sums[3],
    };
    return APQ_OK;
}

static apq_status recalibrate_batch(apq_nn_net *net, const float *images,
                                    const int *labels, int n, void *ctx) {
    float *logits;
    (void)labels;
    (void)ctx;
    return apq_nn_forward(net, APQ_NN_RECALIBRATE, images, n, &logits);
}

apq_status apq_recalibrate(apq_nn_net *net, apq_loader *loader, int n_batches) {
    apq_nn_recalibrate_reset(net);
    APQ_TRY(each_batch(net, loader, n_batches, recalibrate_batch, NULL));
    /* Networks have no other statistics: these would be zero. */
    if (!(net->recalibrate_weight > 0)) {
        APQ_FAIL(APQ_ERR_ARG, "recalibration: no images");
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
