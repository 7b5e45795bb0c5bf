#include "throttle.h"

#include <check.h>

#include "suite.h"

#define SECOND UINT64_C(1000000000)

/* How many pass within so long, asked as soon as the throttle says, or `late` after that. */
static uint64_t passed(double per_second, uint64_t within_ns, uint64_t late_ns, uint64_t count)
{
	struct throttle throttle;
	uint64_t now = 17 * SECOND, end = now + within_ns, total = 0;
	throttle_init(&throttle, per_second);
	while (now < end) {
		uint64_t wait = throttle_take(&throttle, count, now);
		if (wait)
			now += wait + late_ns;
		else
			total += count;
		if (total > 10000000)
			break;
	}
	return total;
}

static const struct {
	double per_second;
	uint64_t late_ns, count;
} rates[] = {
	{1, 0, 1},
	{7, 0, 1},
	{100, 0, 1},
	{100, 2000000, 1},
	{1000, 2000000, 1},
	{50000, 1000000, 1},
	{1000, 0, 10},
	{1000.0 / 3600 * 2, 0, 1},
};

START_TEST(the_rate_is_kept)
{
	double wanted = rates[_i].per_second * 20;
	double got = (double)passed(rates[_i].per_second, 20 * SECOND, rates[_i].late_ns, rates[_i].count);
	/* One at the very beginning, and 10 ms worth of burst. */
	double most = wanted + (double)rates[_i].count + rates[_i].per_second / 100 + 1;
	/* Timers that fire late cost something only where they are later than the burst. */
	double least = rates[_i].late_ns && rates[_i].per_second <= 100 ? wanted * 0.8 : wanted - 1;
	ck_assert_msg(got >= least && got <= most, "%.1f/s: %.0f in 20 s", rates[_i].per_second, got);
}
END_TEST

START_TEST(a_pause_is_not_made_up_for)
{
	struct throttle throttle;
	unsigned burst = 0;
	throttle_init(&throttle, 1000);
	ck_assert_uint_eq(throttle_take(&throttle, 1, SECOND), 0);
	while (throttle_take(&throttle, 1, 100 * SECOND) == 0)
		burst++;
	ck_assert_uint_ge(burst, 1);
	ck_assert_uint_le(burst, 11);
}
END_TEST

START_TEST(no_rate_is_no_limit)
{
	struct throttle throttle;
	throttle_init(&throttle, 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(throttle_take(&throttle, 1000, 5), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("throttle");
	TCase *tcase = tcase_create("throttle");
	tcase_add_loop_test(tcase, the_rate_is_kept, 0, sizeof(rates) / sizeof(rates[0]));
	tcase_add_test(tcase, a_pause_is_not_made_up_for);
	tcase_add_test(tcase, no_rate_is_no_limit);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
