/*
 * The Nth Fibonacci number by the naive double recursion: a load of calls and branches whose size the client chooses.
 *
 * N is decimal text in the body; with an empty body it is the value of `n` in the query string; without either it is 30.
 * Time grows by the golden ratio with each step of N, so that the function also serves to reach a deadline on purpose.
 */
#include "body.h"

#include <stdint.h>

enum { DEFAULT_N = 30, MAX_N = 46 /* F(46) is the last that fits a signed 32-bit integer */ };

static uint32_t fibonacci(uint32_t n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

/* Parses the decimal number at `text`, which must end at `end`; anything else is refused. */
static uint32_t parse_n(const char *text, const char *end)
{
	uint32_t n = 0;

	if (text == end)
		refuse("fibonacci: N is empty; send a decimal number from 0 to 46");
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			refuse("fibonacci: N is not a decimal number; send one from 0 to 46");
		n = n * 10 + (uint32_t)(*text - '0');
		if (n > MAX_N)
			refuse("fibonacci: N is too large; send a decimal number from 0 to 46");
	}
	return n;
}

/* The N of the query string: the first parameter called `n`. */
static uint32_t n_from_query(const char *query)
{
	while (query != NULL && *query != '\0') {
		const char *end = strchrnul(query, '&');
		if (strncmp(query, "n=", 2) == 0)
			return parse_n(query + 2, end);
		query = *end == '&' ? end + 1 : end;
	}
	return DEFAULT_N;
}

static int is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int main(void)
{
	char body[64];
	const char *start = body, *end = body + read_up_to(body, sizeof body);

	if (end == body + sizeof body)
		refuse("fibonacci: the body is too long for a number from 0 to 46");
	while (start < end && is_space(*start))
		start++;
	while (start < end && is_space(end[-1]))
		end--;

	uint32_t value = fibonacci(start < end ? parse_n(start, end) : n_from_query(getenv("QUERY_STRING")));

	char digits[12], *first = digits + sizeof digits;
	*--first = '\n';
	do {
		*--first = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	write_all(STDOUT_FILENO, first, (size_t)(digits + sizeof digits - first));
	return 0;
}
