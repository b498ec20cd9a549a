/*
 * The clocks: real time and monotonic time run, a sleep of 20 ms lasts at least so long, and CPU-time clocks are not given.
 *
 * Prints verdicts and no times, so that the output can be compared.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <wasi/api.h>

static long long nanoseconds(const struct timespec *t)
{
	return t->tv_sec * 1000000000LL + t->tv_nsec;
}

static const char *verdict(int good)
{
	return good ? "good" : "BAD";
}

int main(void)
{
	struct timespec real, start, end, resolution, pause = { .tv_nsec = 20 * 1000 * 1000 };
	__wasi_timestamp_t cpu;

	printf("realtime %s\n", verdict(clock_gettime(CLOCK_REALTIME, &real) == 0 && real.tv_sec > 1700000000));
	printf("time() agrees %s\n", verdict(time(NULL) - real.tv_sec <= 1));

	int got_start = clock_gettime(CLOCK_MONOTONIC, &start);
	int slept = nanosleep(&pause, NULL);
	int got_end = clock_gettime(CLOCK_MONOTONIC, &end);
	printf("monotonic %s\n", verdict(got_start == 0 && got_end == 0 && nanoseconds(&end) >= nanoseconds(&start)));
	printf("nanosleep %s\n", verdict(slept == 0 && nanoseconds(&end) - nanoseconds(&start) >= 20 * 1000 * 1000));

	int got_real = clock_getres(CLOCK_REALTIME, &resolution);
	printf("realtime resolution %s\n", verdict(got_real == 0 && nanoseconds(&resolution) > 0));
	int got_monotonic = clock_getres(CLOCK_MONOTONIC, &resolution);
	printf("monotonic resolution %s\n", verdict(got_monotonic == 0 && nanoseconds(&resolution) > 0));

	/* Not in the C library: asked of the host itself. */
	printf("process CPU time %s\n",
	       __wasi_clock_time_get(__WASI_CLOCKID_PROCESS_CPUTIME_ID, 1, &cpu) == 0 ? "given" : "refused");
	printf("thread CPU time %s\n",
	       __wasi_clock_time_get(__WASI_CLOCKID_THREAD_CPUTIME_ID, 1, &cpu) == 0 ? "given" : "refused");
	return 0;
}
