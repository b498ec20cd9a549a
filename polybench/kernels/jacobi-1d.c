// jacobi-1d: Jacobi's iteration with a 3-point stencil on a line, f64.
//
//     B[i] := 0.33333 (A[i-1] + A[i] + A[i+1]),  then A from B likewise,  TSTEPS times
//
// over the interior of N points; the border keeps its values.
//
//     size        TSTEPS     N
//     MINI            20    30
//     SMALL           40   120
//     MEDIUM         100   400
//     LARGE          500  2000
//     EXTRALARGE    1000  4000
//
// Operations: 6 TSTEPS (N-2).
// Live-out: A.
#include "polybench.h"

#define NAME "jacobi-1d"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 30)                                                                                                      \
	USE(SMALL, 40, 120)                                                                                                    \
	USE(MEDIUM, 100, 400)                                                                                                  \
	USE(LARGE, 500, 2000)                                                                                                  \
	USE(EXTRALARGE, 1000, 4000)

static void *A, *B;
#define ARRAYS A, B

NOINLINE void place(int tsteps, int n)
{
	(void)tsteps;
	A = live_out(sizeof(double[n]));
	B = working(sizeof(double[n]));
}

NOINLINE void initialise(int tsteps, int n, double A[n], double B[n])
{
	(void)tsteps;
	for (int i = 0; i < n; i++) {
		A[i] = (i + 2.0) / n;
		B[i] = (i + 3.0) / n;
	}
}

// Half a time step: `to` from `from`.
INLINE void relax(int n, double to[restrict n], const double from[restrict n])
{
	for (int i = 1; i < n - 1; i++)
		to[i] = 0.33333 * (from[i - 1] + from[i] + from[i + 1]);
}

INLINE void compute(int tsteps, int n, double A[restrict n], double B[restrict n])
{
	for (int t = 0; t < tsteps; t++) {
		relax(n, B, A);
		relax(n, A, B);
	}
}

POLYBENCH
