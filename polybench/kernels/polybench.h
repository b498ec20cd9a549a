// What the 30 kernels share: memory, the functions that an engine or `native.c` calls, and the checksum.
//
// A kernel's file includes this, and then says, from top to bottom:
//
//     #define NAME "gemm"                  the kernel's name
//     #define DATASETS(USE) USE(MINI, 20, 25, 30) ...   the dimensions of each dataset size
//     static void *C, *A, *B;              its arrays
//     #define ARRAYS C, A, B               the same, as arguments
//     place(dimensions)                    calls live_out() or working() once per array
//     initialise(dimensions, arrays)       writes the initial values; all bytes are 0 before
//     compute(dimensions, arrays)          the kernel
//     POLYBENCH
//
// `POLYBENCH` makes from that the exported functions: prepare, kernel, outputs, output, output_bytes, checksum.
//
// Dimensions are arguments and arrays are pointers to arrays of variable length, so the text reads like the formula; yet
// `compute` is expanded once per dataset size, in a function of its own, where the dimensions are constants. Compilers so see
// what they see in the suite, where dimensions are macros, and one binary serves all sizes.
//
// Memory is one region that only grows. Arrays lie in it one after the other:
//
//     region                                        a multiple of 64 bytes each
//     | C .......... | A .............. | B ..................... |
//
// The whole region is zeroed by every prepare, so that results depend on nothing that ran before, and so that no page is
// touched for the first time while a clock runs.
//
// Freestanding C17: no library, no import. Floating-point operations are those written, in the order written, never
// contracted: all compilers, targets and engines must give the same bits.
#ifndef LUGE_POLYBENCH_H
#define LUGE_POLYBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__FAST_MATH__) || (defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0)
#error "results are compared bit for bit: build without -ffast-math, for a target that does not widen intermediate results"
#endif

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name), used))
#else
#define EXPORT(name)
#endif

// Dataset sizes, as `prepare` takes them.
enum { MINI, SMALL, MEDIUM, LARGE, EXTRALARGE };

// What `prepare` answers.
enum { PREPARED, UNKNOWN_SIZE, NO_MEMORY };

EXPORT(prepare) int32_t prepare(int32_t size);
EXPORT(kernel) void kernel(void);
EXPORT(outputs) int32_t outputs(void);
EXPORT(output) void *output(int32_t index);
EXPORT(output_bytes) int64_t output_bytes(int32_t index);
EXPORT(checksum) int64_t checksum(void);

#ifdef __wasm__

// The region begins where the linker's data ends, and is the rest of linear memory.
extern unsigned char __heap_base;

INLINE unsigned char *region(void)
{
	return (unsigned char *)(((uintptr_t)&__heap_base + 63) & ~(uintptr_t)63);
}

// Makes the first `bytes` bytes of the region usable. False where there is no such memory.
static inline bool region_holds(uint64_t bytes)
{
	const uint64_t page = 65536;
	const uint64_t pages = ((uint64_t)(uintptr_t)region() + bytes + page - 1) / page;
	const uint64_t have = __builtin_wasm_memory_size(0);
	if (pages > 65536)
		return false;
	return pages <= have || __builtin_wasm_memory_grow(0, pages - have) != (size_t)-1;
}

#else

// Natively, `native.c` holds the region.
extern const char polybench_name[];
unsigned char *region(void);
bool region_holds(uint64_t bytes);

#endif

// No kernel has more live-out arrays.
#define MAX_OUTPUTS 3

static uint64_t region_used;

static int32_t output_count;
static struct {
	void *data;
	uint64_t bytes;
} output_arrays[MAX_OUTPUTS];

// The next array: `bytes` bytes, aligned to 64.
static inline void *working(uint64_t bytes)
{
	const uint64_t at = region_used;
	region_used = (at + bytes + 63) & ~(uint64_t)63;
	return region() + at;
}

// The same, for an array that is a result.
static inline void *live_out(uint64_t bytes)
{
	void *const data = working(bytes);
	output_arrays[output_count].data = data;
	output_arrays[output_count].bytes = bytes;
	output_count++;
	return data;
}

// FNV-1a over the 64-bit words of the live-out arrays, with a shift so that high bits reach low ones. A last incomplete word
// is filled with zeros.
static inline uint64_t hash_outputs(void)
{
	uint64_t sum = 0xcbf29ce484222325u;
	for (int32_t i = 0; i < output_count; i++) {
		const unsigned char *const data = output_arrays[i].data;
		const uint64_t bytes = output_arrays[i].bytes;
		for (uint64_t at = 0; at < bytes; at += sizeof(uint64_t)) {
			uint64_t word = 0;
			if (bytes - at >= sizeof word)
				__builtin_memcpy(&word, data + at, sizeof word);
			else
				for (uint64_t byte = at; byte < bytes; byte++)
					word |= (uint64_t)data[byte] << 8 * (byte - at);
			sum = (sum ^ word) * 0x100000001b3u;
			sum ^= sum >> 29;
		}
	}
	return sum;
}

// A dense positive definite matrix whose factors are known: A = L L^T, where L[i][j] = 1 - j/N below the diagonal, 1 on it and 0
// above. As rows of L differ in length only, A[i][j] depends on min(i, j) alone, and takes O(N^2):
//
//     A[i][j] = sum over k < j of (1 - k/N)^2 + L[i][j]         j <= i
static inline void fill_positive_definite(int n, double A[n][n])
{
	double squares = 0;
	for (int j = 0; j < n; j++) {
		const double below = 1 - (double)j / n;
		A[j][j] = squares + 1;
		for (int i = j + 1; i < n; i++)
			A[i][j] = A[j][i] = squares + below;
		squares += below * below;
	}
}

#define POLYBENCH_PLACE(size, ...)                                                                                             \
	case size:                                                                                                             \
		place(__VA_ARGS__);                                                                                            \
		break;
#define POLYBENCH_INITIALISE(size, ...)                                                                                        \
	case size:                                                                                                             \
		initialise(__VA_ARGS__, ARRAYS);                                                                               \
		break;
#define POLYBENCH_COMPUTE(size, ...)                                                                                           \
	NOINLINE void compute_##size(void)                                                                                     \
	{                                                                                                                      \
		compute(__VA_ARGS__, ARRAYS);                                                                                  \
	}
#define POLYBENCH_CALL(size, ...)                                                                                              \
	case size:                                                                                                             \
		compute_##size();                                                                                              \
		break;

#ifdef __wasm__
#define POLYBENCH_NAME
#else
#define POLYBENCH_NAME const char polybench_name[] = NAME;
#endif

#define POLYBENCH                                                                                                              \
	POLYBENCH_NAME                                                                                                         \
	DATASETS(POLYBENCH_COMPUTE)                                                                                            \
	static int32_t prepared_size = -1;                                                                                     \
                                                                                                                               \
	int32_t prepare(int32_t size)                                                                                          \
	{                                                                                                                      \
		prepared_size = -1;                                                                                            \
		region_used = 0;                                                                                               \
		output_count = 0;                                                                                              \
		switch (size) {                                                                                                \
			DATASETS(POLYBENCH_PLACE)                                                                              \
		default:                                                                                                       \
			return UNKNOWN_SIZE;                                                                                   \
		}                                                                                                              \
		if (!region_holds(region_used)) {                                                                              \
			output_count = 0;                                                                                      \
			return NO_MEMORY;                                                                                      \
		}                                                                                                              \
		__builtin_memset(region(), 0, region_used);                                                                    \
		switch (size) {                                                                                                \
			DATASETS(POLYBENCH_INITIALISE)                                                                         \
		}                                                                                                              \
		prepared_size = size;                                                                                          \
		return PREPARED;                                                                                               \
	}                                                                                                                      \
                                                                                                                               \
	void kernel(void)                                                                                                      \
	{                                                                                                                      \
		switch (prepared_size) {                                                                                       \
			DATASETS(POLYBENCH_CALL)                                                                               \
		default:                                                                                                       \
			__builtin_trap();                                                                                      \
		}                                                                                                              \
	}                                                                                                                      \
                                                                                                                               \
	int32_t outputs(void)                                                                                                  \
	{                                                                                                                      \
		return output_count;                                                                                           \
	}                                                                                                                      \
                                                                                                                               \
	void *output(int32_t index)                                                                                            \
	{                                                                                                                      \
		return index >= 0 && index < output_count ? output_arrays[index].data : NULL;                                  \
	}                                                                                                                      \
                                                                                                                               \
	int64_t output_bytes(int32_t index)                                                                                    \
	{                                                                                                                      \
		return index >= 0 && index < output_count ? (int64_t)output_arrays[index].bytes : 0;                           \
	}                                                                                                                      \
                                                                                                                               \
	int64_t checksum(void)                                                                                                 \
	{                                                                                                                      \
		return (int64_t)hash_outputs();                                                                                \
	}

#endif
