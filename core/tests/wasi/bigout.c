/* Writes argv[1] MiB (default 1) to standard output: byte i of each KiB is the letter 'a' + (KiB number) % 26. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	unsigned long mebibytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	char kibibyte[1024];

	for (unsigned long i = 0; i < mebibytes * 1024; i++) {
		memset(kibibyte, (int)('a' + i % 26), sizeof kibibyte);
		if (fwrite(kibibyte, 1, sizeof kibibyte, stdout) != sizeof kibibyte)
			return 1;
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
