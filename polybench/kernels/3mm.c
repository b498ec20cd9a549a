// 3mm: three matrix products, f64.
//
//     G := (A B) (C D)         A: NI x NK,  B: NK x NJ,  C: NJ x NM,  D: NM x NL,  G: NI x NL
//
//     size          NI    NJ    NK    NL    NM
//     MINI          16    18    20    22    24
//     SMALL         40    50    60    70    80
//     MEDIUM       180   190   200   210   220
//     LARGE        800   900  1000  1100  1200
//     EXTRALARGE  1600  1800  2000  2200  2400
//
// Operations: 2 (NI NJ NK + NJ NL NM + NI NJ NL).
// Live-out: G.
#include "polybench.h"

#define NAME "3mm"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 16, 18, 20, 22, 24)                                                                                          \
	USE(SMALL, 40, 50, 60, 70, 80)                                                                                         \
	USE(MEDIUM, 180, 190, 200, 210, 220)                                                                                   \
	USE(LARGE, 800, 900, 1000, 1100, 1200)                                                                                 \
	USE(EXTRALARGE, 1600, 1800, 2000, 2200, 2400)

static void *AB, *A, *B, *CD, *C, *D, *G;
#define ARRAYS AB, A, B, CD, C, D, G

NOINLINE void place(int ni, int nj, int nk, int nl, int nm)
{
	AB = working(sizeof(double[ni][nj]));
	A = working(sizeof(double[ni][nk]));
	B = working(sizeof(double[nk][nj]));
	CD = working(sizeof(double[nj][nl]));
	C = working(sizeof(double[nj][nm]));
	D = working(sizeof(double[nm][nl]));
	G = live_out(sizeof(double[ni][nl]));
}

NOINLINE void initialise(int ni, int nj, int nk, int nl, int nm, double AB[ni][nj], double A[ni][nk], double B[nk][nj],
			 double CD[nj][nl], double C[nj][nm], double D[nm][nl], double G[ni][nl])
{
	(void)AB, (void)CD, (void)G;
	for (int i = 0; i < ni; i++)
		for (int k = 0; k < nk; k++)
			A[i][k] = (double)((i * k + 1) % ni) / (5 * ni);
	for (int k = 0; k < nk; k++)
		for (int j = 0; j < nj; j++)
			B[k][j] = (double)((k * (j + 1) + 2) % nj) / (5 * nj);
	for (int j = 0; j < nj; j++)
		for (int m = 0; m < nm; m++)
			C[j][m] = (double)(j * (m + 3) % nl) / (5 * nl);
	for (int m = 0; m < nm; m++)
		for (int l = 0; l < nl; l++)
			D[m][l] = (double)((m * (l + 2) + 2) % nk) / (5 * nk);
}

// product := left right
INLINE void multiply(int rows, int inner, int columns, double product[restrict rows][columns],
		     double left[restrict rows][inner], double right[restrict inner][columns])
{
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < columns; j++) {
			product[i][j] = 0;
			for (int k = 0; k < inner; k++)
				product[i][j] += left[i][k] * right[k][j];
		}
}

INLINE void compute(int ni, int nj, int nk, int nl, int nm, double AB[restrict ni][nj], double A[restrict ni][nk],
		    double B[restrict nk][nj], double CD[restrict nj][nl], double C[restrict nj][nm],
		    double D[restrict nm][nl], double G[restrict ni][nl])
{
	multiply(ni, nk, nj, AB, A, B);
	multiply(nj, nm, nl, CD, C, D);
	multiply(ni, nj, nl, G, AB, CD);
}

POLYBENCH
