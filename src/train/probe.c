/* Accuracies over the course of a training. The images and the networks are
 * the same every time, so that only the weights differ. */
#include "train/probe.h"

#include "base/log.h"
#include "train/evaluate.h"

#include <stdlib.h>

enum {
    PROBE_BATCH = 125,
    RECALIBRATION_BATCHES = 4,
};

struct apq_probe {
    apq_loader *calibration, *images;
};

static void policy_of(const apq_space *space, int i, apq_policy *out) {
    if (i == 0) {
        apq_policy_largest(space, 8, out);
    } else if (i == 1) {
        apq_policy_smallest(space, 8, out);
    } else {
        apq_rng rng = apq_rng_make((uint64_t)i - 1, APQ_RNG_POLICY, 0);
        apq_policy_random(space, &rng, out);
    }
}

apq_status apq_probe_create(const apq_dataset *dataset, int n_images,
                            uint64_t seed, apq_probe **out) {
    *out = NULL;
    if (apq_dataset_length(dataset, APQ_SPLIT_VAL) == 0) {
        return APQ_OK;
    }
    apq_probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "training: out of memory");
    }
    apq_loader_options options = {
        .split = APQ_SPLIT_TRAIN,
        .batch = PROBE_BATCH,
        .augment = true,
        .shuffle = true,
        .seed = seed,
        .n_threads = 1,
    };
    apq_status st = apq_loader_create(dataset, &options, &probe->calibration);
    if (st == APQ_OK) {
        options = (apq_loader_options){
            .split = APQ_SPLIT_VAL,
            .batch = PROBE_BATCH,
            .limit = (size_t)n_images,
            .n_threads = 1,
        };
        st = apq_loader_create(dataset, &options, &probe->images);
    }
    if (st == APQ_OK) {
        *out = probe; /* success: ownership moves to the caller */
        probe = NULL;
    }
    apq_probe_destroy(probe);
    return st;
}

void apq_probe_destroy(apq_probe *probe) {
    if (probe != NULL) {
        apq_loader_destroy(probe->calibration);
        apq_loader_destroy(probe->images);
        free(probe);
    }
}

apq_status apq_probe_run(const apq_probe *probe, apq_supernet *supernet,
                         const apq_backend *backend, apq_arena *arena,
                         apq_probe_result *out) {
    double start_s = apq_now_s();
    apq_status st = APQ_OK;
    for (int i = 0; st == APQ_OK && i < APQ_N_PROBED; i++) {
        apq_policy policy;
        apq_subnet subnet;
        apq_evaluation evaluation = {0};
        policy_of(apq_supernet_space(supernet), i, &policy);
        apq_arena_reset(arena);
        st = apq_subnet_bind(supernet, &policy, backend, arena, &subnet);
        if (st == APQ_OK) {
            st = apq_recalibrate(&subnet.net, probe->calibration,
                                 RECALIBRATION_BATCHES);
        }
        if (st == APQ_OK) {
            st = apq_evaluate(&subnet.net, probe->images, false, &evaluation);
        }
        apq_subnet_fini(&subnet);
        out->top1[i] = evaluation.top1;
        out->n_images = evaluation.count;
    }
    out->seconds = apq_now_s() - start_s;
    return st;
}
