/* Prints its arguments and its environment, one a line: what the host granted, and nothing else. */
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

int main(int argc, char **argv)
{
	printf("argc=%d\n", argc);
	for (int i = 0; i < argc; i++)
		printf("argv[%d]=%s\n", i, argv[i]);
	for (char **variable = environ; *variable != NULL; variable++)
		printf("env %s\n", *variable);
	printf("PATH is %s\n", getenv("PATH") == NULL ? "unset" : "set");
	return 0;
}
