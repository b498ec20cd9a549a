/*
 * The request body on standard input and the answer on standard output.
 *
 * The C functions go straight to read(2) and write(2): stdio would buffer what they handle in large pieces anyway, and it
 * is three times their size. A function that fails says why on standard error, which the server logs, and exits nonzero,
 * which the server answers with a 500.
 */
#ifndef LUGE_FUNCTIONS_BODY_H
#define LUGE_FUNCTIONS_BODY_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exit codes of all functions: the request was wrong, or the host's side of the pipes failed. */
enum { EXIT_BAD_REQUEST = 2, EXIT_BROKEN_PIPE = 3 };

/* Writes all of `data` to `fd`; a short write is continued, any other failure ends the function. */
static inline void write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t written = write(fd, at, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			_Exit(EXIT_BROKEN_PIPE);
		at += written;
		size -= (size_t)written;
	}
}

/* Ends the function because of what the client sent: `message` and a newline to standard error. */
static inline _Noreturn void refuse(const char *message)
{
	write_all(STDERR_FILENO, message, strlen(message));
	write_all(STDERR_FILENO, "\n", 1);
	_Exit(EXIT_BAD_REQUEST);
}

/* Reads at most `size` bytes of the body; 0 means that it ended. */
static inline size_t read_some(void *buffer, size_t size)
{
	for (;;) {
		ssize_t got = read(STDIN_FILENO, buffer, size);
		if (got >= 0)
			return (size_t)got;
		if (errno != EINTR)
			_Exit(EXIT_BROKEN_PIPE);
	}
}

/* Reads until `buffer` is full or the body ends; returns how many bytes came. */
static inline size_t read_up_to(void *buffer, size_t size)
{
	size_t used = 0;

	while (used < size) {
		size_t got = read_some((char *)buffer + used, size - used);
		if (got == 0)
			break;
		used += got;
	}
	return used;
}

#endif
