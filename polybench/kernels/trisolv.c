// trisolv: forward substitution, f64.
//
//     L x = b         L: N x N, lower triangular
//
//     x[i] := (b[i] - sum over j < i of L[i][j] x[j]) / L[i][i]         i = 0, 1, ... N-1
//
//     size           N
//     MINI          40
//     SMALL        120
//     MEDIUM       400
//     LARGE       2000
//     EXTRALARGE  4000
//
// Operations: N^2.
// Live-out: x.
#include "polybench.h"

#define NAME "trisolv"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 40)                                                                                                          \
	USE(SMALL, 120)                                                                                                        \
	USE(MEDIUM, 400)                                                                                                       \
	USE(LARGE, 2000)                                                                                                       \
	USE(EXTRALARGE, 4000)

static void *L, *x, *b;
#define ARRAYS L, x, b

NOINLINE void place(int n)
{
	L = working(sizeof(double[n][n]));
	x = live_out(sizeof(double[n]));
	b = working(sizeof(double[n]));
}

NOINLINE void initialise(int n, double L[n][n], double x[n], double b[n])
{
	(void)x;
	for (int i = 0; i < n; i++) {
		b[i] = i;
		for (int j = 0; j <= i; j++)
			L[i][j] = (double)(i + n - j + 1) * 2 / n;
	}
}

INLINE void compute(int n, const double L[restrict n][n], double x[restrict n], const double b[restrict n])
{
	for (int i = 0; i < n; i++) {
		x[i] = b[i];
		for (int j = 0; j < i; j++)
			x[i] -= L[i][j] * x[j];
		x[i] /= L[i][i];
	}
}

POLYBENCH
