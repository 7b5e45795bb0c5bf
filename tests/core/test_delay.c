#include "delay.h"

#include <check.h>
#include <math.h>

#include "draw.h"
#include "suite.h"

#define DRAWS 100000

static const struct {
	struct provider_delay delay;
	uint32_t least, most;
} bounds[] = {
	{{PROVIDER_DELAY_NONE, 7, 9, 1}, 0, 0},
	{{PROVIDER_DELAY_FIXED, 0, 0, 0}, 0, 0},
	{{PROVIDER_DELAY_FIXED, 2000, 0, 0}, 2000, 2000},
	{{PROVIDER_DELAY_FIXED, DELAY_MAX_MS, 0, 0}, DELAY_MAX_MS, DELAY_MAX_MS},
	{{PROVIDER_DELAY_FIXED, DELAY_MAX_MS + 1, 0, 0}, DELAY_MAX_MS, DELAY_MAX_MS},
	{{PROVIDER_DELAY_FIXED, UINT32_MAX, 0, 0}, DELAY_MAX_MS, DELAY_MAX_MS},
	{{PROVIDER_DELAY_UNIFORM, 10, 12, 0}, 10, 12},
	{{PROVIDER_DELAY_UNIFORM, 10, 10, 0}, 10, 10},
	{{PROVIDER_DELAY_UNIFORM, 10, 5, 0}, 10, 10},
	{{PROVIDER_DELAY_UNIFORM, 0, UINT32_MAX, 0}, 0, DELAY_MAX_MS},
	{{PROVIDER_DELAY_LOGNORMAL, 0, 0, 0.8}, 0, 0},
	{{PROVIDER_DELAY_LOGNORMAL, 2000, 0, 0}, 2000, 2000},
	{{PROVIDER_DELAY_LOGNORMAL, 2000, 0, 0.8}, 1, DELAY_MAX_MS},
	{{PROVIDER_DELAY_LOGNORMAL, UINT32_MAX, 0, 1e300}, 0, DELAY_MAX_MS},
	{{PROVIDER_DELAY_LOGNORMAL, 2000, 0, (double)INFINITY}, 0, DELAY_MAX_MS},
	{{PROVIDER_DELAY_LOGNORMAL, 2000, 0, (double)NAN}, DELAY_MAX_MS, DELAY_MAX_MS},
};

START_TEST(stays_within_bounds)
{
	uint32_t least = UINT32_MAX, most = 0;
	for (uint64_t i = 0; i < DRAWS; i++) {
		uint32_t ms = delay_draw(&bounds[_i].delay, draw_number(1, i));
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	ck_assert_msg(least >= bounds[_i].least, "row %d: %u", _i, least);
	ck_assert_msg(most <= bounds[_i].most, "row %d: %u", _i, most);
}
END_TEST

/* Each millisecond of a uniform delay comes as often as the others, both ends included. */
START_TEST(uniform_is_uniform)
{
	struct provider_delay delay = {PROVIDER_DELAY_UNIFORM, 1000, 1009, 0};
	unsigned counts[10] = {0};
	for (uint64_t i = 0; i < DRAWS; i++)
		counts[delay_draw(&delay, draw_number(2, i)) - 1000]++;
	for (int i = 0; i < 10; i++)
		ck_assert_double_eq_tol(counts[i], DRAWS / 10.0, 4 * sqrt(DRAWS * 0.1 * 0.9));
}
END_TEST

/* The draws that give a normal number are known, so that what is left to compare is the exponential. */
START_TEST(lognormal_is_exact_to_a_thousandth)
{
	static const double sigmas[] = {0.05, 0.5, 0.8, 1, 1.5, 2.5};
	for (size_t s = 0; s < sizeof(sigmas) / sizeof(sigmas[0]); s++) {
		struct provider_delay delay = {PROVIDER_DELAY_LOGNORMAL, 50000, 0, sigmas[s]};
		unsigned compared = 0;
		for (uint64_t i = 0; i < DRAWS; i++) {
			uint64_t draw = draw_number(3, i);
			double want = 50000 * exp(sigmas[s] * draw_normal(draw));
			uint32_t got = delay_draw(&delay, draw);
			if (want > DELAY_MAX_MS * 1.0001) {
				ck_assert_uint_eq(got, DELAY_MAX_MS);
			} else if (want < DELAY_MAX_MS * 0.9999) {
				/* Half a millisecond is the rounding's. */
				ck_assert_double_eq_tol(got, want, want * 2e-5 + 0.5001);
				compared++;
			}
		}
		ck_assert_uint_gt(compared, DRAWS / 2);
	}
}
END_TEST

/* Median and spread come out as the setting says. */
START_TEST(lognormal_has_its_quantiles)
{
	struct provider_delay delay = {PROVIDER_DELAY_LOGNORMAL, 2000, 0, 0.8};
	unsigned below_median = 0, below_one_sigma = 0;
	for (uint64_t i = 0; i < DRAWS; i++) {
		uint32_t ms = delay_draw(&delay, draw_number(4, i));
		below_median += ms < 2000;
		below_one_sigma += ms < 2000 * exp(0.8);
	}
	ck_assert_double_eq_tol(below_median / (double)DRAWS, 0.5, 0.006);
	ck_assert_double_eq_tol(below_one_sigma / (double)DRAWS, 0.8413, 0.006);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("delay");
	TCase *tcase = tcase_create("delay");
	tcase_add_loop_test(tcase, stays_within_bounds, 0, sizeof(bounds) / sizeof(bounds[0]));
	tcase_add_test(tcase, uniform_is_uniform);
	tcase_add_test(tcase, lognormal_is_exact_to_a_thousandth);
	tcase_add_test(tcase, lognormal_has_its_quantiles);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
