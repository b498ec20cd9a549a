// gesummv: sum of two matrix-vector products (updated BLAS level 2), f64.
//
//     y := alpha A x + beta B x
//
//     size           N
//     MINI          30
//     SMALL         90
//     MEDIUM       250
//     LARGE       1300
//     EXTRALARGE  2800
//
// Operations: 4 N^2 + 3 N.
// Live-out: y.
#include "polybench.h"

#define NAME "gesummv"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 30)                                                                                                          \
	USE(SMALL, 90)                                                                                                         \
	USE(MEDIUM, 250)                                                                                                       \
	USE(LARGE, 1300)                                                                                                       \
	USE(EXTRALARGE, 2800)

static void *A, *B, *sum, *x, *y;
#define ARRAYS A, B, sum, x, y

static const double alpha = 1.5;
static const double beta = 1.2;

NOINLINE void place(int n)
{
	A = working(sizeof(double[n][n]));
	B = working(sizeof(double[n][n]));
	sum = working(sizeof(double[n]));
	x = working(sizeof(double[n]));
	y = live_out(sizeof(double[n]));
}

NOINLINE void initialise(int n, double A[n][n], double B[n][n], double sum[n], double x[n], double y[n])
{
	for (int i = 0; i < n; i++) {
		sum[i] = 0;
		y[i] = 0;
		x[i] = (double)(i % n) / n;
		for (int j = 0; j < n; j++) {
			A[i][j] = (double)((i * j + 1) % n) / n;
			B[i][j] = (double)((i * j + 2) % n) / n;
		}
	}
}

INLINE void compute(int n, const double A[restrict n][n], const double B[restrict n][n], double sum[restrict n],
		    const double x[restrict n], double y[restrict n])
{
	for (int i = 0; i < n; i++) {
		sum[i] = 0;
		y[i] = 0;
		for (int j = 0; j < n; j++) {
			sum[i] += A[i][j] * x[j];
			y[i] += B[i][j] * x[j];
		}
		y[i] = alpha * sum[i] + beta * y[i];
	}
}

POLYBENCH
