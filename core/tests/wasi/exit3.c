/* Leaves by exit(3): the buffered line must come out and the code must reach the host. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	printf("leaving");
	exit(3);
}
