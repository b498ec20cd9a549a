// mvt: a matrix-vector product, and one with the transpose, f64.
//
//     x1 := x1 + A y1,  x2 := x2 + A^T y2
//
//     size           N
//     MINI          40
//     SMALL        120
//     MEDIUM       400
//     LARGE       2000
//     EXTRALARGE  4000
//
// Operations: 4 N^2.
// Live-out: x1, x2.
#include "polybench.h"

#define NAME "mvt"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 40)                                                                                                          \
	USE(SMALL, 120)                                                                                                        \
	USE(MEDIUM, 400)                                                                                                       \
	USE(LARGE, 2000)                                                                                                       \
	USE(EXTRALARGE, 4000)

static void *x_1, *x_2, *y_1, *y_2, *A;
#define ARRAYS x_1, x_2, y_1, y_2, A

NOINLINE void place(int n)
{
	x_1 = live_out(sizeof(double[n]));
	x_2 = live_out(sizeof(double[n]));
	y_1 = working(sizeof(double[n]));
	y_2 = working(sizeof(double[n]));
	A = working(sizeof(double[n][n]));
}

NOINLINE void initialise(int n, double x1[n], double x2[n], double y1[n], double y2[n], double A[n][n])
{
	for (int i = 0; i < n; i++) {
		x1[i] = (double)(i % n) / n;
		x2[i] = (double)((i + 1) % n) / n;
		y1[i] = (double)((i + 3) % n) / n;
		y2[i] = (double)((i + 4) % n) / n;
		for (int j = 0; j < n; j++)
			A[i][j] = (double)(i * j % n) / n;
	}
}

INLINE void compute(int n, double x1[restrict n], double x2[restrict n], const double y1[restrict n],
		    const double y2[restrict n], const double A[restrict n][n])
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			x1[i] += A[i][j] * y1[j];
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			x2[i] += A[j][i] * y2[j];
}

POLYBENCH
