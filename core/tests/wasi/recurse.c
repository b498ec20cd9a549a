/*
 * Recursion without end. It must end in a trap of this guest and leave the host alone.
 *
 * Without an argument only the engine's call stack fills. With `linear`, each call also takes a kilobyte of the stack in linear
 * memory, which lies below the data: there the access below address 0 traps.
 */
#include <stdio.h>
#include <string.h>

static volatile unsigned depth;
static volatile unsigned bottom = 0xffffffff; /* never reached, which the compiler does not know */

static unsigned calls(unsigned n)
{
	depth = n;
	return n == bottom ? n : calls(n + 1) + depth;
}

static unsigned frames(unsigned n)
{
	volatile char frame[1024];

	frame[n % sizeof frame] = (char)n;
	return n == bottom ? n : frames(n + 1) + (unsigned)frame[0];
}

int main(int argc, char **argv)
{
	unsigned (*volatile recurse)(unsigned) = argc > 1 && strcmp(argv[1], "linear") == 0 ? frames : calls;

	printf("recursing\n");
	fflush(stdout);
	printf("came back: %u\n", recurse(0));
	return 0;
}
