#include "throttle.h"

/* Makes up for timers that fire late. */
#define BURST_NS 10e6

void throttle_init(struct throttle *throttle, double per_second)
{
	*throttle = (struct throttle){0};
	if (per_second <= 0)
		return;
	throttle->interval_ns = 1e9 / per_second;
	throttle->burst_ns = throttle->interval_ns > BURST_NS ? 0 : BURST_NS - throttle->interval_ns;
}

uint64_t throttle_take(struct throttle *throttle, uint64_t count, uint64_t now_ns)
{
	double now = (double)now_ns;
	if (throttle->interval_ns <= 0)
		return 0;
	if (throttle->next_ns > now + throttle->burst_ns)
		return (uint64_t)(throttle->next_ns - now - throttle->burst_ns) + 1;
	if (throttle->next_ns < now)
		throttle->next_ns = now;
	throttle->next_ns += throttle->interval_ns * (double)count;
	return 0;
}
