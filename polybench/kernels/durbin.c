// durbin: Durbin's recursion for the Yule-Walker equations, f64.
//
//     T y = -r         T: N x N, symmetric Toeplitz, T[i][j] = c[|i-j|],  c[0] = 1,  c[k] = r[k-1]
//
//     alpha[0] := -r[0],  beta[0] := 1,  y := (alpha[0])
//     beta[k]  := (1 - alpha[k-1]^2) beta[k-1]
//     alpha[k] := -(r[k] + sum over i < k of r[k-i-1] y[i]) / beta[k]
//     y[i]     := y[i] + alpha[k] y[k-i-1] for i < k,  y[k] := alpha[k]         k = 1, ... N-1
//
//     size           N
//     MINI          40
//     SMALL        120
//     MEDIUM       400
//     LARGE       2000
//     EXTRALARGE  4000
//
// Operations: 5 (N-1) + 2 N (N-1). Changes of sign are not counted.
// Live-out: y.
#include "polybench.h"

#define NAME "durbin"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 40)                                                                                                          \
	USE(SMALL, 120)                                                                                                        \
	USE(MEDIUM, 400)                                                                                                       \
	USE(LARGE, 2000)                                                                                                       \
	USE(EXTRALARGE, 4000)

static void *r, *y, *z;
#define ARRAYS r, y, z

NOINLINE void place(int n)
{
	r = working(sizeof(double[n]));
	y = live_out(sizeof(double[n]));
	z = working(sizeof(double[n]));
}

NOINLINE void initialise(int n, double r[n], double y[n], double z[n])
{
	(void)y, (void)z;
	for (int i = 0; i < n; i++)
		r[i] = n + 1 - i;
}

INLINE void compute(int n, const double r[restrict n], double y[restrict n], double z[restrict n])
{
	y[0] = -r[0];
	double beta = 1;
	double alpha = -r[0];
	for (int k = 1; k < n; k++) {
		beta = (1 - alpha * alpha) * beta;
		double sum = 0;
		for (int i = 0; i < k; i++)
			sum += r[k - i - 1] * y[i];
		alpha = -(r[k] + sum) / beta;
		for (int i = 0; i < k; i++)
			z[i] = y[i] + alpha * y[k - i - 1];
		for (int i = 0; i < k; i++)
			y[i] = z[i];
		y[k] = alpha;
	}
}

POLYBENCH
