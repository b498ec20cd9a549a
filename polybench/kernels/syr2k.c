// syr2k: symmetric update of rank 2 M (BLAS level 3), f64.
//
//     C := alpha A B^T + alpha B A^T + beta C         A and B: N x M,  C: N x N, symmetric
//
// Only the lower triangle of C is updated.
//
//     size           M     N
//     MINI          20    30
//     SMALL         60    80
//     MEDIUM       200   240
//     LARGE       1000  1200
//     EXTRALARGE  2000  2600
//
// Operations: (6 M + 1) N (N+1) / 2.
// Live-out: C.
#include "polybench.h"

#define NAME "syr2k"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 30)                                                                                                      \
	USE(SMALL, 60, 80)                                                                                                     \
	USE(MEDIUM, 200, 240)                                                                                                  \
	USE(LARGE, 1000, 1200)                                                                                                 \
	USE(EXTRALARGE, 2000, 2600)

static void *C, *A, *B;
#define ARRAYS C, A, B

static const double alpha = 1.5;
static const double beta = 1.2;

NOINLINE void place(int m, int n)
{
	C = live_out(sizeof(double[n][n]));
	A = working(sizeof(double[n][m]));
	B = working(sizeof(double[n][m]));
}

NOINLINE void initialise(int m, int n, double C[n][n], double A[n][m], double B[n][m])
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < m; j++) {
			A[i][j] = (double)((i * j + 1) % n) / n;
			B[i][j] = (double)((i * j + 2) % m) / m;
		}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			C[i][j] = (double)((i * j + 3) % n) / m;
}

INLINE void compute(int m, int n, double C[restrict n][n], const double A[restrict n][m], const double B[restrict n][m])
{
	for (int i = 0; i < n; i++) {
		for (int j = 0; j <= i; j++)
			C[i][j] *= beta;
		for (int k = 0; k < m; k++)
			for (int j = 0; j <= i; j++)
				C[i][j] += A[j][k] * alpha * B[i][k] + B[j][k] * alpha * A[i][k];
	}
}

POLYBENCH
