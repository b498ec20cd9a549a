// symm: product with a symmetric matrix (BLAS level 3), f64.
//
//     C := alpha A B + beta C         A: M x M, symmetric,  B and C: M x N
//
// Only the lower triangle of A is stored.
//
//     size           M     N
//     MINI          20    30
//     SMALL         60    80
//     MEDIUM       200   240
//     LARGE       1000  1200
//     EXTRALARGE  2000  2600
//
// Operations: 6 M N + 2 N M (M-1).
// Live-out: C.
#include "polybench.h"

#define NAME "symm"
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
	C = live_out(sizeof(double[m][n]));
	A = working(sizeof(double[m][m]));
	B = working(sizeof(double[m][n]));
}

// What lies above A's diagonal, which nothing may read.
static const double unused = -999;

NOINLINE void initialise(int m, int n, double C[m][n], double A[m][m], double B[m][n])
{
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++) {
			C[i][j] = (double)((i + j) % 100) / m;
			B[i][j] = (double)((n + i - j) % 100) / m;
		}
	for (int i = 0; i < m; i++)
		for (int j = 0; j < m; j++)
			A[i][j] = j <= i ? (double)((i + j) % 100) / m : unused;
}

INLINE void compute(int m, int n, double C[restrict m][n], const double A[restrict m][m], const double B[restrict m][n])
{
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++) {
			const double scaled = alpha * B[i][j];
			double sum = 0;
			// A[i][k] stands for itself and for A[k][i].
			for (int k = 0; k < i; k++) {
				C[k][j] += scaled * A[i][k];
				sum += B[k][j] * A[i][k];
			}
			C[i][j] = beta * C[i][j] + scaled * A[i][i] + alpha * sum;
		}
}

POLYBENCH
