/* Eigenvectors by cyclic Jacobi rotations: simple, and as accurate as it gets
 * for the few dozen dimensions of image patches. */
#include "train/eigen.h"

#include <math.h>

/* x, y become c x - s y, s x + c y; elements are `step` apart. */
static void rotate(double *x, double *y, int n, int step, double c, double s) {
    for (int i = 0; i < n; i++) {
        double u = x[i * step], v = y[i * step];
        x[i * step] = c * u - s * v;
        y[i * step] = s * u + c * v;
    }
}

/* Turns a[p][q] into 0 by the smaller of the two possible angles. */
static void annihilate(int n, double *a, double *vectors, int p, int q) {
    double off = a[p * n + q];
    if (off == 0) {
        return;
    }
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * off);
    double t = copysign(1.0, theta) / (fabs(theta) + hypot(theta, 1.0));
    double c = 1 / hypot(t, 1.0);
    double s = t * c;
    rotate(a + p, a + q, n, n, c, s);
    rotate(a + p * n, a + q * n, n, 1, c, s);
    rotate(vectors + p * n, vectors + q * n, n, 1, c, s);
}

static double off_diagonal(int n, const double *a) {
    double sum = 0;
    for (int i = 0; i < n * n; i++) {
        sum += i / n == i % n ? 0 : a[i] * a[i];
    }
    return sqrt(sum);
}

static double magnitude(int n, const double *a) {
    double sum = 0;
    for (int i = 0; i < n * n; i++) {
        sum += a[i] * a[i];
    }
    return sqrt(sum);
}

static void swap_rows(int n, double *values, double *vectors, int i, int j) {
    double value = values[i];
    values[i] = values[j];
    values[j] = value;
    for (int k = 0; k < n; k++) {
        double v = vectors[i * n + k];
        vectors[i * n + k] = vectors[j * n + k];
        vectors[j * n + k] = v;
    }
}

void apq_eigen_symmetric(int n, double *a, double *values, double *vectors) {
    enum { MAX_SWEEPS = 50 }; /* convergence is quadratic: it takes about 8 */
    double small = 1e-15 * magnitude(n, a);
    for (int i = 0; i < n * n; i++) {
        vectors[i] = i / n == i % n ? 1 : 0;
    }
    for (int k = 0; k < MAX_SWEEPS && off_diagonal(n, a) > small; k++) {
        for (int p = 0; p < n; p++) {
            for (int q = p + 1; q < n; q++) {
                annihilate(n, a, vectors, p, q);
            }
        }
    }
    for (int i = 0; i < n; i++) {
        values[i] = a[i * n + i];
    }
    for (int i = 0; i < n; i++) {
        int most = i;
        for (int j = i + 1; j < n; j++) {
            most = values[j] > values[most] ? j : most;
        }
        swap_rows(n, values, vectors, i, most);
    }
}
