// The nth Fibonacci number by naive recursion.
// What it measures: direct calls, and nothing else; there is no loop and nothing to vectorise, so there is no SIMD build.
#include "kernel.h"

static int64_t fibonacci(int32_t n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 0 && n <= 60);
	return fibonacci(n);
}
