/* An endless loop: only the host can end it. */
#include <unistd.h>

static volatile unsigned turns;

int main(void)
{
	write(STDOUT_FILENO, "spinning\n", 9);
	for (;;)
		turns++;
}
