// Heapsort and quicksort of the same n numbers of 32 bits, n up to 2^20; both results go into the checksum.
// What it measures: branches that cannot be predicted, loads that depend on loads, recursion. Neither vectorises by itself; the
// SIMD build partitions by comparing four numbers at once and packing them with a byte shuffle from a table. Equal numbers
// cannot be told apart, so any correct partition sorts to the same answer.
#include "kernel.h"

#define COUNT_MAX (1 << 20)
#define INSERTION_MAX 16

// Room behind the last number for one vector store that is partly beyond it.
static uint32_t heap[COUNT_MAX];
static uint32_t numbers[COUNT_MAX + 4];

static void sift_down(int32_t root, int32_t count)
{
	uint32_t value = heap[root];
	for (;;) {
		int32_t child = 2 * root + 1;
		if (child >= count)
			break;
		if (child + 1 < count && heap[child] < heap[child + 1])
			child++;
		if (heap[child] <= value)
			break;
		heap[root] = heap[child];
		root = child;
	}
	heap[root] = value;
}

static void heapsort(int32_t count)
{
	for (int32_t root = count / 2 - 1; root >= 0; root--)
		sift_down(root, count);
	for (int32_t last = count - 1; last > 0; last--) {
		uint32_t largest = heap[0];
		heap[0] = heap[last];
		heap[last] = largest;
		sift_down(0, last);
	}
}

static void insertion_sort(int32_t from, int32_t to)
{
	for (int32_t i = from + 1; i < to; i++) {
		uint32_t value = numbers[i];
		int32_t hole = i;
		for (; hole > from && numbers[hole - 1] > value; hole--)
			numbers[hole] = numbers[hole - 1];
		numbers[hole] = value;
	}
}

static uint32_t median_of_three(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t low = a < b ? a : b, high = a < b ? b : a;
	return c < low ? low : c > high ? high : c;
}

// Both partitions move what is less than the pivot to the front of [from, to) and return how far that part reaches.
#ifdef __wasm_simd128__

static uint32_t others[COUNT_MAX + 4];
static uint8_t packing[16][16];

// packing[mask] moves the lanes whose bits are set to the front, in order.
static void fill_packing(void)
{
	for (int mask = 0; mask < 16; mask++) {
		int filled = 0;
		for (int lane = 0; lane < 4; lane++)
			if (mask >> lane & 1)
				for (int byte = 0; byte < 4; byte++)
					packing[mask][filled++] = (uint8_t)(lane * 4 + byte);
	}
}

static int32_t partition(int32_t from, int32_t to, uint32_t pivot)
{
	v128_t pivots = wasm_u32x4_splat(pivot);
	int32_t less = from, rest = 0, i = from;
	for (; i + 4 <= to; i += 4) {
		v128_t four = wasm_v128_load(&numbers[i]);
		uint32_t mask = wasm_i32x4_bitmask(wasm_u32x4_lt(four, pivots));
		int32_t count = __builtin_popcount(mask);
		// less <= i: a store of four never reaches a number that is still to be read.
		wasm_v128_store(&numbers[less], wasm_i8x16_swizzle(four, wasm_v128_load(packing[mask])));
		wasm_v128_store(&others[rest], wasm_i8x16_swizzle(four, wasm_v128_load(packing[mask ^ 15])));
		less += count;
		rest += 4 - count;
	}
	for (; i < to; i++) {
		uint32_t value = numbers[i];
		if (value < pivot)
			numbers[less++] = value;
		else
			others[rest++] = value;
	}
	__builtin_memcpy(&numbers[less], others, (size_t)rest * sizeof *others);
	return less;
}

#else

static void fill_packing(void)
{
}

static int32_t partition(int32_t from, int32_t to, uint32_t pivot)
{
	int32_t less = from;
	for (int32_t i = from; i < to; i++) {
		uint32_t value = numbers[i];
		if (value < pivot) {
			numbers[i] = numbers[less];
			numbers[less++] = value;
		}
	}
	return less;
}

#endif

static void quicksort(int32_t from, int32_t to)
{
	while (to - from > INSERTION_MAX) {
		uint32_t pivot = median_of_three(numbers[from], numbers[from + (to - from) / 2], numbers[to - 1]);
		int32_t middle = partition(from, to, pivot);
		if (middle == from) {
			// The pivot is the least number: put all its copies aside, or nothing would shrink.
			if (pivot == UINT32_MAX)
				return;
			from = partition(from, to, pivot + 1);
			continue;
		}
		// Recursion into the smaller part bounds its depth by the logarithm.
		if (middle - from < to - middle) {
			quicksort(from, middle);
			from = middle;
		} else {
			quicksort(middle, to);
			to = middle;
		}
	}
	insertion_sort(from, to);
}

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 1 && n <= COUNT_MAX);
	fill_packing();
	uint64_t random = 5;
	for (int32_t i = 0; i < n; i++)
		heap[i] = numbers[i] = (uint32_t)next_random(&random);
	heapsort(n);
	quicksort(0, n);
	uint64_t sum = CHECKSUM_SEED;
	for (int32_t i = 0; i < n; i++)
		sum = checksum(sum, (uint64_t)heap[i] << 32 | numbers[i]);
	return (int64_t)sum;
}
