// Eratosthenes' sieve, n times over, with a smaller limit each time (from 131,072 down by one).
// What it measures: byte stores with a stride that is only known at run time, and a scan. Crossing out cannot be
// vectorised; clearing and counting can, and do so by themselves.
#include "kernel.h"

#define LIMIT 131072

static uint8_t composite[LIMIT];

static uint32_t primes_below(int32_t limit)
{
	for (int32_t i = 0; i < limit; i++)
		composite[i] = 0;
	for (int32_t i = 2; i * i < limit; i++)
		if (!composite[i])
			for (int32_t multiple = i * i; multiple < limit; multiple += i)
				composite[multiple] = 1;
	uint32_t count = 0;
	for (int32_t i = 2; i < limit; i++)
		count += !composite[i];
	return count;
}

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 1 && n <= LIMIT - 2);
	uint64_t sum = CHECKSUM_SEED;
	for (int32_t i = 0; i < n; i++)
		sum = checksum(sum, primes_below(LIMIT - i));
	return (int64_t)sum;
}
