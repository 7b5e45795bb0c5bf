#include "histogram.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static struct histogram histogram, other;
static const unsigned per_milles[] = {1, 10, 100, 250, 500, 750, 900, 950, 990, 999};

static void clear(void)
{
	memset(&histogram, 0, sizeof(histogram));
	memset(&other, 0, sizeof(other));
}

START_TEST(nothing_counted_is_zero)
{
	clear();
	ck_assert_uint_eq(histogram_per_mille(&histogram, 500), 0);
	ck_assert(histogram_mean(&histogram) == 0);
	histogram_merge(&histogram, &other);
	ck_assert_uint_eq(histogram.count, 0);
}
END_TEST

/* Up to twice the parts of a power of two every value has a bucket of its own. */
START_TEST(small_values_are_exact)
{
	clear();
	for (uint64_t value = 1; value <= 200; value++)
		histogram_add(&histogram, value);
	ck_assert_uint_eq(histogram_per_mille(&histogram, 500), 100);
	ck_assert_uint_eq(histogram_per_mille(&histogram, 900), 180);
	ck_assert_uint_eq(histogram_per_mille(&histogram, 1000), 200);
	ck_assert_uint_eq(histogram_per_mille(&histogram, 1), 1);
	ck_assert(histogram_mean(&histogram) == 100.5);
}
END_TEST

START_TEST(one_value_is_told_as_it_is)
{
	clear();
	histogram_add(&histogram, 123456789);
	for (size_t i = 0; i < sizeof(per_milles) / sizeof(per_milles[0]); i++)
		ck_assert_uint_eq(histogram_per_mille(&histogram, per_milles[i]), 123456789);
	ck_assert_uint_eq(histogram.least, 123456789);
	ck_assert_uint_eq(histogram.largest, 123456789);
}
END_TEST

static int by_value(const void *a, const void *b)
{
	uint64_t l = *(const uint64_t *)a, r = *(const uint64_t *)b;
	return l < r ? -1 : l > r;
}

/* Against the sorted values themselves, over nine orders of magnitude. */
START_TEST(percentiles_are_within_one_in_256)
{
	enum {
		COUNT = 20000
	};
	static uint64_t values[COUNT];
	uint64_t state = 88172645463325252, sum = 0;
	clear();
	for (size_t i = 0; i < COUNT; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		values[i] = (state >> 32) >> (state & 31);
		sum += values[i];
		histogram_add(&histogram, values[i]);
	}
	qsort(values, COUNT, sizeof(values[0]), by_value);
	for (size_t i = 0; i < sizeof(per_milles) / sizeof(per_milles[0]); i++) {
		uint64_t truth = values[(COUNT * per_milles[i] + 999) / 1000 - 1];
		uint64_t told = histogram_per_mille(&histogram, per_milles[i]);
		uint64_t error = told > truth ? told - truth : truth - told;
		ck_assert_msg(error * 256 <= truth, "p%u/1000: %lu in place of %lu", per_milles[i],
			(unsigned long)told, (unsigned long)truth);
	}
	ck_assert_uint_eq(histogram.count, COUNT);
	ck_assert_uint_eq(histogram.sum, sum);
	ck_assert_uint_eq(histogram.least, values[0]);
	ck_assert_uint_eq(histogram.largest, values[COUNT - 1]);
}
END_TEST

/* Every power of two and its neighbours: the edges of the buckets. */
START_TEST(edges_keep_the_bound)
{
	for (unsigned bit = 0; bit < HISTOGRAM_VALUE_BITS; bit++)
		for (int away = -1; away <= 1; away++) {
			uint64_t value = (UINT64_C(1) << bit) + (uint64_t)away;
			if (value >> HISTOGRAM_VALUE_BITS)
				continue;
			clear();
			histogram_add(&histogram, 0);
			histogram_add(&histogram, value);
			histogram_add(&histogram, UINT64_MAX);
			uint64_t told = histogram_per_mille(&histogram, 500);
			uint64_t error = told > value ? told - value : value - told;
			ck_assert_msg(error * 256 <= value, "%lu in place of %lu", (unsigned long)told,
				(unsigned long)value);
		}
}
END_TEST

START_TEST(too_large_counts_as_the_largest)
{
	clear();
	histogram_add(&histogram, UINT64_MAX);
	ck_assert_uint_eq(histogram.largest, (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1);
	ck_assert_uint_eq(histogram_per_mille(&histogram, 500), histogram.largest);
}
END_TEST

START_TEST(merging_is_counting_together)
{
	static struct histogram both;
	clear();
	memset(&both, 0, sizeof(both));
	for (uint64_t value = 0; value < 5000; value++) {
		histogram_add(value % 3 ? &histogram : &other, value * value);
		histogram_add(&both, value * value);
	}
	histogram_merge(&histogram, &other);
	ck_assert_mem_eq(&histogram, &both, sizeof(both));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("histogram");
	TCase *tcase = tcase_create("histogram");
	tcase_add_test(tcase, nothing_counted_is_zero);
	tcase_add_test(tcase, small_values_are_exact);
	tcase_add_test(tcase, one_value_is_told_as_it_is);
	tcase_add_test(tcase, percentiles_are_within_one_in_256);
	tcase_add_test(tcase, edges_keep_the_bound);
	tcase_add_test(tcase, too_large_counts_as_the_largest);
	tcase_add_test(tcase, merging_is_counting_together);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
