// syrk: symmetric update of rank M (BLAS level 3), f64.
//
//     C := alpha A A^T + beta C         A: N x M,  C: N x N, symmetric
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
// Operations: N M + (2 M + 1) N (N+1) / 2.
// Live-out: C.
#include "polybench.h"

#define NAME "syrk"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 30)                                                                                                      \
	USE(SMALL, 60, 80)                                                                                                     \
	USE(MEDIUM, 200, 240)                                                                                                  \
	USE(LARGE, 1000, 1200)                                                                                                 \
	USE(EXTRALARGE, 2000, 2600)

static void *C, *A;
#define ARRAYS C, A

static const double alpha = 1.5;
static const double beta = 1.2;

NOINLINE void place(int m, int n)
{
	C = live_out(sizeof(double[n][n]));
	A = working(sizeof(double[n][m]));
}

NOINLINE void initialise(int m, int n, double C[n][n], double A[n][m])
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < m; j++)
			A[i][j] = (double)((i * j + 1) % n) / n;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			C[i][j] = (double)((i * j + 2) % m) / m;
}

INLINE void compute(int m, int n, double C[restrict n][n], const double A[restrict n][m])
{
	for (int i = 0; i < n; i++) {
		for (int j = 0; j <= i; j++)
			C[i][j] *= beta;
		for (int k = 0; k < m; k++) {
			const double scaled = alpha * A[i][k];
			for (int j = 0; j <= i; j++)
				C[i][j] += scaled * A[j][k];
		}
	}
}

POLYBENCH
