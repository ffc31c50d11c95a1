/* Patch-whitening filters: covariance of image patches, its eigenvectors, and
 * the stem made of them. Source: Jordan 2024 (arXiv 2404.00498). */
#include "train/whiten.h"

#include "train/eigen.h"

#include <inttypes.h>
#include <math.h>

enum {
    SIDE = 3,                 /* of a patch and of the stem's kernel */
    N_TAPS = SIDE * SIDE * 3, /* tap-major, as the stem's weights */
    N_IMAGES = 5000,
    BATCH = 100,
    /* Patches an image and line at most: large images have enough of them. */
    MAX_POSITIONS = 32,
};

typedef struct moments {
    double n;
    double sum[N_TAPS];
    double products[N_TAPS * N_TAPS]; /* upper triangle */
} moments;

static void add_patch(moments *m, const float *image, int side, int y, int x) {
    double patch[N_TAPS];
    for (int r = 0; r < SIDE; r++) {
        const float *line = image + ((int64_t)(y + r) * side + x) * 3;
        for (int k = 0; k < 3 * SIDE; k++) {
            patch[3 * SIDE * r + k] = (double)line[k];
        }
    }
    m->n++;
    for (int i = 0; i < N_TAPS; i++) {
        m->sum[i] += patch[i];
        for (int j = i; j < N_TAPS; j++) {
            m->products[i * N_TAPS + j] += patch[i] * patch[j];
        }
    }
}

static void add_image(moments *m, const float *image, int side) {
    int step = (side + MAX_POSITIONS - 1) / MAX_POSITIONS;
    for (int y = 0; y + SIDE <= side; y += step) {
        for (int x = 0; x + SIDE <= side; x += step) {
            add_patch(m, image, side, y, x);
        }
    }
}

static apq_status add_dataset(moments *m, const apq_dataset *dataset) {
    int side = apq_dataset_resolution(dataset);
    apq_loader *loader;
    APQ_TRY(apq_loader_create(dataset,
                              &(apq_loader_options){.split = APQ_SPLIT_TRAIN,
                                                    .batch = BATCH,
                                                    .limit = N_IMAGES},
                              &loader));
    apq_status st = apq_loader_start(loader, 0, 0);
    for (int n = 1; st == APQ_OK && n > 0;) {
        const float *images;
        const int *labels;
        st = apq_loader_next(loader, &images, &labels, &n);
        for (int i = 0; st == APQ_OK && i < n; i++) {
            add_image(m, images + (int64_t)i * side * side * 3, side);
        }
    }
    apq_loader_destroy(loader);
    return st;
}

static void covariance(const moments *m, double *out) {
    for (int i = 0; i < N_TAPS; i++) {
        for (int j = i; j < N_TAPS; j++) {
            double c = m->products[i * N_TAPS + j] / m->n -
                       m->sum[i] / m->n * (m->sum[j] / m->n);
            out[i * N_TAPS + j] = out[j * N_TAPS + i] = c;
        }
    }
}

apq_status apq_train_whiten_stem(apq_supernet *supernet,
                                 const apq_dataset *dataset) {
    const apq_params *params = apq_supernet_params(supernet);
    size_t stem = apq_supernet_stem(supernet);
    const int64_t *shape = params->items[stem].shape;
    float *w = apq_params_value(params, stem);
    if (shape[1] != N_TAPS) {
        APQ_FAIL(APQ_ERR_ARG,
                 "whitened stem: filters of %" PRId64
                 " taps, not %d as 3x3 patches of RGB images",
                 shape[1], (int)N_TAPS);
    }
    moments m = {0};
    double matrix[N_TAPS * N_TAPS], variances[N_TAPS], vectors[N_TAPS * N_TAPS];
    APQ_TRY(add_dataset(&m, dataset));
    covariance(&m, matrix);
    apq_eigen_symmetric(N_TAPS, matrix, variances, vectors);
    for (int64_t k = 0; k < shape[0] && k < 2 * N_TAPS; k++) {
        double length = k < N_TAPS ? sqrt(2.0) : -sqrt(2.0);
        for (int64_t i = 0; i < N_TAPS; i++) {
            w[k * N_TAPS + i] =
                (float)(length * vectors[k % N_TAPS * N_TAPS + i]);
        }
    }
    return APQ_OK;
}
