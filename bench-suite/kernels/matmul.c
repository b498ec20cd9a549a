// Product of two n x n matrices of doubles, n up to 512: the loop order i, k, j, which walks rows only.
// What it measures: f64 multiply and add, strided addresses, the innermost loop's overhead. Vectorises along j by itself.
#include "kernel.h"

#define SIZE_MAX_N 512

static double a[SIZE_MAX_N * SIZE_MAX_N];
static double b[SIZE_MAX_N * SIZE_MAX_N];
static double c[SIZE_MAX_N * SIZE_MAX_N];

static void multiply(int32_t n)
{
	for (int32_t i = 0; i < n; i++) {
		for (int32_t k = 0; k < n; k++) {
			double factor = a[i * n + k];
			for (int32_t j = 0; j < n; j++)
				c[i * n + j] += factor * b[k * n + j];
		}
	}
}

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 1 && n <= SIZE_MAX_N);
	uint64_t random = 1;
	for (int32_t i = 0; i < n * n; i++) {
		a[i] = next_fraction(&random) - 0.5;
		b[i] = next_fraction(&random) - 0.5;
		c[i] = 0;
	}
	multiply(n);
	uint64_t sum = CHECKSUM_SEED;
	for (int32_t i = 0; i < n * n; i++)
		sum = checksum(sum, bits_of(c[i]));
	return (int64_t)sum;
}
