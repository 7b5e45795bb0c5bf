#include "ruleset.h"

#include "core/rules.h"
#include "suite.h"

static void holds(struct ruleset *rules, const char *path)
{
	char *printed = rules_text(rules);
	FILE *from = fopen(path, "r");
	ck_assert_msg(from != NULL, "%s cannot be read", path);
	static char wanted[262144];
	size_t len = fread(wanted, 1, sizeof(wanted) - 1, from);
	fclose(from);
	wanted[len] = '\0';
	/* Check has no room for the whole of either. */
	size_t same = 0;
	while (printed[same] && printed[same] == wanted[same])
		same++;
	ck_assert_msg(printed[same] == wanted[same],
		"%s: from octet %zu on it should be\n%.200s\nand is\n%.200s", path, same, printed + same,
		wanted + same);
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
	struct ruleset *rules = rules_of(&conf, RULESET_OWNED);
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
	       kind == RULESET_REDIRECT || kind == RULESET_JUMP_EGRESS;
}

static void assert_whole(const struct ruleset_table *table, const struct ruleset_rule *rule)
{
	/* One verdict, at its end. */
	for (size_t t = 0; t < rule->term_count; t++)
		ck_assert_msg(ends(rule->terms[t].kind) == (t == rule->term_count - 1), "%s", rule->chain);
	/* What is not accepted is counted. */
	ck_assert_msg(has(rule, RULESET_ACCEPT) || has(rule, RULESET_COUNT) || has(rule, RULESET_JUMP_EGRESS),
		"%s", rule->chain);
	/* A reset answers TCP alone: the kernel drops anything else without a word. */
	if (has(rule, RULESET_RESET) || has(rule, RULESET_REDIRECT))
		ck_assert_msg(has(rule, RULESET_DPORT_IN_SET) || has(rule, RULESET_DPORT_LISTENERS) ||
				      has(rule, RULESET_TCP),
			"%s", rule->chain);
	ck_assert_msg(ruleset_chain_find(table, rule->chain) != NULL, "%s", rule->chain);
}

START_TEST(test_every_rule_is_whole)
{
	struct ruleset *rules = rules_default();
	ck_assert_uint_eq(rules->table_count, RULESET_TABLES);
	for (size_t t = 0; t < rules->table_count; t++) {
		const struct ruleset_table *table = &rules->tables[t];
		for (size_t i = 0; i < table->rule_count; i++)
			assert_whole(table, &table->rules[i]);
		for (size_t c = 0; c < table->chain_count; c++) {
			/* Each chain has rules, and they stand together. */
			size_t blocks = 0;
			for (size_t i = 0; i < table->rule_count; i++)
				blocks += strcmp(table->rules[i].chain, table->chains[c].name) == 0 &&
					  (i == 0 || strcmp(table->rules[i - 1].chain,
							     table->chains[c].name) != 0);
			ck_assert_msg(blocks == 1, "%s %s", table->name, table->chains[c].name);
		}
	}
	ruleset_free(rules);
}
END_TEST

/* The static wall stops all that the owned tables stop, behind them; a counter is in the table that counts it. */
START_TEST(test_wall_is_the_guard)
{
	struct ruleset *rules = rules_example();
	const struct ruleset_table *guard = &rules->tables[RULESET_GUARD],
				   *wall = &rules->tables[RULESET_WALL];
	const struct ruleset_table *egress = &rules->tables[RULESET_EGRESS],
				   *wall_egress = &rules->tables[RULESET_WALL_EGRESS];
	for (size_t i = 0; i < wall->chain_count; i++) {
		const struct ruleset_chain_spec *same = ruleset_chain_find(guard, wall->chains[i].name);
		ck_assert_ptr_nonnull(same);
		ck_assert_uint_eq(same->hook, wall->chains[i].hook);
		ck_assert_int_lt(same->priority, wall->chains[i].priority);
	}
	size_t skipped = guard->rule_count - wall->rule_count;
	ck_assert_mem_eq(wall->rules, guard->rules + skipped, wall->rule_count * sizeof(*wall->rules));
	ck_assert_uint_eq(egress->rule_count, wall_egress->rule_count);
	ck_assert_mem_eq(egress->rules, wall_egress->rules, egress->rule_count * sizeof(*egress->rules));
	ck_assert_uint_eq(guard->counters, (1u << RULESET_COUNTERS) - 1 - (1u << RULESET_DROPPED_EGRESS));
	ck_assert_uint_eq(egress->counters, 1u << RULESET_DROPPED_EGRESS);
	ruleset_free(rules);
}
END_TEST

/* Each device once, under a name that nft can read, whatever the device is called. */
START_TEST(test_names_chains_of_devices)
{
	static const char names[][IFNAMSIZ] = {"eth0", "tun_0", "a@b\xff", "br-1.2", "eth0"};
	static const struct ruleset_devices devices = {names, 5, NULL};
	struct conf conf = conf_default();
	strcpy(conf.guard.devices[0], "tun_0");
	conf.guard.device_count = 1;
	struct err err = {""};
	struct ruleset *rules = ruleset_new(&conf, RULESET_OWNED, &devices, &err);
	ck_assert_ptr_nonnull(rules);
	static const char *const chains[] = {"dev_eth0", "dev_tun_5f0", "dev_a_40b_ff", "dev_br-1.2"};
	const struct ruleset_table *egress = &rules->tables[RULESET_EGRESS];
	ck_assert_uint_eq(egress->chain_count, 1 + 4);
	for (size_t i = 0; i < 4; i++) {
		const struct ruleset_chain_spec *chain = ruleset_chain_find(egress, chains[i]);
		ck_assert_msg(chain != NULL, "%s", chains[i]);
		ck_assert_str_eq(chain->device, names[i]);
	}
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
	tcase_add_test(cases, test_wall_is_the_guard);
	tcase_add_test(cases, test_names_chains_of_devices);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
