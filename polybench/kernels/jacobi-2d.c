// jacobi-2d: Jacobi's iteration with a 5-point stencil in the plane, f64.
//
//     B[i][j] := 0.2 (A[i][j] + A[i][j-1] + A[i][j+1] + A[i+1][j] + A[i-1][j]),  then A from B likewise,  TSTEPS times
//
// over the interior of N x N points; the border keeps its values.
//
//     size        TSTEPS     N
//     MINI            20    30
//     SMALL           40    90
//     MEDIUM         100   250
//     LARGE          500  1300
//     EXTRALARGE    1000  2800
//
// Operations: 10 TSTEPS (N-2)^2.
// Live-out: A.
#include "polybench.h"

#define NAME "jacobi-2d"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 30)                                                                                                      \
	USE(SMALL, 40, 90)                                                                                                     \
	USE(MEDIUM, 100, 250)                                                                                                  \
	USE(LARGE, 500, 1300)                                                                                                  \
	USE(EXTRALARGE, 1000, 2800)

static void *A, *B;
#define ARRAYS A, B

NOINLINE void place(int tsteps, int n)
{
	(void)tsteps;
	A = live_out(sizeof(double[n][n]));
	B = working(sizeof(double[n][n]));
}

NOINLINE void initialise(int tsteps, int n, double A[n][n], double B[n][n])
{
	(void)tsteps;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			A[i][j] = ((double)i * (j + 2) + 2) / n;
			B[i][j] = ((double)i * (j + 3) + 3) / n;
		}
}

// Half a time step: `to` from `from`.
INLINE void relax(int n, double to[restrict n][n], double from[restrict n][n])
{
	for (int i = 1; i < n - 1; i++)
		for (int j = 1; j < n - 1; j++)
			to[i][j] = 0.2 * (from[i][j] + from[i][j - 1] + from[i][j + 1] + from[i + 1][j] + from[i - 1][j]);
}

INLINE void compute(int tsteps, int n, double A[restrict n][n], double B[restrict n][n])
{
	for (int t = 0; t < tsteps; t++) {
		relax(n, B, A);
		relax(n, A, B);
	}
}

POLYBENCH
