/*
 * fake_clock: lets a test move the clocks of this program: the time of day may be set, the monotonic one goes on. It
 * stands in for the C library's clock_gettime and gettimeofday, for libevent too. Include it in a test's one file.
 */
#ifndef MX_FAKE_CLOCK_H
#define MX_FAKE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_long fake_clock_day_s, fake_clock_monotonic_s;

/* Seconds to go on by; the time of day also back. */
static inline void fake_clock_pass(long seconds)
{
	atomic_fetch_add(&fake_clock_monotonic_s, seconds);
	atomic_fetch_add(&fake_clock_day_s, seconds);
}

static inline void fake_clock_set_day(long by_seconds)
{
	atomic_fetch_add(&fake_clock_day_s, by_seconds);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int code = (int)syscall(SYS_clock_gettime, clock, time);
	bool day = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
	time->tv_sec += atomic_load(day ? &fake_clock_day_s : &fake_clock_monotonic_s);
	return code;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	(void)zone;
	struct timespec now;
	int code = clock_gettime(CLOCK_REALTIME, &now);
	*time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return code;
}

#endif
