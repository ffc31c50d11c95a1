#ifndef APQ_TRAIN_EIGEN_H
#define APQ_TRAIN_EIGEN_H

/* Eigenvalues of a symmetric matrix, descending, and orthonormal eigenvectors.
 *
 *   a (n, n), destroyed   values (n)   vectors (n, n), one a row
 *
 * For small n: each of the few sweeps takes about 6 n^3 products.
 * Source: cyclic Jacobi rotations; Golub and Van Loan, Matrix Computations,
 * section 8.5. */
void apq_eigen_symmetric(int n, double *a, double *values, double *vectors);

#endif
