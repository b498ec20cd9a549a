// gemm: general matrix product (BLAS level 3), f64.
//
//     C := alpha A B + beta C         A: NI x NK,  B: NK x NJ,  C: NI x NJ
//
//     size          NI    NJ    NK
//     MINI          20    25    30
//     SMALL         60    70    80
//     MEDIUM       200   220   240
//     LARGE       1000  1100  1200
//     EXTRALARGE  2000  2300  2600
//
// Operations: NI NJ + NI NK + 2 NI NJ NK.
// Live-out: C.
#include "polybench.h"

#define NAME "gemm"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 20, 25, 30)                                                                                                  \
	USE(SMALL, 60, 70, 80)                                                                                                 \
	USE(MEDIUM, 200, 220, 240)                                                                                             \
	USE(LARGE, 1000, 1100, 1200)                                                                                           \
	USE(EXTRALARGE, 2000, 2300, 2600)

static void *C, *A, *B;
#define ARRAYS C, A, B

static const double alpha = 1.5;
static const double beta = 1.2;

NOINLINE void place(int ni, int nj, int nk)
{
	C = live_out(sizeof(double[ni][nj]));
	A = working(sizeof(double[ni][nk]));
	B = working(sizeof(double[nk][nj]));
}

NOINLINE void initialise(int ni, int nj, int nk, double C[ni][nj], double A[ni][nk], double B[nk][nj])
{
	for (int i = 0; i < ni; i++)
		for (int j = 0; j < nj; j++)
			C[i][j] = (double)((i * j + 1) % ni) / ni;
	for (int i = 0; i < ni; i++)
		for (int k = 0; k < nk; k++)
			A[i][k] = (double)(i * (k + 1) % nk) / nk;
	for (int k = 0; k < nk; k++)
		for (int j = 0; j < nj; j++)
			B[k][j] = (double)(k * (j + 2) % nj) / nj;
}

INLINE void compute(int ni, int nj, int nk, double C[restrict ni][nj], const double A[restrict ni][nk],
		    const double B[restrict nk][nj])
{
	for (int i = 0; i < ni; i++) {
		for (int j = 0; j < nj; j++)
			C[i][j] *= beta;
		for (int k = 0; k < nk; k++) {
			const double scaled = alpha * A[i][k];
			for (int j = 0; j < nj; j++)
				C[i][j] += scaled * B[k][j];
		}
	}
}

POLYBENCH
