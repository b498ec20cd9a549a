/*
 * Work of a size that the client chooses: as many steps as asked for, each waiting for the one before.
 *
 * The query string names the steps and, if the client wants, a number of its own: `i=100000&id=17`. The answer is `id`,
 * a blank and the last state, so that a client sees that an answer is its own and that the work was done. A step is a
 * multiply and an add that depend on the last one (Knuth's linear congruential generator): its time is the latency of
 * these two instructions, which is the same in WebAssembly and in native code, whatever the compiler.
 */
#include "body.h"

#include <stdint.h>

static const uint64_t MULTIPLIER = 6364136223846793005u, INCREMENT = 1442695040888963407u;

/* More steps than any deadline allows: some minutes. */
static const uint64_t MAX_STEPS = 100000000000u;

static uint64_t parse(const char *text, const char *end)
{
	uint64_t value = 0;

	if (text == end || end - text > 12)
		refuse("work: a parameter has 1 to 12 digits");
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			refuse("work: a parameter is not a decimal number");
		value = value * 10 + (uint64_t)(*text - '0');
	}
	return value;
}

/* The query string's parameter whose name has `length` bytes with its `=`; 0 when there is none. */
static uint64_t parameter(const char *query, const char *name, size_t length)
{
	while (query != NULL && *query != '\0') {
		const char *end = strchrnul(query, '&');
		if (strncmp(query, name, length) == 0)
			return parse(query + length, end);
		query = *end == '&' ? end + 1 : end;
	}
	return 0;
}

/* Writes the digits of `value` before `end`; returns the first of them. */
static char *digits(uint64_t value, char *end)
{
	do {
		*--end = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return end;
}

int main(void)
{
	const char *query = getenv("QUERY_STRING");
	uint64_t steps = parameter(query, "i=", 2);
	uint64_t id = parameter(query, "id=", 3);
	uint64_t state = id;

	if (steps > MAX_STEPS)
		refuse("work: more than 100,000,000,000 steps");
	for (uint64_t i = 0; i < steps; i++) {
		state = state * MULTIPLIER + INCREMENT;
		/* The loop must stay a loop: compilers know the closed form of a few steps at a time. */
		__asm__ volatile("" : "+r"(state));
	}

	char line[48], *first = line + sizeof line;
	*--first = '\n';
	first = digits(state, first);
	*--first = ' ';
	first = digits(id, first);
	write_all(STDOUT_FILENO, first, (size_t)(line + sizeof line - first));
	return 0;
}
