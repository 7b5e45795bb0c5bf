#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "suite.h"

static const struct column spec[] = {
	{.title = "name", .width_max = 6},
	{.title = "text", .elastic = true},
	{.title = "n", .number = true},
	{.title = "seen", .expendable = true},
	{.title = "line", .expendable = true},
};

static const struct {
	unsigned indent, width;
	const char *shown;
} cases[] = {
	{0, 0,
		"name      text                                        n  seen     line\n"
		"mailbox1  0123456789012345678901234567890123456789  100  2026-02  7\n"},
	{0, 68,
		"name    text                                        n  seen     line\n"
		"mailb…  0123456789012345678901234567890123456789  100  2026-02  7\n"},
	{0, 67,
		"name    text                                       n  seen     line\n"
		"mailb…  01234567890123456789012345678901234567…  100  2026-02  7\n"},
	{0, 60,
		"name    text                                n  seen     line\n"
		"mailb…  0123456789012345678901234567890…  100  2026-02  7\n"},
	{0, 57,
		"name    text                                   n  seen\n"
		"mailb…  0123456789012345678901234567890123…  100  2026-02\n"},
	{2, 57,
		"  name    text                                 n  seen\n"
		"  mailb…  01234567890123456789012345678901…  100  2026-02\n"},
	{0, 50,
		"name    text                                     n\n"
		"mailb…  012345678901234567890123456789012345…  100\n"},
	/* Too narrow for all: the elastic one keeps what can be read. */
	{0, 20,
		"name    text                                n\n"
		"mailb…  0123456789012345678901234567890…  100\n"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

START_TEST(columns_fit_the_window)
{
	struct columns *columns = columns_new(spec, COUNT(spec));
	const char *const cells[] = {
		"mailbox1", "0123456789012345678901234567890123456789", "100", "2026-02", "7"};
	columns_add(columns, cells);
	char *shown = NULL;
	size_t len;
	FILE *to = open_memstream(&shown, &len);
	ck_assert_int_eq(columns_print(columns, to, cases[_i].indent, cases[_i].width), 0);
	fclose(to);
	ck_assert_str_eq(shown, cases[_i].shown);
	free(shown);
	columns_free(columns);
}
END_TEST

START_TEST(a_terminal_is_shown_nothing_raw)
{
	struct columns *columns = columns_new(spec, 1);
	const char *const cells[] = {"a\x1b[1m"};
	columns_add(columns, cells);
	char *shown = NULL;
	size_t len;
	FILE *to = open_memstream(&shown, &len);
	ck_assert_int_eq(columns_print(columns, to, 0, 0), 0);
	fclose(to);
	ck_assert_str_eq(shown, "name\na?[1m\n");
	free(shown);
	columns_free(columns);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("columns");
	TCase *tests = tcase_create("columns");
	tcase_add_loop_test(tests, columns_fit_the_window, 0, COUNT(cases));
	tcase_add_test(tests, a_terminal_is_shown_nothing_raw);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
