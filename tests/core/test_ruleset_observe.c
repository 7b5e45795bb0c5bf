#include "ruleset_observe.h"

#include "core/rules.h"
#include "suite.h"

static struct ruleset *rules_observed(enum ruleset_means output, bool log)
{
	struct ruleset *rules = rules_default();
	struct ruleset_observation observation = {output, log};
	ck_assert_int_eq(ruleset_observe(rules, &observation, NULL), 0);
	return rules;
}

static bool is_shown(const struct ruleset_rule *rule)
{
	enum ruleset_kind last = rule->terms[rule->term_count - 1].kind;
	return last == RULESET_LOG || last == RULESET_QUEUE || last == RULESET_QUEUE_XT;
}

static bool same(const struct ruleset_rule *a, const struct ruleset_rule *b)
{
	return a->term_count == b->term_count &&
	       memcmp(a->terms, b->terms, a->term_count * sizeof(a->terms[0])) == 0;
}

static size_t matches(const struct ruleset_rule *rule)
{
	size_t count = 0;
	while (count < rule->term_count && rule->terms[count].kind < RULESET_COUNT)
		count++;
	return count;
}

/* Whatever meets `narrow` would meet `wide`. */
static bool covers(const struct ruleset_rule *wide, const struct ruleset_rule *narrow)
{
	return matches(wide) <= matches(narrow) &&
	       memcmp(wide->terms, narrow->terms, matches(wide) * sizeof(wide->terms[0])) == 0;
}

/* On its way to a diverted port; replies from there are nobody's try. */
static bool is_stop(const struct ruleset_rule *rule)
{
	const struct ruleset_term *end = &rule->terms[rule->term_count - 1];
	return (end->kind == RULESET_RESET || end->kind == RULESET_DROP) &&
	       end[-1].counter != RULESET_DROPPED_REPLIES;
}

/* `rule` counts and drops as `plain` does, if by way of the chain "stopped". */
static bool same_by_goto(const struct ruleset_rule *rule, const struct ruleset_rule *plain)
{
	size_t matches = rule->term_count - 1;
	return rule->terms[matches].kind == RULESET_GOTO_STOPPED && plain->term_count == matches + 2 &&
	       plain->terms[matches].kind == RULESET_COUNT &&
	       plain->terms[matches].counter == RULESET_DROPPED_EGRESS &&
	       plain->terms[matches + 1].kind == RULESET_DROP &&
	       memcmp(rule->terms, plain->terms, matches * sizeof(rule->terms[0])) == 0;
}

/* The rules of `chain` that decide, one after the other: those of `plain` again. Returns how many only show. */
static size_t assert_decides(const struct ruleset_table *table, const char *chain,
	const struct ruleset_table *plain, const char *plain_chain)
{
	size_t at = 0, shown = 0;
	const struct ruleset_rule *last = NULL;
	for (size_t i = 0; i < table->rule_count; i++) {
		const struct ruleset_rule *rule = &table->rules[i];
		if (strcmp(rule->chain, chain) != 0)
			continue;
		if (is_shown(rule)) {
			/* Right before the rules that stop what it shows, and seldom. */
			ck_assert_int_eq(rule->terms[rule->term_count - 2].kind, RULESET_LIMIT);
			ck_assert(covers(rule, &rule[1]));
			last = rule;
			shown++;
			continue;
		}
		/* Where any is shown, each is, once. */
		ck_assert(!last || !is_stop(rule) || covers(last, rule));
		while (at < plain->rule_count && strcmp(plain->rules[at].chain, plain_chain) != 0)
			at++;
		ck_assert_msg(at < plain->rule_count, "%s has a rule too many", chain);
		ck_assert_msg(
			same(rule, &plain->rules[at]) || same_by_goto(rule, &plain->rules[at]), "%s", chain);
		at++;
	}
	while (at < plain->rule_count && strcmp(plain->rules[at].chain, plain_chain) != 0)
		at++;
	ck_assert_msg(at == plain->rule_count, "%s lacks a rule", chain);
	return shown;
}

/* What a chain stops: rules one after the other that stop what is left of the same packets are one. */
static size_t stops(const struct ruleset_table *plain, const char *chain)
{
	size_t count = 0;
	for (size_t i = 0; i < plain->rule_count; i++) {
		const struct ruleset_rule *rule = &plain->rules[i];
		count += strcmp(rule->chain, chain) == 0 && is_stop(rule) &&
			 !(i > 0 && strcmp(rule[-1].chain, chain) == 0 && is_stop(&rule[-1]) &&
				 covers(rule, &rule[-1]));
	}
	ck_assert_uint_gt(count, 0);
	return count;
}

static const struct ruleset_observation cases[] = {
	{RULESET_BY_NFT_QUEUE, true},
	{RULESET_BY_XT_QUEUE, true},
	{RULESET_BY_XT_QUEUE, false},
	{RULESET_BY_LOG, true},
	{RULESET_BY_COUNTERS, false},
};

/* Whatever shows it, each packet meets the verdict that it would have met. */
START_TEST(test_decides_nothing)
{
	struct ruleset *plain = rules_default(), *rules = rules_observed(cases[_i].output, cases[_i].log);
	const struct ruleset_table *guard = &rules->tables[RULESET_GUARD],
				   *egress = &rules->tables[RULESET_EGRESS],
				   *plain_guard = &plain->tables[RULESET_GUARD],
				   *plain_egress = &plain->tables[RULESET_EGRESS];
	bool queued = cases[_i].output <= RULESET_BY_XT_QUEUE, logged = cases[_i].output == RULESET_BY_LOG;
	static const char *const elsewhere[] = {"guard_forward", "guard_postrouting"};
	for (size_t i = 0; i < 2; i++)
		ck_assert_uint_eq(assert_decides(guard, elsewhere[i], plain_guard, elsewhere[i]),
			cases[_i].log ? stops(plain_guard, elsewhere[i]) : 0);
	ck_assert_uint_eq(assert_decides(guard, "guard_output", plain_guard, "guard_output"),
		logged ? stops(plain_guard, "guard_output") : 0);
	ck_assert_uint_eq(assert_decides(guard, "guard_input", plain_guard, "guard_input"), 0);
	ck_assert_uint_eq(assert_decides(guard, "divert_output", plain_guard, "divert_output"), 0);
	ck_assert_uint_eq(assert_decides(egress, "egress", plain_egress, "egress"), 0);

	const struct ruleset_chain_spec *escape = ruleset_chain_find(guard, "escape_output"),
					*output = ruleset_chain_find(guard, "guard_output");
	ck_assert_int_eq(escape != NULL, queued);
	if (escape) {
		ck_assert_uint_eq(assert_decides(guard, "escape_output", plain_guard, "guard_output"),
			stops(plain_guard, "guard_output"));
		/* What comes back from the queue still has the guard before it. */
		ck_assert_int_lt(escape->priority, output->priority);
		ck_assert_uint_eq(escape->hook, output->hook);
	}
	size_t stopped = 0;
	for (size_t i = 0; i < egress->rule_count; i++)
		stopped += strcmp(egress->rules[i].chain, "stopped") == 0;
	ck_assert_uint_eq(stopped, cases[_i].log ? 2 : 0);
	if (stopped > 0) {
		const struct ruleset_rule *last = &egress->rules[egress->rule_count - 1];
		ck_assert_str_eq(last->chain, "stopped");
		ck_assert_int_eq(last->terms[0].kind, RULESET_COUNT);
		ck_assert_int_eq(last->terms[1].kind, RULESET_DROP);
	}
	for (enum ruleset_table_id id = RULESET_WALL; id < RULESET_TABLES; id++) {
		ck_assert_uint_eq(rules->tables[id].rule_count, plain->tables[id].rule_count);
		for (size_t i = 0; i < rules->tables[id].rule_count; i++)
			ck_assert(same(&rules->tables[id].rules[i], &plain->tables[id].rules[i]));
	}
	ruleset_free(plain);
	ruleset_free(rules);
}
END_TEST

START_TEST(test_prints)
{
	struct ruleset *rules = rules_observed(RULESET_BY_NFT_QUEUE, true);
	char *text = rules_text(rules);
	static const char *const parts[] = {
		"	chain escape_output {\n		type filter hook output priority 2147483645; policy "
		"accept;\n",
		" limit rate 1200/second burst 900 packets queue flags bypass to 2525\n",
		"		tcp dport @ports limit rate 1200/second burst 900 packets log group 2525\n"
		"		tcp dport @ports counter name \"dropped_postrouting\" drop\n",
		"	chain stopped {\n		limit rate 1200/second burst 900 packets log group "
		"2525\n"
		"		counter name \"dropped_egress\" drop\n	}\n",
		"		tcp dport @ports goto stopped\n",
	};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		ck_assert_msg(strstr(text, parts[i]) != NULL, "not printed: %s", parts[i]);
	free(text);
	ruleset_free(rules);
}
END_TEST

START_TEST(test_names)
{
	ck_assert_str_eq(ruleset_means_name(RULESET_BY_NFT_QUEUE), "nft_queue");
	ck_assert_str_eq(ruleset_means_name(RULESET_BY_XT_QUEUE), "xt_nfqueue");
	ck_assert_str_eq(ruleset_means_name(RULESET_BY_LOG), "nflog");
	ck_assert_str_eq(ruleset_means_name(RULESET_BY_COUNTERS), "counters");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ruleset_observe");
	TCase *tcase = tcase_create("ruleset_observe");
	tcase_add_loop_test(tcase, test_decides_nothing, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_test(tcase, test_prints);
	tcase_add_test(tcase, test_names);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
