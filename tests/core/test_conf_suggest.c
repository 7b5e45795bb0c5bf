#include "conf_suggest.h"

#include <check.h>
#include <stddef.h>

#include "suite.h"

#define OFFERS_MAX 4

static const struct {
	const char *word;
	const char *offers[OFFERS_MAX];
	const char *best;
} cases[] = {
	{"prots", {"ports", "exclude"}, "ports"},
	{"port", {"ports", "exclude"}, "ports"},
	{"portss", {"ports", "exclude"}, "ports"},
	{"exlude", {"ports", "exclude"}, "exclude"},
	{"excluded", {"ports", "exclude"}, "exclude"},
	{"dirvet", {"divert", "listen"}, "divert"},
	{"uesr", {"user"}, "user"},
	/* The nearest counts, and of equally near ones the first. */
	{"sourcs", {"source", "sources"}, "source"},
	{"ab", {"ax", "ab"}, "ab"},
	/* Nothing near. */
	{"banana", {"ports", "exclude"}, NULL},
	{"", {"ports"}, NULL},
	{"x", {"seed", "mode"}, NULL},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", {"ports"}, NULL},
	{"ports", {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, NULL},
};

START_TEST(nearest_is_suggested)
{
	struct conf_suggest suggest = {.word = cases[_i].word};
	for (size_t i = 0; i < OFFERS_MAX && cases[_i].offers[i]; i++)
		conf_suggest_offer(&suggest, cases[_i].offers[i]);
	ck_assert_pstr_eq(suggest.best, cases[_i].best);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conf_suggest");
	TCase *tcase = tcase_create("conf_suggest");
	tcase_add_loop_test(tcase, nearest_is_suggested, 0, sizeof(cases) / sizeof(cases[0]));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
