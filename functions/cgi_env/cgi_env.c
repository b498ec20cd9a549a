/*
 * A CGI program (RFC 3875) that shows the contract: it prints its arguments, its environment and the size of its body.
 *
 * The query parameter `status=NNN` makes it answer with that status, to show the header block at work.
 */
#include "body.h"

#include <ctype.h>

extern char **environ;

static void put(const char *text)
{
	write_all(STDOUT_FILENO, text, strlen(text));
}

static void put_number(size_t value)
{
	char digits[24], *first = digits + sizeof digits;

	*--first = '\0';
	do {
		*--first = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	put(first);
}

/* The three digits of `status` in the query string, or NULL when it is absent or no status. */
static const char *asked_status(const char *query)
{
	while (query != NULL && *query != '\0') {
		const char *end = strchrnul(query, '&');
		const char *value = query + strlen("status=");
		if (strncmp(query, "status=", strlen("status=")) == 0 && end - value == 3 && *value >= '2' &&
		    *value <= '5' && isdigit((unsigned char)value[1]) && isdigit((unsigned char)value[2]))
			return value;
		query = *end == '&' ? end + 1 : end;
	}
	return NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
	static char buffer[64 * 1024];
	size_t variables = 0, body_bytes = 0, got;
	const char *status = asked_status(getenv("QUERY_STRING"));

	while ((got = read_some(buffer, sizeof buffer)) > 0)
		body_bytes += got;
	while (environ[variables] != NULL)
		variables++;
	qsort(environ, variables, sizeof *environ, by_text);

	if (status != NULL) {
		put("Status: ");
		write_all(STDOUT_FILENO, status, 3);
		put(" As Asked\n");
	}
	put("Content-Type: text/plain; charset=utf-8\nX-Function: cgi_env\n\n");
	for (int i = 0; i < argc; i++) {
		put("argv[");
		put_number((size_t)i);
		put("]=");
		put(argv[i]);
		put("\n");
	}
	for (size_t i = 0; i < variables; i++) {
		put(environ[i]);
		put("\n");
	}
	put("body bytes=");
	put_number(body_bytes);
	put("\n");
	return 0;
}
