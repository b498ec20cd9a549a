// heat-3d: heat equation in space, f64.
//
//     B[i][j][k] := 0.125 (A[i+1][j][k] - 2 A[i][j][k] + A[i-1][j][k])
//                 + 0.125 (A[i][j+1][k] - 2 A[i][j][k] + A[i][j-1][k])
//                 + 0.125 (A[i][j][k+1] - 2 A[i][j][k] + A[i][j][k-1]) + A[i][j][k],
//     then A from B likewise,  TSTEPS times
//
// over the interior of N x N x N points; the border keeps its values.
//
//     size        TSTEPS    N
//     MINI            20   10
//     SMALL           40   20
//     MEDIUM         100   40
//     LARGE          500  120
//     EXTRALARGE    1000  200
//
// Operations: 26 TSTEPS (N-2)^3.
// Live-out: A.
#include "polybench.h"

#define NAME "heat-3d"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 10)                                                                                                      \
	USE(SMALL, 40, 20)                                                                                                     \
	USE(MEDIUM, 100, 40)                                                                                                   \
	USE(LARGE, 500, 120)                                                                                                   \
	USE(EXTRALARGE, 1000, 200)

static void *A, *B;
#define ARRAYS A, B

NOINLINE void place(int tsteps, int n)
{
	(void)tsteps;
	A = live_out(sizeof(double[n][n][n]));
	B = working(sizeof(double[n][n][n]));
}

NOINLINE void initialise(int tsteps, int n, double A[n][n][n], double B[n][n][n])
{
	(void)tsteps;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			for (int k = 0; k < n; k++)
				A[i][j][k] = B[i][j][k] = (double)(i + j + (n - k)) * 10 / n;
}

// Half a time step: `to` from `from`.
INLINE void relax(int n, double to[restrict n][n][n], double from[restrict n][n][n])
{
	for (int i = 1; i < n - 1; i++)
		for (int j = 1; j < n - 1; j++)
			for (int k = 1; k < n - 1; k++) {
				const double twice = 2 * from[i][j][k];
				to[i][j][k] = 0.125 * (from[i + 1][j][k] - twice + from[i - 1][j][k]) +
					      0.125 * (from[i][j + 1][k] - twice + from[i][j - 1][k]) +
					      0.125 * (from[i][j][k + 1] - twice + from[i][j][k - 1]) + from[i][j][k];
			}
}

INLINE void compute(int tsteps, int n, double A[restrict n][n][n], double B[restrict n][n][n])
{
	for (int t = 0; t < tsteps; t++) {
		relax(n, B, A);
		relax(n, A, B);
	}
}

POLYBENCH
