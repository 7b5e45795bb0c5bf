/*
 * throttle: a token bucket that holds back what would come faster than a rate. One thread's own. It reads no
 * clock: the caller says what time it is, in nanoseconds.
 */
#ifndef MX_THROTTLE_H
#define MX_THROTTLE_H

#include <stdint.h>

struct throttle {
	double interval_ns; /* 0 = no limit */
	double burst_ns;    /* how far ahead of the rate a burst may run */
	double next_ns;     /* when the next one would be due at an even pace */
};

/* So many a second, evenly. After a pause no more than 10 ms worth of them come at once. */
void throttle_init(struct throttle *throttle, double per_second);

/* 0: `count` may go on, they are counted. Else: how many nanoseconds to wait before asking again. */
uint64_t throttle_take(struct throttle *throttle, uint64_t count, uint64_t now_ns);

#endif
