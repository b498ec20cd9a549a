// n sweeps of Jacobi's 5-point stencil over a 256 x 256 grid of doubles with a fixed rim.
// What it measures: several f64 loads at constant offsets per element, in constant-size arrays. Vectorises by itself.
#include "kernel.h"

#define INNER 256
#define SIDE (INNER + 2)

static double grids[2][SIDE][SIDE];

static void sweep(double (*restrict to)[SIDE], double (*restrict from)[SIDE])
{
	for (int32_t i = 1; i <= INNER; i++)
		for (int32_t j = 1; j <= INNER; j++)
			to[i][j] = 0.2 * (from[i][j] + from[i - 1][j] + from[i + 1][j] + from[i][j - 1] + from[i][j + 1]);
}

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 1 && n <= 100000);
	uint64_t random = 2;
	for (int32_t i = 0; i < SIDE; i++)
		for (int32_t j = 0; j < SIDE; j++)
			grids[0][i][j] = grids[1][i][j] = next_fraction(&random);
	for (int32_t i = 0; i < n; i++)
		sweep(grids[(i + 1) & 1], grids[i & 1]);
	uint64_t sum = CHECKSUM_SEED;
	for (int32_t i = 0; i < SIDE; i++)
		for (int32_t j = 0; j < SIDE; j++)
			sum = checksum(sum, bits_of(grids[n & 1][i][j]));
	return (int64_t)sum;
}
