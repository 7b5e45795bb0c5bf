#include "conf_mistake.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

START_TEST(none_leaves_the_error_alone)
{
	struct err err = {.text = "untouched"};
	struct conf_mistakes mistakes = {.file = "f.toml", .err = &err};
	ck_assert_int_eq(conf_mistakes_end(&mistakes), 0);
	ck_assert_str_eq(err.text, "untouched");
}
END_TEST

START_TEST(each_has_its_line)
{
	struct err err = {.text = "stale"};
	struct conf_mistakes mistakes = {.file = "f.toml", .err = &err};
	conf_mistake(&mistakes, 3, "bad %s", "thing");
	conf_mistake(&mistakes, 0, "of the whole");
	conf_mistake(&mistakes, 12, "raw \x1b[2J\n\x7f");
	ck_assert_int_eq(conf_mistakes_end(&mistakes), -EINVAL);
	ck_assert_str_eq(err.text, "f.toml:3: bad thing\n"
				   "f.toml: of the whole\n"
				   "f.toml:12: raw ?[2J??");
}
END_TEST

/* However long the texts are, whole lines stay, and the rest is counted. */
START_TEST(what_does_not_fit_is_counted)
{
	char filler[1200];
	memset(filler, 'x', sizeof(filler));
	filler[sizeof(filler) - 1] = '\0';
	for (int len = 0; len < (int)sizeof(filler); len++) {
		struct err err;
		struct conf_mistakes mistakes = {.file = "f.toml", .err = &err};
		for (unsigned i = 0; i < 200; i++)
			conf_mistake(&mistakes, 1, "%.*s", len, filler);
		ck_assert_int_eq(conf_mistakes_end(&mistakes), -EINVAL);
		ck_assert_uint_lt(strlen(err.text), sizeof(err.text));
		ck_assert_int_eq(strncmp(err.text, "f.toml:1: ", 10), 0);
		unsigned lines = 0, more = 0;
		for (const char *p = err.text; (p = strchr(p, '\n')); p++)
			lines++;
		ck_assert_int_eq(sscanf(strrchr(err.text, '\n'), "\nand %u more", &more), 1);
		ck_assert_uint_eq(lines + more, 200);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conf_mistake");
	TCase *tcase = tcase_create("conf_mistake");
	tcase_add_test(tcase, none_leaves_the_error_alone);
	tcase_add_test(tcase, each_has_its_line);
	tcase_add_test(tcase, what_does_not_fit_is_counted);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
