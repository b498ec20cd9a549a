/*
 * Ordinary C that knows nothing of WebAssembly: formatted output, the heap, sorting, line input, standard error, exit code 3.
 *
 * Prints one line per feature, so that a difference names what broke.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void formats(void)
{
	int written = 0;

	printf("int %d %5d|%-5d|%05d %+d %i\n", -42, 42, 42, 42, 42, INT32_MIN);
	printf("unsigned %u %o %x %X %#x %#o\n", 3000000000u, 8u, 0xbeefu, 0xbeefu, 255u, 8u);
	printf("wide %lld %llu %llx %zu %jd\n", INT64_MIN + 1LL, UINT64_MAX + 0ULL, 0x123456789abcdefULL, sizeof(void *),
	       (intmax_t)-7);
	printf("short %hd %hhd %hu\n", (short)-300, (signed char)-3, (unsigned short)65535);
	printf("double %f %.3f %10.2f|%-10.2f|%e %E %g %G\n", 3.14159265358979, 2.0 / 3.0, 1234.567, 1234.567, 12345.678,
	       0.00012, 1e10, 1e-5);
	printf("exact %.17g %.17g %a %.0f\n", 0.1, 1.0 / 3.0, 1.5, 1e22);
	printf("special %f %f %f %g\n", HUGE_VAL, -HUGE_VAL, fabs(NAN), -0.0);
	printf("string %s|%10s|%-10s|%.3s|%*.*s|%c%c\n", "plain", "right", "left", "cut off", 8, 2, "star", 'o', 'k');
	printf("percent %% %n", &written);
	printf("after %d bytes\n", written);
}

static void heap(void)
{
	size_t sum = 0;
	char *blocks[100];
	uint32_t *grown = NULL;

	for (int i = 0; i < 100; i++) {
		size_t size = (size_t)(i * 997 % 5000) + 1;
		blocks[i] = malloc(size);
		memset(blocks[i], i, size);
	}
	for (int i = 0; i < 100; i += 2)
		free(blocks[i]);
	for (int i = 1; i < 100; i += 2) {
		sum += (unsigned char)blocks[i][i * 997 % 5000];
		free(blocks[i]);
	}
	for (uint32_t n = 1; n <= 1 << 16; n *= 2) {
		grown = realloc(grown, n * sizeof *grown);
		for (uint32_t i = n / 2; i < n; i++)
			grown[i] = i;
	}
	for (uint32_t i = 0; i < 1 << 16; i++)
		sum += grown[i];
	free(grown);

	int *zeros = calloc(1000, sizeof *zeros);
	for (int i = 0; i < 1000; i++)
		sum += (size_t)zeros[i];
	free(zeros);
	printf("heap %zu\n", sum);
}

static int ascending(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

static void sorting(void)
{
	int numbers[200];
	uint32_t random = 12345;

	for (int i = 0; i < 200; i++) {
		random = random * 1664525u + 1013904223u;
		numbers[i] = (int)(random >> 16) - 32768;
	}
	qsort(numbers, 200, sizeof *numbers, ascending);
	for (int i = 1; i < 200; i++)
		if (numbers[i - 1] > numbers[i])
			printf("sort broken at %d\n", i);
	int *found = bsearch(&numbers[77], numbers, 200, sizeof *numbers, ascending);
	printf("sort %d %d %d found %d\n", numbers[0], numbers[100], numbers[199], *found == numbers[77]);
}

static void parsing(void)
{
	char *end;
	int a;
	double b;
	char word[16];

	errno = 0;
	long big = strtol("99999999999", &end, 10);
	printf("strtol %ld errno %s end '%s'\n", big, errno == ERANGE ? "ERANGE" : "other", end);
	double small = strtod("1.25e-3xyz", &end);
	printf("strtod %.17g rest '%s'\n", small, end);
	printf("sscanf %d", sscanf("17 2.5 words here", "%d %lf %15s", &a, &b, word));
	printf(" %d %g %s\n", a, b, word);
}

static void lines(void)
{
	char line[64];
	int count = 0;

	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		for (char *c = line; *c != '\0'; c++)
			*c = (char)toupper((unsigned char)*c);
		printf("line %d '%s'\n", ++count, line);
	}
	printf("stdin %d lines eof %d error %d\n", count, feof(stdin) != 0, ferror(stdin) != 0);
}

int main(void)
{
	formats();
	heap();
	sorting();
	parsing();
	lines();
	fprintf(stderr, "to standard error: %s %d\n", "done", 1);
	return 3;
}
