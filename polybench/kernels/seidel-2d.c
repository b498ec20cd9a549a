// seidel-2d: Gauss and Seidel's iteration with a 9-point stencil in the plane, f64.
//
//     A[i][j] := (sum of A[i+d][j+e] for d, e in -1, 0, 1) / 9,  in place and in the order of i, j, d and e,  TSTEPS times
//
// over the interior of N x N points; the border keeps its values.
//
//     size        TSTEPS     N
//     MINI            20    40
//     SMALL           40   120
//     MEDIUM         100   400
//     LARGE          500  2000
//     EXTRALARGE    1000  4000
//
// Operations: 9 TSTEPS (N-2)^2.
// Live-out: A.
#include "polybench.h"

#define NAME "seidel-2d"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 40)                                                                                                      \
	USE(SMALL, 40, 120)                                                                                                    \
	USE(MEDIUM, 100, 400)                                                                                                  \
	USE(LARGE, 500, 2000)                                                                                                  \
	USE(EXTRALARGE, 1000, 4000)

static void *A;
#define ARRAYS A

NOINLINE void place(int tsteps, int n)
{
	(void)tsteps;
	A = live_out(sizeof(double[n][n]));
}

NOINLINE void initialise(int tsteps, int n, double A[n][n])
{
	(void)tsteps;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			A[i][j] = ((double)i * (j + 2) + 2) / n;
}

INLINE void compute(int tsteps, int n, double A[n][n])
{
	for (int t = 0; t < tsteps; t++)
		for (int i = 1; i < n - 1; i++)
			for (int j = 1; j < n - 1; j++)
				A[i][j] = (A[i - 1][j - 1] + A[i - 1][j] + A[i - 1][j + 1] + A[i][j - 1] + A[i][j] + A[i][j + 1] +
					   A[i + 1][j - 1] + A[i + 1][j] + A[i + 1][j + 1]) / 9;
}

POLYBENCH
