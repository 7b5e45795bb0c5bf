/*
 * histogram: how values (latencies in microseconds) are distributed, in memory of a fixed size and without
 * keeping the values: log-linear, as HdrHistogram has it: every power of two is divided into the same number
 * of equal parts. A percentile is wrong by at most 1 in 256 of its value; count, sum, least and largest are
 * exact. One writer; readers wait until it has ended. All zeros are an empty histogram.
 */
#ifndef MX_HISTOGRAM_H
#define MX_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PARTS_BITS 7  /* 128 parts to a power of two */
#define HISTOGRAM_VALUE_BITS 40 /* 12 days in microseconds; what is larger counts as the largest */
#define HISTOGRAM_BUCKETS    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_PARTS_BITS + 1) << HISTOGRAM_PARTS_BITS)

struct histogram {
	uint64_t count, sum, least, largest; /* least and largest mean nothing while count is 0 */
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* Adds what another one counted. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The mean, and the value that so many of 1000 do not exceed (999 = p99.9); 0 of an empty histogram. */
double histogram_mean(const struct histogram *histogram);
uint64_t histogram_per_mille(const struct histogram *histogram, unsigned per_mille);

#endif
