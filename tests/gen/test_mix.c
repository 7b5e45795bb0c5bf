#include "mix.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "suite.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const char *const published[] = {"aol.com:1.5", "bellsouth.net:0.2", "comcast.net:0.5",
	"gmail.com:67.4", "hotmail.com:8.8", "icloud.com:1.2", "live.com:0.3", "me.com:0.2", "msn.com:0.5",
	"orange.fr:0.4", "outlook.com:1.2", "sbcglobal.net:0.3", "yahoo.com:5.9"};

static struct mix mix_of(const char *const *texts, size_t count, const char *suffix)
{
	struct mix mix;
	struct err err = {""};
	ck_assert_msg(mix_read(&mix, texts, count, suffix, "--domain", &err) == 0, "%s", err.text);
	return mix;
}

/* Half a million draws: each share within five standard deviations. */
START_TEST(shares_are_the_weights)
{
	enum {
		DRAWS = 500000
	};
	uint64_t counts[ROWS(published)] = {0};
	double total = 0;
	struct mix mix = mix_of(published, ROWS(published), "");
	for (uint64_t i = 0; i < DRAWS; i++)
		counts[mix_pick(&mix, draw_number(_i, i)) - mix.rows]++;
	for (size_t i = 0; i < mix.count; i++)
		total += mix.rows[i].weight;
	for (size_t i = 0; i < mix.count; i++) {
		double share = mix.rows[i].weight / total, mean = share * DRAWS;
		double deviation = sqrt(mean * (1 - share));
		ck_assert_msg(fabs((double)counts[i] - mean) < 5 * deviation, "%s: %lu, expected %.0f",
			published[i], (unsigned long)counts[i], mean);
	}
	mix_done(&mix);
}
END_TEST

START_TEST(ends_of_the_range_belong_to_first_and_last)
{
	const char *const two[] = {"a.example:1", "b.example:3"};
	struct mix mix = mix_of(two, 2, "");
	ck_assert_ptr_eq(mix_pick(&mix, 0), &mix.rows[0]);
	ck_assert_ptr_eq(mix_pick(&mix, UINT64_C(1) << 62), &mix.rows[0]);
	ck_assert_ptr_eq(mix_pick(&mix, (UINT64_C(1) << 62) + 1), &mix.rows[1]);
	ck_assert_ptr_eq(mix_pick(&mix, UINT64_MAX), &mix.rows[1]);
	mix_done(&mix);
}
END_TEST

START_TEST(suffix_is_appended)
{
	const char *const one[] = {"gmail.com"};
	struct mix mix = mix_of(one, 1, "testingdomain.tld");
	ck_assert(span_equal(mix.rows[0].name, span_of("gmail.com.testingdomain.tld")));
	ck_assert(mix.rows[0].weight == 1);
	mix_done(&mix);
	mix = mix_of(one, 1, "");
	ck_assert(span_equal(mix.rows[0].name, span_of("gmail.com")));
	mix_done(&mix);
}
END_TEST

static const struct {
	const char *text, *suffix, *says;
} mistakes[] = {
	{"", "", "a name is letters"},
	{":1", "", "a name is letters"},
	{".example", "", "a name is letters"},
	{"a b", "", "a name is letters"},
	{"a>\r\nDATA", "", "a name is letters"},
	{"a.example", "x y", "a name is letters"},
	{"a.example:", "", "the weight must be a number above 0"},
	{"a.example:0", "", "the weight must be a number above 0"},
	{"a.example:-1", "", "the weight must be a number above 0"},
	{"a.example:inf", "", "the weight must be a number above 0"},
	{"a.example:1x", "", "the weight must be a number above 0"},
};

START_TEST(mistakes_are_named)
{
	struct mix mix;
	struct err err = {""};
	const char *const texts[] = {"fine.example", mistakes[_i].text};
	ck_assert_int_eq(mix_read(&mix, texts, 2, mistakes[_i].suffix, "--domain", &err), -EINVAL);
	ck_assert_msg(strstr(err.text, mistakes[_i].says) != NULL, "%s", err.text);
	ck_assert_msg(strstr(err.text, "--domain") == err.text, "%s", err.text);
}
END_TEST

START_TEST(long_names_are_refused)
{
	char name[MIX_NAME_MAX + 1];
	const char *const texts[] = {name};
	struct mix mix;
	struct err err;
	memset(name, 'a', sizeof(name));
	name[MIX_NAME_MAX] = '\0';
	ck_assert_int_eq(mix_read(&mix, texts, 1, "", "--domain", &err), 0);
	mix_done(&mix);
	ck_assert_int_eq(mix_read(&mix, texts, 1, "x", "--domain", &err), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mix");
	TCase *tcase = tcase_create("mix");
	tcase_add_loop_test(tcase, shares_are_the_weights, 0, 3);
	tcase_add_test(tcase, ends_of_the_range_belong_to_first_and_last);
	tcase_add_test(tcase, suffix_is_appended);
	tcase_add_loop_test(tcase, mistakes_are_named, 0, ROWS(mistakes));
	tcase_add_test(tcase, long_names_are_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
