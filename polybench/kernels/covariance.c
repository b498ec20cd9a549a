// covariance: covariance of M attributes over N points, f64.
//
//     mean[j]   := sum over i of data[i][j] / N
//     cov[j][k] := sum over i of (data[i][j] - mean[j]) (data[i][k] - mean[k]) / (N - 1)
//
// Only one triangle is computed, and then mirrored.
//
//     size           M     N
//     MINI          28    32
//     SMALL         80   100
//     MEDIUM       240   260
//     LARGE       1200  1400
//     EXTRALARGE  2600  3000
//
// Operations: 2 M N + M + (2 N + 1) M (M+1) / 2.
// Live-out: cov.
#include "polybench.h"

#define NAME "covariance"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 28, 32)                                                                                                      \
	USE(SMALL, 80, 100)                                                                                                    \
	USE(MEDIUM, 240, 260)                                                                                                  \
	USE(LARGE, 1200, 1400)                                                                                                 \
	USE(EXTRALARGE, 2600, 3000)

static void *data, *cov, *mean;
#define ARRAYS data, cov, mean

NOINLINE void place(int m, int n)
{
	data = working(sizeof(double[n][m]));
	cov = live_out(sizeof(double[m][m]));
	mean = working(sizeof(double[m]));
}

NOINLINE void initialise(int m, int n, double data[n][m], double cov[m][m], double mean[m])
{
	(void)cov, (void)mean;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < m; j++)
			data[i][j] = (double)(i * j) / m;
}

INLINE void compute(int m, int n, double data[restrict n][m], double cov[restrict m][m], double mean[restrict m])
{
	for (int j = 0; j < m; j++) {
		mean[j] = 0;
		for (int i = 0; i < n; i++)
			mean[j] += data[i][j];
		mean[j] /= n;
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < m; j++)
			data[i][j] -= mean[j];
	for (int j = 0; j < m; j++)
		for (int k = j; k < m; k++) {
			cov[j][k] = 0;
			for (int i = 0; i < n; i++)
				cov[j][k] += data[i][j] * data[i][k];
			cov[j][k] /= n - 1;
			cov[k][j] = cov[j][k];
		}
}

POLYBENCH
