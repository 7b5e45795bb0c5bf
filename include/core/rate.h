/*
 * rate: so many per time, and times, as shaping files write them: "100/min", "10000/h", "2/s"; "90m",
 * "60s", "3 days", "1 hour".
 */
#ifndef MX_RATE_H
#define MX_RATE_H

#include <stdint.h>

#include "err.h"
#include "span.h"

struct rate {
	uint32_t count; /* 0 = no limit */
	uint32_t period_s;
};

/* 0, or -EINVAL with err saying what was found and what is wanted. */
int rate_read(struct span text, struct rate *rate, struct err *err) MX_MUST_CHECK;
int rate_read_duration(struct span text, uint64_t *milliseconds, struct err *err) MX_MUST_CHECK;

#endif
