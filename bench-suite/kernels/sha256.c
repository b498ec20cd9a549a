// SHA-256 (FIPS 180-4) of four messages of n blocks of 64 bytes, as compressed blocks without padding.
// What it measures: i32 rotates, xors and additions in long dependent chains with many live locals. The SIMD build puts one
// message into each lane of i32x4; the scalar build hashes one after the other.
#include "kernel.h"

#define MESSAGES 4
#define BLOCKS_MAX 1024

static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t initial_hash[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

// Words as the standard reads them (big-endian), the four messages side by side, so that both builds read one layout.
static uint32_t words[BLOCKS_MAX * 16][MESSAGES];
static uint32_t hashes[8][MESSAGES];

// A word of one message, or one of each of the four.
#ifdef __wasm_simd128__
typedef uint32_t word __attribute__((vector_size(16)));
#define LANES MESSAGES
#else
typedef uint32_t word;
#define LANES 1
#endif

static inline word rotate_right(word x, int count)
{
	return (x >> count) | (x << (32 - count));
}

static inline word load(const uint32_t *from)
{
	word value;
	__builtin_memcpy(&value, from, sizeof value);
	return value;
}

static void compress(int32_t block, int32_t lane, word hash[8])
{
	word w[64];
	for (int t = 0; t < 16; t++)
		w[t] = load(&words[block * 16 + t][lane]);
	for (int t = 16; t < 64; t++) {
		word s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ (w[t - 15] >> 3);
		word s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ (w[t - 2] >> 10);
		w[t] = w[t - 16] + s0 + w[t - 7] + s1;
	}
	word a = hash[0], b = hash[1], c = hash[2], d = hash[3];
	word e = hash[4], f = hash[5], g = hash[6], h = hash[7];
	for (int t = 0; t < 64; t++) {
		word s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
		word choice = (e & f) ^ (~e & g);
		word t1 = h + s1 + choice + round_constants[t] + w[t];
		word s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
		word majority = (a & b) ^ (a & c) ^ (b & c);
		word t2 = s0 + majority;
		h = g, g = f, f = e, e = d + t1;
		d = c, c = b, b = a, a = t1 + t2;
	}
	hash[0] += a, hash[1] += b, hash[2] += c, hash[3] += d;
	hash[4] += e, hash[5] += f, hash[6] += g, hash[7] += h;
}

EXPORT(run) int64_t run(int32_t n)
{
	require(n >= 1 && n <= BLOCKS_MAX * 1024);
	uint64_t random = 4;
	int32_t distinct = n < BLOCKS_MAX ? n : BLOCKS_MAX;
	for (int32_t i = 0; i < distinct * 16; i++)
		for (int32_t message = 0; message < MESSAGES; message++)
			words[i][message] = (uint32_t)next_random(&random);
	for (int32_t lane = 0; lane < MESSAGES; lane += LANES) {
		word hash[8];
		for (int i = 0; i < 8; i++)
			hash[i] = initial_hash[i] - (word){ 0 };
		// A message longer than the memory for it repeats itself.
		for (int32_t block = 0; block < n; block++)
			compress(block % BLOCKS_MAX, lane, hash);
		for (int i = 0; i < 8; i++)
			__builtin_memcpy(&hashes[i][lane], &hash[i], sizeof hash[i]);
	}
	uint64_t sum = CHECKSUM_SEED;
	for (int i = 0; i < 8; i++)
		for (int message = 0; message < MESSAGES; message++)
			sum = checksum(sum, hashes[i][message]);
	return (int64_t)sum;
}
