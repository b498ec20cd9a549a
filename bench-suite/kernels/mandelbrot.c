// The Mandelbrot set on n x n points, up to 200 iterations each; the checksum is over the counts.
// What it measures: a short loop of f64 arithmetic that ends by its data. The SIMD build takes two points side by side; a
// lane that has ended stops counting, and its value goes on unread.
#include "kernel.h"

#define ITERATIONS_MAX 200

#ifdef __wasm_simd128__

static uint64_t two_points(uint64_t sum, double x0, double x1, double y)
{
	v128_t real = wasm_f64x2_make(x0, x1), imaginary = wasm_f64x2_splat(y);
	v128_t r = wasm_f64x2_const_splat(0), i = r, count = r;
	v128_t inside = wasm_i64x2_const_splat(-1);
	for (int k = 0; k < ITERATIONS_MAX; k++) {
		v128_t r2 = wasm_f64x2_mul(r, r), i2 = wasm_f64x2_mul(i, i);
		inside = wasm_v128_and(inside, wasm_f64x2_le(wasm_f64x2_add(r2, i2), wasm_f64x2_const_splat(4)));
		if (!wasm_v128_any_true(inside))
			break;
		count = wasm_i64x2_sub(count, inside);
		v128_t ri = wasm_f64x2_mul(r, i);
		i = wasm_f64x2_add(wasm_f64x2_add(ri, ri), imaginary);
		r = wasm_f64x2_add(wasm_f64x2_sub(r2, i2), real);
	}
	sum = checksum(sum, (uint64_t)wasm_i64x2_extract_lane(count, 0));
	return checksum(sum, (uint64_t)wasm_i64x2_extract_lane(count, 1));
}

#else

static uint64_t iterations(double x, double y)
{
	double r = 0, i = 0;
	uint64_t count = 0;
	for (; count < ITERATIONS_MAX; count++) {
		double r2 = r * r, i2 = i * i;
		if (!(r2 + i2 <= 4))
			break;
		double ri = r * i;
		i = ri + ri + y;
		r = r2 - i2 + x;
	}
	return count;
}

static uint64_t two_points(uint64_t sum, double x0, double x1, double y)
{
	sum = checksum(sum, iterations(x0, y));
	return checksum(sum, iterations(x1, y));
}

#endif

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 2 && n <= 16384 && n % 2 == 0);
	double step = 3.0 / n;
	uint64_t sum = CHECKSUM_SEED;
	for (int32_t row = 0; row < n; row++)
		for (int32_t column = 0; column < n; column += 2)
			sum = two_points(sum, column * step - 2, (column + 1) * step - 2, row * step - 1.5);
	return (int64_t)sum;
}
