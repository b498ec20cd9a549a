// doitgen: product of a tensor with a matrix, from multiresolution analysis, f64.
//
//     A[r][q][p] := sum over s of A[r][q][s] C4[s][p]         A: NR x NQ x NP,  C4: NP x NP
//
//     size         NQ   NR   NP
//     MINI          8   10   12
//     SMALL        20   25   30
//     MEDIUM       40   50   60
//     LARGE       140  150  160
//     EXTRALARGE  220  250  270
//
// Operations: 2 NR NQ NP^2.
// Live-out: A.
#include "polybench.h"

#define NAME "doitgen"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 8, 10, 12)                                                                                                   \
	USE(SMALL, 20, 25, 30)                                                                                                 \
	USE(MEDIUM, 40, 50, 60)                                                                                                \
	USE(LARGE, 140, 150, 160)                                                                                              \
	USE(EXTRALARGE, 220, 250, 270)

static void *A, *C4, *sum;
#define ARRAYS A, C4, sum

NOINLINE void place(int nq, int nr, int np)
{
	A = live_out(sizeof(double[nr][nq][np]));
	C4 = working(sizeof(double[np][np]));
	sum = working(sizeof(double[np]));
}

NOINLINE void initialise(int nq, int nr, int np, double A[nr][nq][np], double C4[np][np], double sum[np])
{
	(void)sum;
	for (int r = 0; r < nr; r++)
		for (int q = 0; q < nq; q++)
			for (int p = 0; p < np; p++)
				A[r][q][p] = (double)((r * q + p) % np) / np;
	for (int s = 0; s < np; s++)
		for (int p = 0; p < np; p++)
			C4[s][p] = (double)(s * p % np) / np;
}

INLINE void compute(int nq, int nr, int np, double A[restrict nr][nq][np], const double C4[restrict np][np],
		    double sum[restrict np])
{
	for (int r = 0; r < nr; r++)
		for (int q = 0; q < nq; q++) {
			for (int p = 0; p < np; p++) {
				sum[p] = 0;
				for (int s = 0; s < np; s++)
					sum[p] += A[r][q][s] * C4[s][p];
			}
			for (int p = 0; p < np; p++)
				A[r][q][p] = sum[p];
		}
}

POLYBENCH
