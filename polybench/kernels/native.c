// The main program of a native build: one kernel, driven by lines on standard input and output.
//
//     driver                               this
//       │ ◄──────── ready DESCRIPTION ──┤
//       ├─ load NAME PATH ────────────► │   only the kernel's own name is known; the path does not matter
//       │ ◄── ok | unsupported WHY ─────┤
//       ├─ run NAME SIZE ─────────────► │   SIZE: 0 MINI ... 4 EXTRALARGE
//       │ ◄── ok CHECKSUM CPU WALL ─────┤   16 hexadecimal digits; nanoseconds of kernel() alone: thread's CPU time, elapsed
//       ├─ dump NAME PATH ────────────► │   writes the live-out arrays of the last run, one after the other
//       │ ◄── ok ───────────────────────┤
//
// `error WHY` answers everything else. The program ends with its input.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "polybench.h"

// As large as a 32-bit linear memory. Address space only: pages come when they are written.
#define REGION_BYTES ((uint64_t)4 << 30)

// A line holds a word, a name and a path.
#define MAX_LINE 8192

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "an unknown compiler"
#endif

static unsigned char *region_begin;

unsigned char *region(void)
{
	return region_begin;
}

bool region_holds(uint64_t bytes)
{
	return region_begin != NULL && bytes <= REGION_BYTES;
}

// False where the address space cannot be had; every prepare then says so.
static bool reserve_region(void)
{
	void *const begin = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (begin == MAP_FAILED)
		return false;
	region_begin = begin;
	return true;
}

static int64_t nanoseconds(clockid_t clock)
{
	struct timespec now;
	if (clock_gettime(clock, &now) != 0) {
		perror("clock_gettime");
		exit(EXIT_FAILURE);
	}
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void answer_load(const char *name)
{
	if (strcmp(name, polybench_name) == 0)
		puts("ok");
	else
		printf("unsupported this is %s\n", polybench_name);
}

static void answer_run(const char *size_word)
{
	if (strlen(size_word) != 1 || *size_word < '0' || *size_word > '9') {
		puts("error the size is not one digit");
		return;
	}
	switch (prepare(*size_word - '0')) {
	case PREPARED:
		break;
	case UNKNOWN_SIZE:
		puts("error unknown size: 0 MINI, 1 SMALL, 2 MEDIUM, 3 LARGE, 4 EXTRALARGE");
		return;
	default:
		puts("error no memory");
		return;
	}
	const int64_t wall_begin = nanoseconds(CLOCK_MONOTONIC);
	const int64_t cpu_begin = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
	kernel();
	const int64_t cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_begin;
	const int64_t wall = nanoseconds(CLOCK_MONOTONIC) - wall_begin;
	printf("ok %016llx %lld %lld\n", (unsigned long long)checksum(), (long long)cpu, (long long)wall);
}

static bool write_outputs(FILE *file)
{
	for (int32_t i = 0; i < outputs(); i++) {
		const size_t bytes = (size_t)output_bytes(i);
		if (fwrite(output(i), 1, bytes, file) != bytes)
			return false;
	}
	return true;
}

static void answer_dump(const char *path)
{
	if (outputs() == 0) {
		puts("error nothing was run");
		return;
	}
	FILE *const file = fopen(path, "wb");
	bool written = file != NULL && write_outputs(file);
	// Closing writes what is still buffered.
	if (file != NULL && fclose(file) != 0)
		written = false;
	if (written)
		puts("ok");
	else
		printf("error cannot write %s: %s\n", path, strerror(errno));
}

// Cuts the first word off `rest`; NULL where there is none. The last argument is `rest` itself, as paths may hold spaces.
static char *next_word(char **rest)
{
	char *const word = strsep(rest, " ");
	return word != NULL && *word != '\0' ? word : NULL;
}

static void answer(char *line)
{
	char *rest = line;
	const char *const command = next_word(&rest);
	const char *const name = next_word(&rest);
	if (command == NULL || name == NULL || rest == NULL || *rest == '\0')
		puts("error expected: load NAME PATH, run NAME SIZE or dump NAME PATH");
	else if (strcmp(command, "load") == 0)
		answer_load(name);
	else if (strcmp(name, polybench_name) != 0)
		printf("error this is %s\n", polybench_name);
	else if (strcmp(command, "run") == 0)
		answer_run(rest);
	else if (strcmp(command, "dump") == 0)
		answer_dump(rest);
	else
		puts("error unknown command; expected load, run or dump");
}

// Reads on to the end of a line that was too long.
static void skip_line(void)
{
	int byte;
	do
		byte = getchar();
	while (byte != '\n' && byte != EOF);
}

int main(void)
{
	static char line[MAX_LINE];
	if (!reserve_region())
		fprintf(stderr, "cannot reserve 4 GiB of addresses: %s\n", strerror(errno));
	// Each answer leaves with its line end, into a pipe too.
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %s, %s\n", polybench_name, COMPILER);
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *const end = strchr(line, '\n');
		if (end != NULL) {
			*end = '\0';
			answer(line);
		} else if (feof(stdin)) {
			answer(line);
		} else {
			skip_line();
			puts("error the line is too long");
		}
	}
	return ferror(stdin) || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
