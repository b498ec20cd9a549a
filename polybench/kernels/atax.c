// atax: product with a matrix and with its transpose, f64.
//
//     y := A^T (A x)         A: M x N
//
//     size           M     N
//     MINI          38    42
//     SMALL        116   124
//     MEDIUM       390   410
//     LARGE       1900  2100
//     EXTRALARGE  1800  2200
//
// Operations: 4 M N.
// Live-out: y.
#include "polybench.h"

#define NAME "atax"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 38, 42)                                                                                                      \
	USE(SMALL, 116, 124)                                                                                                   \
	USE(MEDIUM, 390, 410)                                                                                                  \
	USE(LARGE, 1900, 2100)                                                                                                 \
	USE(EXTRALARGE, 1800, 2200)

static void *A, *x, *y, *Ax;
#define ARRAYS A, x, y, Ax

NOINLINE void place(int m, int n)
{
	A = working(sizeof(double[m][n]));
	x = working(sizeof(double[n]));
	y = live_out(sizeof(double[n]));
	Ax = working(sizeof(double[m]));
}

NOINLINE void initialise(int m, int n, double A[m][n], double x[n], double y[n], double Ax[m])
{
	(void)y, (void)Ax;
	for (int j = 0; j < n; j++)
		x[j] = 1 + (double)j / n;
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
			A[i][j] = (double)((i + j) % n) / (5 * m);
}

INLINE void compute(int m, int n, const double A[restrict m][n], const double x[restrict n], double y[restrict n],
		    double Ax[restrict m])
{
	for (int j = 0; j < n; j++)
		y[j] = 0;
	for (int i = 0; i < m; i++) {
		Ax[i] = 0;
		for (int j = 0; j < n; j++)
			Ax[i] += A[i][j] * x[j];
		for (int j = 0; j < n; j++)
			y[j] += A[i][j] * Ax[i];
	}
}

POLYBENCH
