// cholesky: Cholesky's decomposition of a positive definite matrix, f64.
//
//     A = L L^T         L: lower triangular
//
//     L[i][j] := (A[i][j] - sum over k < j of L[i][k] L[j][k]) / L[j][j]         j < i
//     L[i][i] := sqrt(A[i][i] - sum over k < i of L[i][k]^2)
//
// L takes the place of the lower triangle of A; what is above the diagonal stays as it was.
//
//     size           N
//     MINI          40
//     SMALL        120
//     MEDIUM       400
//     LARGE       2000
//     EXTRALARGE  4000
//
// Operations: (N-1) N (2 N - 1) / 6 + N^2.
// Live-out: A.
#include "polybench.h"

#define NAME "cholesky"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 40)                                                                                                          \
	USE(SMALL, 120)                                                                                                        \
	USE(MEDIUM, 400)                                                                                                       \
	USE(LARGE, 2000)                                                                                                       \
	USE(EXTRALARGE, 4000)

static void *A;
#define ARRAYS A

NOINLINE void place(int n)
{
	A = live_out(sizeof(double[n][n]));
}

NOINLINE void initialise(int n, double A[n][n])
{
	fill_positive_definite(n, A);
}

INLINE void compute(int n, double A[n][n])
{
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < i; j++) {
			for (int k = 0; k < j; k++)
				A[i][j] -= A[i][k] * A[j][k];
			A[i][j] /= A[j][j];
		}
		for (int k = 0; k < i; k++)
			A[i][i] -= A[i][k] * A[i][k];
		A[i][i] = __builtin_sqrt(A[i][i]);
	}
}

POLYBENCH
