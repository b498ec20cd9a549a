/*
 * Loads and stores whose base plus offset passes 2^32. The sum is 33 bits wide and must trap: an engine that adds in 32 bits
 * lands at the bottom of memory, where the data is.
 *
 * The offset must stand in the instruction, which only assembly guarantees. argv[1] says which access to try; `control` is
 * one within bounds, which shows that the instructions themselves are right.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LOAD(instruction, base, offset)                                                                                   \
	({                                                                                                                \
		uint32_t value;                                                                                           \
		__asm__ volatile("local.get %1\n\t" instruction " " #offset "\n\tlocal.set %0"                            \
				 : "=r"(value)                                                                            \
				 : "r"((uint32_t)(base))                                                                  \
				 : "memory");                                                                             \
		value;                                                                                                    \
	})

static char text[4096] = "control";

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "load8";
	uint32_t got;

	printf("trying %s\n", kind);
	fflush(stdout);
	if (strcmp(kind, "control") == 0) {
		got = LOAD("i32.load8_u", (uintptr_t)text - 32, 32);
	} else if (strcmp(kind, "load8") == 0) {
		got = LOAD("i32.load8_u", 0xfffffff0u, 2048); /* 2032 when wrapped */
	} else if (strcmp(kind, "load32") == 0) {
		got = LOAD("i32.load", 0xfffffffcu, 1028); /* 1024 when wrapped */
	} else if (strcmp(kind, "far") == 0) {
		got = LOAD("i32.load8_u", 0x80000000u, 2147484672); /* 1024 when wrapped: both halves are large */
	} else if (strcmp(kind, "store") == 0) {
		__asm__ volatile("local.get %0\n\ti32.const 120\n\ti32.store8 2048" : : "r"(0xfffffff0u) : "memory");
		got = 0;
	} else {
		fprintf(stderr, "usage: wrap control|load8|load32|far|store\n");
		return 2;
	}
	printf("%s gave %u\n", kind, got);
	return 0;
}
