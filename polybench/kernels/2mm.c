// 2mm: two matrix products, f64.
//
//     D := alpha A B C + beta D         A: NI x NK,  B: NK x NJ,  C: NJ x NL,  D: NI x NL
//
//     size          NI    NJ    NK    NL
//     MINI          16    18    22    24
//     SMALL         40    50    70    80
//     MEDIUM       180   190   210   220
//     LARGE        800   900  1100  1200
//     EXTRALARGE  1600  1800  2200  2400
//
// Operations: 3 NI NJ NK + NI NL + 2 NI NJ NL.
// Live-out: D.
#include "polybench.h"

#define NAME "2mm"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 16, 18, 22, 24)                                                                                              \
	USE(SMALL, 40, 50, 70, 80)                                                                                             \
	USE(MEDIUM, 180, 190, 210, 220)                                                                                        \
	USE(LARGE, 800, 900, 1100, 1200)                                                                                       \
	USE(EXTRALARGE, 1600, 1800, 2200, 2400)

static void *AB, *A, *B, *C, *D;
#define ARRAYS AB, A, B, C, D

static const double alpha = 1.5;
static const double beta = 1.2;

NOINLINE void place(int ni, int nj, int nk, int nl)
{
	AB = working(sizeof(double[ni][nj]));
	A = working(sizeof(double[ni][nk]));
	B = working(sizeof(double[nk][nj]));
	C = working(sizeof(double[nj][nl]));
	D = live_out(sizeof(double[ni][nl]));
}

NOINLINE void initialise(int ni, int nj, int nk, int nl, double AB[ni][nj], double A[ni][nk], double B[nk][nj],
			 double C[nj][nl], double D[ni][nl])
{
	(void)AB;
	for (int i = 0; i < ni; i++)
		for (int k = 0; k < nk; k++)
			A[i][k] = (double)((i * k + 1) % ni) / ni;
	for (int k = 0; k < nk; k++)
		for (int j = 0; j < nj; j++)
			B[k][j] = (double)(k * (j + 1) % nj) / nj;
	for (int j = 0; j < nj; j++)
		for (int l = 0; l < nl; l++)
			C[j][l] = (double)((j * (l + 3) + 1) % nl) / nl;
	for (int i = 0; i < ni; i++)
		for (int l = 0; l < nl; l++)
			D[i][l] = (double)(i * (l + 2) % nk) / nk;
}

INLINE void compute(int ni, int nj, int nk, int nl, double AB[restrict ni][nj], const double A[restrict ni][nk],
		    const double B[restrict nk][nj], const double C[restrict nj][nl], double D[restrict ni][nl])
{
	// AB := alpha A B
	for (int i = 0; i < ni; i++)
		for (int j = 0; j < nj; j++) {
			AB[i][j] = 0;
			for (int k = 0; k < nk; k++)
				AB[i][j] += alpha * A[i][k] * B[k][j];
		}
	// D := AB C + beta D
	for (int i = 0; i < ni; i++)
		for (int l = 0; l < nl; l++) {
			D[i][l] *= beta;
			for (int j = 0; j < nj; j++)
				D[i][l] += AB[i][j] * C[j][l];
		}
}

POLYBENCH
