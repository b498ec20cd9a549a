// trmm: product with a triangular matrix (BLAS level 3), f64.
//
//     B := alpha A^T B         A: M x M, lower triangular with ones on its diagonal,  B: M x N
//
// The diagonal is known to be 1 and is not multiplied with.
//
//     size           M     N
//     MINI          20    30
//     SMALL         60    80
//     MEDIUM       200   240
//     LARGE       1000  1200
//     EXTRALARGE  2000  2600
//
// Operations: N M^2.
// Live-out: B.
#include "polybench.h"

#define NAME "trmm"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 30)                                                                                                      \
	USE(SMALL, 60, 80)                                                                                                     \
	USE(MEDIUM, 200, 240)                                                                                                  \
	USE(LARGE, 1000, 1200)                                                                                                 \
	USE(EXTRALARGE, 2000, 2600)

static void *A, *B;
#define ARRAYS A, B

static const double alpha = 1.5;

NOINLINE void place(int m, int n)
{
	A = working(sizeof(double[m][m]));
	B = live_out(sizeof(double[m][n]));
}

NOINLINE void initialise(int m, int n, double A[m][m], double B[m][n])
{
	for (int i = 0; i < m; i++) {
		for (int j = 0; j < i; j++)
			A[i][j] = (double)((i + j) % m) / m;
		A[i][i] = 1;
		for (int j = 0; j < n; j++)
			B[i][j] = (double)((n + i - j) % n) / n;
	}
}

INLINE void compute(int m, int n, const double A[restrict m][m], double B[restrict m][n])
{
	// Row i needs the rows below it as they were, and from the top down they still are.
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++) {
			for (int k = i + 1; k < m; k++)
				B[i][j] += A[k][i] * B[k][j];
			B[i][j] *= alpha;
		}
}

POLYBENCH
