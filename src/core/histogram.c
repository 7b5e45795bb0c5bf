#include "histogram.h"

#define PARTS     (UINT64_C(1) << HISTOGRAM_PARTS_BITS)
#define VALUE_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

/* By how much a value is shifted so that its leading bits say the part; below two PARTS each value has its own. */
static unsigned shift_of(uint64_t value)
{
	return value < PARTS ? 0 : 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_PARTS_BITS;
}

static unsigned bucket_of(uint64_t value)
{
	unsigned shift = shift_of(value);
	return (unsigned)(shift * PARTS + (value >> shift));
}

/* The middle of what falls into a bucket. */
static uint64_t bucket_value(unsigned bucket)
{
	if (bucket < 2 * PARTS)
		return bucket;
	unsigned shift = bucket / PARTS - 1;
	uint64_t part = bucket - shift * PARTS;
	return (part << shift) + (UINT64_C(1) << shift) / 2;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	if (value > VALUE_MAX)
		value = VALUE_MAX;
	if (histogram->count == 0 || value < histogram->least)
		histogram->least = value;
	if (histogram->count == 0 || value > histogram->largest)
		histogram->largest = value;
	histogram->count++;
	histogram->sum += value;
	histogram->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	if (from->count == 0)
		return;
	if (into->count == 0 || from->least < into->least)
		into->least = from->least;
	if (into->count == 0 || from->largest > into->largest)
		into->largest = from->largest;
	into->count += from->count;
	into->sum += from->sum;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

double histogram_mean(const struct histogram *histogram)
{
	return histogram->count ? (double)histogram->sum / (double)histogram->count : 0;
}

uint64_t histogram_per_mille(const struct histogram *histogram, unsigned per_mille)
{
	/* The rank counts from 1 and is rounded up: of 10 values, p50 is the fifth. */
	uint64_t rank = (histogram->count * per_mille + 999) / 1000, seen = 0;
	if (histogram->count == 0)
		return 0;
	if (rank <= 1)
		return histogram->least;
	if (rank >= histogram->count)
		return histogram->largest;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen < rank)
			continue;
		uint64_t value = bucket_value(i);
		value = value < histogram->least ? histogram->least : value;
		return value > histogram->largest ? histogram->largest : value;
	}
	return histogram->largest;
}
