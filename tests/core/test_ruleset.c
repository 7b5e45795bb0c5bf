#include "ruleset.h"

#include "core/rules.h"

static void holds(struct ruleset *rules, const char *path)
{
	char *printed = rules_text(rules);
	FILE *from = fopen(path, "r");
	ck_assert_msg(from != NULL, "%s cannot be read", path);
	char wanted[16384];
	size_t len = fread(wanted, 1, sizeof(wanted) - 1, from);
	fclose(from);
	wanted[len] = '\0';
	ck_assert_str_eq(printed, wanted);
	free(printed);
	ruleset_free(rules);
}

START_TEST(test_prints_the_files_in_rules)
{
	holds(rules_default(), RULES_DEFAULT_FILE);
	holds(rules_example(), RULES_EXAMPLE_FILE);
}
END_TEST

START_TEST(test_keeps_nothing_of_the_configuration)
{
	struct conf conf = conf_default();
	struct conf_block *exclude = malloc(sizeof(*exclude));
	*exclude = block("192.0.2.0", 24);
	conf.divert.exclude = exclude;
	conf.divert.exclude_count = 1;
	struct ruleset *rules = rules_of(&conf);
	memset(exclude, 0xff, sizeof(*exclude));
	free(exclude);
	conf.divert.ports[0] = 1;
	char *text = rules_text(rules);
	ck_assert_ptr_nonnull(strstr(text, "elements = { 192.0.2.0/24 }"));
	ck_assert_ptr_nonnull(strstr(text, "elements = { 25 }"));
	free(text);
	ruleset_free(rules);
}
END_TEST

/* What follows holds for every rule that may ever be added, so it is not read off the printed form.
 */

static bool has(const struct ruleset_rule *rule, enum ruleset_kind kind)
{
	for (size_t i = 0; i < rule->term_count; i++)
		if (rule->terms[i].kind == kind)
			return true;
	return false;
}

static bool ends(enum ruleset_kind kind)
{
	return kind == RULESET_ACCEPT || kind == RULESET_DROP || kind == RULESET_RESET ||
	       kind == RULESET_REDIRECT;
}

START_TEST(test_every_rule_is_whole)
{
	struct ruleset *rules = rules_default();
	bool chain_seen[RULESET_CHAINS] = {false};
	for (size_t i = 0; i < rules->rule_count; i++) {
		const struct ruleset_rule *rule = &rules->rules[i];
		ck_assert_int_ge(rule->term_count, 2);
		/* One verdict, at its end. */
		for (size_t t = 0; t < rule->term_count; t++)
			ck_assert_msg(
				ends(rule->terms[t].kind) == (t == rule->term_count - 1), "rule %zu", i);
		/* What is not accepted is counted. */
		ck_assert_msg(has(rule, RULESET_ACCEPT) || has(rule, RULESET_COUNT), "rule %zu", i);
		/* A reset answers TCP alone: the kernel drops anything else without a word. */
		if (has(rule, RULESET_RESET) || has(rule, RULESET_REDIRECT))
			ck_assert_msg(has(rule, RULESET_DPORT_IN_SET) || has(rule, RULESET_DPORT_LISTENERS),
				"rule %zu", i);
		/* Each chain's rules stand together. */
		if (i > 0 && rule->chain != rules->rules[i - 1].chain)
			ck_assert_msg(!chain_seen[rule->chain], "rule %zu", i);
		chain_seen[rule->chain] = true;
	}
	for (int i = 0; i < RULESET_CHAINS; i++)
		ck_assert_msg(chain_seen[i], "chain %s is empty", rules->chains[i].name);
	ruleset_free(rules);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ruleset");
	TCase *cases = tcase_create("ruleset");
	tcase_add_test(cases, test_prints_the_files_in_rules);
	tcase_add_test(cases, test_keeps_nothing_of_the_configuration);
	tcase_add_test(cases, test_every_rule_is_whole);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
