/*
 * clock: the one that limits, deadlines and what is cached are held against: monotonic, in milliseconds, coarse: up to
 * 4 ms late, and next to nothing to ask. All processes of a responder read the same.
 */
#ifndef MX_CLOCK_H
#define MX_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

#endif
