#include <check.h>
#include <string.h>

#include "suite.h"
#include "text.h"

static const struct {
	uint64_t n;
	const char *number, *bytes, *duration;
} cases[] = {
	{0, "0", "0 B", "0 s"},
	{59, "59", "59 B", "59 s"},
	{60, "60", "60 B", "1 min 0 s"},
	{999, "999", "999 B", "16 min 39 s"},
	{1000, "1,000", "1.0 kB", "16 min 40 s"},
	{3600, "3,600", "3.6 kB", "1 h 0 min"},
	{86400, "86,400", "86.4 kB", "1 d 0 h"},
	{999949, "999,949", "999.9 kB", "11 d 13 h"},
	{999999, "999,999", "1.0 MB", "11 d 13 h"},
	{1234567, "1,234,567", "1.2 MB", "14 d 6 h"},
	{UINT64_MAX, "18,446,744,073,709,551,615", "18.4 EB", "213503982334601 d 7 h"},
};

START_TEST(numbers)
{
	ck_assert_str_eq(text_number(cases[_i].n).chars, cases[_i].number);
	ck_assert_str_eq(text_bytes(cases[_i].n).chars, cases[_i].bytes);
	ck_assert_str_eq(text_duration(cases[_i].n).chars, cases[_i].duration);
}
END_TEST

START_TEST(times)
{
	ck_assert_str_eq(text_times(0).chars, "0 times");
	ck_assert_str_eq(text_times(1).chars, "once");
	ck_assert_str_eq(text_times(1000).chars, "1,000 times");
}
END_TEST

START_TEST(a_terminal_is_shown_nothing_raw)
{
	char shown[16];
	text_safe("a\x1b[31m\r\n\x7f", shown, sizeof(shown));
	ck_assert_str_eq(shown, "a?[31m???");
	text_safe("caf\xc3\xa9.example", shown, sizeof(shown));
	ck_assert_str_eq(shown, "caf??.example");
	text_safe("0123456789012345678", shown, sizeof(shown));
	ck_assert_str_eq(shown, "012345678901234");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *tcase = tcase_create("text");
	tcase_add_loop_test(tcase, numbers, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, times);
	tcase_add_test(tcase, a_terminal_is_shown_nothing_raw);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
