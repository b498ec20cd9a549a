// lu: LU decomposition without pivoting, f64.
//
//     A = L U         L: lower triangular with ones on its diagonal,  U: upper triangular
//
//     L[i][j] := (A[i][j] - sum over k < j of L[i][k] U[k][j]) / U[j][j]         j < i
//     U[i][j] :=  A[i][j] - sum over k < i of L[i][k] U[k][j]                    j >= i
//
// L, without its diagonal, and U take the place of A.
//
//     size           N
//     MINI          40
//     SMALL        120
//     MEDIUM       400
//     LARGE       2000
//     EXTRALARGE  4000
//
// Operations: N (N-1) (4 N + 1) / 6.
// Live-out: A.
#include "polybench.h"

#define NAME "lu"
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
				A[i][j] -= A[i][k] * A[k][j];
			A[i][j] /= A[j][j];
		}
		for (int j = i; j < n; j++)
			for (int k = 0; k < i; k++)
				A[i][j] -= A[i][k] * A[k][j];
	}
}

POLYBENCH
