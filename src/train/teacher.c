/* The largest network as a teacher of quantised ones: bound and recalibrated
 * once, then asked batch by batch on the fused path where there is one. */
#include "train/teacher.h"

#include "nn/infer.h"
#include "nn/loss.h"
#include "train/evaluate.h"

#include <stdlib.h>

struct apq_teacher {
    apq_arena *arena;
    apq_subnet subnet;
    bool is_bound;
    apq_infer *infer; /* NULL: layer by layer */
};

static apq_status set_up(apq_teacher *t, apq_supernet *supernet,
                         const apq_backend *backend, apq_loader *calibration,
                         int n_batches) {
    APQ_TRY(apq_arena_create(&t->arena));
    apq_policy policy;
    apq_policy_largest(apq_supernet_space(supernet), 8, &policy);
    t->is_bound = true;
    APQ_TRY(apq_subnet_bind(supernet, &policy, backend, t->arena, &t->subnet));
    APQ_TRY(apq_recalibrate(&t->subnet.net, calibration, n_batches));
    return apq_nn_infer_create(&t->subnet.net, false, &t->infer);
}

apq_status apq_teacher_create(apq_supernet *supernet,
                              const apq_backend *backend,
                              apq_loader *calibration, int n_batches,
                              apq_teacher **out) {
    apq_teacher *t = calloc(1, sizeof *t);
    if (t == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "teacher: out of memory");
    }
    apq_status st = set_up(t, supernet, backend, calibration, n_batches);
    if (st != APQ_OK) {
        apq_teacher_destroy(t);
        return st;
    }
    *out = t;
    return APQ_OK;
}

void apq_teacher_destroy(apq_teacher *teacher) {
    if (teacher == NULL) {
        return;
    }
    if (teacher->infer != NULL) {
        teacher->subnet.net.backend->infer->destroy(teacher->infer);
    }
    if (teacher->is_bound) {
        apq_subnet_fini(&teacher->subnet);
    }
    apq_arena_destroy(teacher->arena);
    free(teacher);
}

apq_status apq_teacher_ask(apq_teacher *teacher, const float *images, int n,
                           float *probabilities) {
    apq_nn_net *net = &teacher->subnet.net;
    if (teacher->infer != NULL) {
        net->backend->infer->run(teacher->infer, images, n, probabilities);
        apq_softmax(probabilities, n, net->n_classes, probabilities);
        return APQ_OK;
    }
    apq_arena_mark mark = apq_arena_position(teacher->arena);
    float *logits;
    apq_status st = apq_nn_forward(net, APQ_NN_EVAL, images, n, &logits);
    if (st == APQ_OK) {
        apq_softmax(logits, n, net->n_classes, probabilities);
    }
    apq_arena_rewind(teacher->arena, mark);
    return st;
}
