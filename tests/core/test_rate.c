#include "rate.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "suite.h"

static const struct {
	const char *text;
	uint32_t count, period_s;
} rates[] = {
	{"100/min", 100, 60},
	{"100/minute", 100, 60},
	{"1/m", 1, 60},
	{"10000/h", 10000, 3600},
	{"2/hr", 2, 3600},
	{"2/hour", 2, 3600},
	{"2/s", 2, 1},
	{"2/sec", 2, 1},
	{"2/second", 2, 1},
	{"5/d", 5, 86400},
	{"5/day", 5, 86400},
	{" 10 / s ", 10, 1},
	{"10_000/h", 10000, 3600},
	{"10,000/h", 10000, 3600},
	{"local:100/s", 100, 1},
	{"4294967295/s", 4294967295, 1},
};

START_TEST(rates_are_read)
{
	struct rate rate = {0};
	ck_assert_int_eq(rate_read(span_of(rates[_i].text), &rate, NULL), 0);
	ck_assert_uint_eq(rate.count, rates[_i].count);
	ck_assert_uint_eq(rate.period_s, rates[_i].period_s);
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} no_rates[] = {
	{"", "\"\" is no rate; write so many per time, as in \"100/min\", \"2/s\" or \"10000/h\""},
	{"100", "is no rate"},
	{"/min", "is no rate"},
	{"100/", "is no rate"},
	{"100/fortnight", "is no rate"},
	{"100/ms", "is no rate"},
	{"100/min/s", "is no rate"},
	{"-1/s", "is no rate"},
	{"1.5/s", "is no rate"},
	{"_1/s", "is no rate"},
	{"1_/s", "is no rate"},
	{"4294967296/s", "is no rate"},
	{"99999999999999999999999999/s", "is no rate"},
	{"0/s", "\"0/s\" would let nothing pass; leave the key out for no limit"},
};

START_TEST(no_rates_are_refused)
{
	struct rate rate = {7, 7};
	struct err err = {.text = ""};
	ck_assert_int_eq(rate_read(span_of(no_rates[_i].text), &rate, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, no_rates[_i].says) != NULL, "%s", err.text);
	ck_assert_uint_eq(rate.count, 7);
}
END_TEST

static const struct {
	const char *text;
	uint64_t ms;
} durations[] = {
	{"90m", 5400000},
	{"60s", 60000},
	{"3 days", 259200000},
	{"1 hour", 3600000},
	{"30 minutes", 1800000},
	{"500ms", 500},
	{"0s", 0},
	{"1h30m", 5400000},
	{" 1h 30m 5s ", 5405000},
	{"2 weeks", 1209600000},
	{"3660d", UINT64_C(316224000000)},
};

START_TEST(durations_are_read)
{
	uint64_t ms = 7;
	ck_assert_int_eq(rate_read_duration(span_of(durations[_i].text), &ms, NULL), 0);
	ck_assert_uint_eq(ms, durations[_i].ms);
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} no_durations[] = {
	{"", "\"\" is no time; write a number and a unit, as in \"90m\", \"60s\", \"3 days\" or \"500ms\""},
	{"90", "is no time"},
	{"m", "is no time"},
	{"1.5h", "is no time"},
	{"-1s", "is no time"},
	{"5 parsecs", "is no time"},
	{"5m 5", "is no time"},
	{"3661d", "\"3661d\" is longer than ten years"},
	{"3660d 1ms", "is longer than ten years"},
	{"316224000000s", "is longer than ten years"},
	{"99999999999999999999s", "is no time"},
};

START_TEST(no_durations_are_refused)
{
	uint64_t ms = 7;
	struct err err = {.text = ""};
	ck_assert_int_eq(rate_read_duration(span_of(no_durations[_i].text), &ms, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, no_durations[_i].says) != NULL, "%s", err.text);
	ck_assert_uint_eq(ms, 7);
}
END_TEST

/* A span need not end where its bytes do. */
START_TEST(spans_end_where_they_say)
{
	struct rate rate;
	uint64_t ms;
	ck_assert_int_eq(rate_read((struct span){"100/sec", 5}, &rate, NULL), 0);
	ck_assert_uint_eq(rate.period_s, 1);
	ck_assert_int_eq(rate_read_duration((struct span){"5ms", 2}, &ms, NULL), 0);
	ck_assert_uint_eq(ms, 300000);
}
END_TEST

#define ROWS(table) sizeof(table) / sizeof((table)[0])

int main(void)
{
	Suite *suite = suite_create("rate");
	TCase *tcase = tcase_create("rate");
	tcase_add_loop_test(tcase, rates_are_read, 0, ROWS(rates));
	tcase_add_loop_test(tcase, no_rates_are_refused, 0, ROWS(no_rates));
	tcase_add_loop_test(tcase, durations_are_read, 0, ROWS(durations));
	tcase_add_loop_test(tcase, no_durations_are_refused, 0, ROWS(no_durations));
	tcase_add_test(tcase, spans_end_where_they_say);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
