// What every kernel shares: the export, the checksum and the pseudo-random inputs.
//
// A kernel is one export, `run(n) -> i64`. It builds its input in static memory, does work that grows with n, and answers a
// checksum of the results' bits, so that two engines that differ in one bit of one result differ in the answer. There is no
// import, no C library and no state that matters from one call to the next: equal n, equal answer.
//
// The SIMD build (`__wasm_simd128__`) must give the same checksum: vectors go only where lanes do not depend on each
// other, and floating-point operations keep their order.
#ifndef LUGE_KERNEL_H
#define LUGE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

#define EXPORT(name) __attribute__((export_name(#name), used))

#define CHECKSUM_SEED 0xcbf29ce484222325u

// FNV-1a over 64-bit words, with a shift so that high bits reach low ones.
static inline uint64_t checksum(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x100000001b3u;
	return sum ^ (sum >> 29);
}

static inline uint64_t bits_of(double value)
{
	uint64_t bits;
	__builtin_memcpy(&bits, &value, sizeof bits);
	return bits;
}

// Marsaglia's xorshift64 (Journal of Statistical Software 8(14), 2003); the state is never 0.
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

// A multiple of 2^-20 in [0, 1).
static inline double next_fraction(uint64_t *state)
{
	return (double)(next_random(state) >> 44) * 0x1p-20;
}

// An n out of range is the caller's mistake and ends in a trap, never in a wrong measurement.
static inline void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

#endif
