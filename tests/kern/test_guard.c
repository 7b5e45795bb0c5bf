#include "guard.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/rules.h"
#include "netns.h"

static void lists_what_is_printed(void)
{
	struct guard *guard = guard_new(NULL);
	struct ruleset *rules = rules_example();
	struct err err = {""};
	ck_assert_msg(guard_arm(guard, rules, &err) == 0, "%s", err.text);
	char *listed = nft_list(), *printed = rules_text(rules);
	assert_same_text(listed, printed);
	free(listed);
	free(printed);
	ruleset_free(rules);
	guard_free(guard);
}

START_TEST(test_list)
{
	netns_run(lists_what_is_printed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guard");
	TCase *cases = tcase_create("guard");
	tcase_add_test(cases, test_list);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
