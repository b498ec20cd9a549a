/*
 * SHA-256 of the request body: 64 hexadecimal digits and a newline, as `sha256sum` prints them.
 *
 * Written from FIPS PUB 180-4, "Secure Hash Standard" (NIST, August 2015); section numbers below are that document's, and
 * the names are its names: a..h are the working variables, W the message schedule, H the hash value.
 */
#include "body.h"

#include <stdint.h>

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8 };

/* 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* 5.3.3: the first 32 bits of the fractional parts of the square roots of the first 8 primes. */
static uint32_t H[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* 4.1.2: the functions of SHA-256, with ROTR and SHR of 3.2. */
static uint32_t rotr(uint32_t x, int n)  { return x >> n | x << (32 - n); }
static uint32_t ch(uint32_t x, uint32_t y, uint32_t z)  { return (x & y) ^ (~x & z); }
static uint32_t maj(uint32_t x, uint32_t y, uint32_t z) { return (x & y) ^ (x & z) ^ (y & z); }
static uint32_t sum0(uint32_t x)   { return rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22); }
static uint32_t sum1(uint32_t x)   { return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25); }
static uint32_t sigma0(uint32_t x) { return rotr(x, 7) ^ rotr(x, 18) ^ x >> 3; }
static uint32_t sigma1(uint32_t x) { return rotr(x, 17) ^ rotr(x, 19) ^ x >> 10; }

static uint32_t load_big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* 6.2.2: one block of the message into the hash value. */
static void compress(const uint8_t *block)
{
	uint32_t W[64];
	uint32_t a = H[0], b = H[1], c = H[2], d = H[3], e = H[4], f = H[5], g = H[6], h = H[7];

	for (int t = 0; t < 16; t++)
		W[t] = load_big_endian(block + 4 * t);
	for (int t = 16; t < 64; t++)
		W[t] = sigma1(W[t - 2]) + W[t - 7] + sigma0(W[t - 15]) + W[t - 16];

	for (int t = 0; t < 64; t++) {
		uint32_t T1 = h + sum1(e) + ch(e, f, g) + K[t] + W[t];
		uint32_t T2 = sum0(a) + maj(a, b, c);
		h = g;
		g = f;
		f = e;
		e = d + T1;
		d = c;
		c = b;
		b = a;
		a = T1 + T2;
	}
	H[0] += a;
	H[1] += b;
	H[2] += c;
	H[3] += d;
	H[4] += e;
	H[5] += f;
	H[6] += g;
	H[7] += h;
}

/* 5.1.1: a one bit, zeros, and the length in bits as a 64-bit integer, so that the message fills whole blocks. */
static void finish(uint8_t *tail, size_t used, uint64_t message_bytes)
{
	uint64_t bits = message_bytes * 8;
	size_t total = used + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;

	tail[used] = 0x80;
	memset(tail + used + 1, 0, total - used - 1);
	for (int i = 0; i < LENGTH_BYTES; i++)
		tail[total - 1 - (size_t)i] = (uint8_t)(bits >> (8 * i));
	for (size_t at = 0; at < total; at += BLOCK_BYTES)
		compress(tail + at);
}

int main(void)
{
	static uint8_t buffer[64 * 1024];
	static uint8_t tail[2 * BLOCK_BYTES];
	uint64_t message_bytes = 0;
	size_t got;

	/* Only the last piece is shorter than the buffer, whose size is a multiple of the block. */
	do {
		got = read_up_to(buffer, sizeof buffer);
		message_bytes += got;
		for (size_t at = 0; at + BLOCK_BYTES <= got; at += BLOCK_BYTES)
			compress(buffer + at);
	} while (got == sizeof buffer);

	size_t rest = got % BLOCK_BYTES;
	memcpy(tail, buffer + got - rest, rest);
	finish(tail, rest, message_bytes);

	char text[65];
	for (int i = 0; i < 64; i++)
		text[i] = "0123456789abcdef"[H[i / 8] >> (28 - 4 * (i % 8)) & 15];
	text[64] = '\n';
	write_all(STDOUT_FILENO, text, sizeof text);
	return 0;
}
