/* The answer is the request body, byte for byte; a body of any length passes through one buffer. */
#include "body.h"

static char buffer[64 * 1024];

int main(void)
{
	size_t got;

	while ((got = read_some(buffer, sizeof buffer)) > 0)
		write_all(STDOUT_FILENO, buffer, got);
	return 0;
}
