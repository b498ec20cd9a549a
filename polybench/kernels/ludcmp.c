// ludcmp: a system of linear equations, by LU decomposition without pivoting, f64.
//
//     A x = b:         A = L U,  L y = b,  U x = y
//
//     L[i][j] := (A[i][j] - sum over k < j of L[i][k] U[k][j]) / U[j][j]         j < i
//     U[i][j] :=  A[i][j] - sum over k < i of L[i][k] U[k][j]                    j >= i
//     y[i]    :=  b[i] - sum over j < i of L[i][j] y[j]                          i = 0, 1, ... N-1
//     x[i]    := (y[i] - sum over j > i of U[i][j] x[j]) / U[i][i]               i = N-1, ... 1, 0
//
//     size           N
//     MINI          40
//     SMALL        120
//     MEDIUM       400
//     LARGE       2000
//     EXTRALARGE  4000
//
// Operations: N (N-1) (4 N + 1) / 6 + 2 N (N-1) + N.
// Live-out: x.
#include "polybench.h"

#define NAME "ludcmp"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 40)                                                                                                          \
	USE(SMALL, 120)                                                                                                        \
	USE(MEDIUM, 400)                                                                                                       \
	USE(LARGE, 2000)                                                                                                       \
	USE(EXTRALARGE, 4000)

static void *A, *b, *x, *y;
#define ARRAYS A, b, x, y

NOINLINE void place(int n)
{
	A = working(sizeof(double[n][n]));
	b = working(sizeof(double[n]));
	x = live_out(sizeof(double[n]));
	y = working(sizeof(double[n]));
}

NOINLINE void initialise(int n, double A[n][n], double b[n], double x[n], double y[n])
{
	(void)x, (void)y;
	for (int i = 0; i < n; i++)
		b[i] = (i + 1.0) / n / 2 + 4;
	fill_positive_definite(n, A);
}

INLINE void compute(int n, double A[restrict n][n], const double b[restrict n], double x[restrict n], double y[restrict n])
{
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < i; j++) {
			double rest = A[i][j];
			for (int k = 0; k < j; k++)
				rest -= A[i][k] * A[k][j];
			A[i][j] = rest / A[j][j];
		}
		for (int j = i; j < n; j++) {
			double rest = A[i][j];
			for (int k = 0; k < i; k++)
				rest -= A[i][k] * A[k][j];
			A[i][j] = rest;
		}
	}
	for (int i = 0; i < n; i++) {
		double rest = b[i];
		for (int j = 0; j < i; j++)
			rest -= A[i][j] * y[j];
		y[i] = rest;
	}
	for (int i = n - 1; i >= 0; i--) {
		double rest = y[i];
		for (int j = i + 1; j < n; j++)
			rest -= A[i][j] * x[j];
		x[i] = rest / A[i][i];
	}
}

POLYBENCH
