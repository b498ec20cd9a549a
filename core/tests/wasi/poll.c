/*
 * Waiting: poll() on standard input and output, on a timeout alone, and, with `long`, a sleep of one hour that only the host's
 * deadline ends.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "long") == 0) {
		printf("sleeping\n");
		fflush(stdout);
		sleep(3600);
		printf("slept an hour\n");
		return 0;
	}

	struct pollfd standard[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = STDOUT_FILENO, .events = POLLOUT },
	};
	int ready = poll(standard, 2, 1000);
	printf("poll of input and output: %s, output %s\n", ready > 0 ? "ready" : "not ready",
	       (standard[1].revents & POLLOUT) != 0 ? "writable" : "not writable");

	long long start = milliseconds();
	struct timespec pause = { .tv_nsec = 30 * 1000 * 1000 };
	int slept = nanosleep(&pause, NULL);
	long long took = milliseconds() - start;
	printf("nanosleep of 30 ms: %s, %s\n", slept == 0 ? "OK" : "failed", took >= 29 ? "long enough" : "too short");

	start = milliseconds();
	pause.tv_nsec = 0;
	slept = nanosleep(&pause, NULL);
	printf("nanosleep of 0 ms: %s, %s\n", slept == 0 ? "OK" : "failed",
	       milliseconds() - start < 10000 ? "at once" : "too long");
	return 0;
}
