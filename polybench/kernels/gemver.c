// gemver: two rank-1 updates and two matrix-vector products (updated BLAS level 2), f64.
//
//     A := A + u1 v1^T + u2 v2^T
//     x := x + beta A^T y + z
//     w := w + alpha A x
//
//     size           N
//     MINI          40
//     SMALL        120
//     MEDIUM       400
//     LARGE       2000
//     EXTRALARGE  4000
//
// Operations: 10 N^2 + N.
// Live-out: w.
#include "polybench.h"

#define NAME "gemver"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 40)                                                                                                          \
	USE(SMALL, 120)                                                                                                        \
	USE(MEDIUM, 400)                                                                                                       \
	USE(LARGE, 2000)                                                                                                       \
	USE(EXTRALARGE, 4000)

static void *A, *u1, *v1, *u2, *v2, *w, *x, *y, *z;
#define ARRAYS A, u1, v1, u2, v2, w, x, y, z

static const double alpha = 1.5;
static const double beta = 1.2;

NOINLINE void place(int n)
{
	A = working(sizeof(double[n][n]));
	u1 = working(sizeof(double[n]));
	v1 = working(sizeof(double[n]));
	u2 = working(sizeof(double[n]));
	v2 = working(sizeof(double[n]));
	w = live_out(sizeof(double[n]));
	x = working(sizeof(double[n]));
	y = working(sizeof(double[n]));
	z = working(sizeof(double[n]));
}

NOINLINE void initialise(int n, double A[n][n], double u1[n], double v1[n], double u2[n], double v2[n], double w[n],
			 double x[n], double y[n], double z[n])
{
	for (int i = 0; i < n; i++) {
		const double part = (i + 1.0) / n;
		u1[i] = i;
		u2[i] = part / 2;
		v1[i] = part / 4;
		v2[i] = part / 6;
		y[i] = part / 8;
		z[i] = part / 9;
		x[i] = 0;
		w[i] = 0;
		for (int j = 0; j < n; j++)
			A[i][j] = (double)(i * j % n) / n;
	}
}

INLINE void compute(int n, double A[restrict n][n], const double u1[restrict n], const double v1[restrict n],
		    const double u2[restrict n], const double v2[restrict n], double w[restrict n], double x[restrict n],
		    const double y[restrict n], const double z[restrict n])
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			A[i][j] = A[i][j] + u1[i] * v1[j] + u2[i] * v2[j];
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			x[i] += beta * A[j][i] * y[j];
	for (int i = 0; i < n; i++)
		x[i] += z[i];
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			w[i] += alpha * A[i][j] * x[j];
}

POLYBENCH
