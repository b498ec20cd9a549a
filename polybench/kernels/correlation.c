// correlation: Pearson's correlation of M attributes over N points, f64.
//
//     mean[j]    := sum over i of data[i][j] / N
//     stddev[j]  := sqrt(sum over i of (data[i][j] - mean[j])^2 / N), but 1 where that is at most 0.1
//     corr[j][k] := sum over i of (data[i][j] - mean[j]) (data[i][k] - mean[k]) / (N stddev[j] stddev[k])
//
// Only one triangle is computed, and then mirrored. With the suite's values all attributes are multiples of one: every
// correlation is 1 but for rounding.
//
//     size           M     N
//     MINI          28    32
//     SMALL         80   100
//     MEDIUM       240   260
//     LARGE       1200  1400
//     EXTRALARGE  2600  3000
//
// Operations: 7 M N + 3 M + 1 + N M (M-1).
// Live-out: corr.
#include "polybench.h"

#define NAME "correlation"
#define DATASETS(USE)                                                                                                          \
	USE(MINI, 28, 32)                                                                                                      \
	USE(SMALL, 80, 100)                                                                                                    \
	USE(MEDIUM, 240, 260)                                                                                                  \
	USE(LARGE, 1200, 1400)                                                                                                 \
	USE(EXTRALARGE, 2600, 3000)

static void *data, *corr, *mean, *stddev;
#define ARRAYS data, corr, mean, stddev

// Smaller deviations would be divided by next to nothing.
static const double least_stddev = 0.1;

NOINLINE void place(int m, int n)
{
	data = working(sizeof(double[n][m]));
	corr = live_out(sizeof(double[m][m]));
	mean = working(sizeof(double[m]));
	stddev = working(sizeof(double[m]));
}

NOINLINE void initialise(int m, int n, double data[n][m], double corr[m][m], double mean[m], double stddev[m])
{
	(void)corr, (void)mean, (void)stddev;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < m; j++)
			data[i][j] = (double)(i * j) / m + i;
}

INLINE void compute(int m, int n, double data[restrict n][m], double corr[restrict m][m], double mean[restrict m],
		    double stddev[restrict m])
{
	for (int j = 0; j < m; j++) {
		mean[j] = 0;
		for (int i = 0; i < n; i++)
			mean[j] += data[i][j];
		mean[j] /= n;
	}
	for (int j = 0; j < m; j++) {
		stddev[j] = 0;
		for (int i = 0; i < n; i++)
			stddev[j] += (data[i][j] - mean[j]) * (data[i][j] - mean[j]);
		stddev[j] = __builtin_sqrt(stddev[j] / n);
		stddev[j] = stddev[j] <= least_stddev ? 1 : stddev[j];
	}

	// Columns with mean 0 and length 1: their products are the correlations.
	const double root = __builtin_sqrt((double)n);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < m; j++) {
			data[i][j] -= mean[j];
			data[i][j] /= root * stddev[j];
		}
	for (int j = 0; j < m; j++) {
		corr[j][j] = 1;
		for (int k = j + 1; k < m; k++) {
			corr[j][k] = 0;
			for (int i = 0; i < n; i++)
				corr[j][k] += data[i][j] * data[i][k];
			corr[k][j] = corr[j][k];
		}
	}
}

POLYBENCH
