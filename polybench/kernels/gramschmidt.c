// gramschmidt: QR decomposition by the modified Gram-Schmidt process, f64.
//
//     A = Q R         A and Q: M x N,  R: N x N, upper triangular
//
//     R[k][k] := |A[.][k]|,  Q[.][k] := A[.][k] / R[k][k]
//     R[k][j] := Q[.][k] . A[.][j],  A[.][j] := A[.][j] - R[k][j] Q[.][k]         j > k,  for k = 0, 1, ... N-1
//
// The suite's matrices are wider than high. Of their columns the first M span all there is, so the last N - M columns of Q are
// made of rounding errors: of no meaning, but finite and the same bits everywhere. The suite's values repeat columns, which makes
// such a remainder exactly 0 and divides by it; scattered values do not.
//
//     size           M     N
//     MINI          20    30
//     SMALL         60    80
//     MEDIUM       200   240
//     LARGE       1000  1200
//     EXTRALARGE  2000  2600
//
// Operations: (3 M + 1) N + 2 M N (N-1).
// Live-out: R, Q.
#include "polybench.h"

#define NAME "gramschmidt"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 30)                                                                                                      \
	USE(SMALL, 60, 80)                                                                                                     \
	USE(MEDIUM, 200, 240)                                                                                                  \
	USE(LARGE, 1000, 1200)                                                                                                 \
	USE(EXTRALARGE, 2000, 2600)

static void *A, *R, *Q;
#define ARRAYS A, R, Q

NOINLINE void place(int m, int n)
{
	A = working(sizeof(double[m][n]));
	R = live_out(sizeof(double[n][n]));
	Q = live_out(sizeof(double[m][n]));
}

// A multiple of 2^-20 in [0, 1), from a mix of the indices: the output function of SplitMix64 (Steele, Lea, Flood, 2014).
static double scattered(int i, int j)
{
	uint64_t x = (uint64_t)i << 32 | (uint32_t)j;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	return (double)(x >> 44) * 0x1p-20;
}

NOINLINE void initialise(int m, int n, double A[m][n], double R[n][n], double Q[m][n])
{
	(void)R, (void)Q;
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
			A[i][j] = 100 * scattered(i, j) + 10;
}

INLINE void compute(int m, int n, double A[restrict m][n], double R[restrict n][n], double Q[restrict m][n])
{
	for (int k = 0; k < n; k++) {
		double squares = 0;
		for (int i = 0; i < m; i++)
			squares += A[i][k] * A[i][k];
		R[k][k] = __builtin_sqrt(squares);
		for (int i = 0; i < m; i++)
			Q[i][k] = A[i][k] / R[k][k];
		for (int j = k + 1; j < n; j++) {
			R[k][j] = 0;
			for (int i = 0; i < m; i++)
				R[k][j] += Q[i][k] * A[i][j];
			for (int i = 0; i < m; i++)
				A[i][j] -= Q[i][k] * R[k][j];
		}
	}
}

POLYBENCH
