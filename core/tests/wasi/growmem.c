/*
 * Takes memory by the MiB until the host gives no more, and writes into each; prints how many it got.
 *
 * argv[1] bounds the number (default 4096, all of a 32-bit memory). Refused memory is a NULL from malloc, never a trap.
 */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	unsigned long limit = argc > 1 ? strtoul(argv[1], NULL, 10) : 4096;
	unsigned long got = 0;
	volatile char *block;

	while (got < limit && (block = malloc(1 << 20)) != NULL) {
		block[0] = block[(1 << 20) - 1] = (char)got;
		got++;
	}
	printf("%lu MiB\n", got);
	return 0;
}
