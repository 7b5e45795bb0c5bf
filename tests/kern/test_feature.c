#include "feature.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rules.h"
#include "guard.h"
#include "netns.h"
#include "suite.h"

static void assert_report(const struct feature_report *report)
{
	/* The guard's own tests pass here, so what the guard needs is here. */
	static const enum feature needed[] = {FEATURE_TABLE, FEATURE_FILTER, FEATURE_NAT, FEATURE_REDIR,
		FEATURE_FIB, FEATURE_CT, FEATURE_REJECT};
	ck_assert_msg(report->rules_code == 0, "%s", report->rules_err.text);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		ck_assert_msg(report->codes[needed[i]] == 0, "%s: %s", feature_name(needed[i]),
			strerror(-report->codes[needed[i]]));
}

/* What nft can load here, and what it cannot, is what the probes say. */
static const struct {
	enum feature feature;
	const char *rules;
} same[] = {
	{FEATURE_NAT, "table inet t { chain c { type nat hook output priority -199; }; }"},
	{FEATURE_EGRESS, "table netdev t { chain c { type filter hook egress device lo priority 0; }; }"},
	{FEATURE_QUEUE, "table inet t { chain c { type filter hook output priority 0; queue num 25; }; }"},
	{FEATURE_LOG, "table inet t { chain c { type filter hook output priority 0; log group 25; }; }"},
	{FEATURE_REJECT, "table inet t { chain c { type filter hook output priority 0; meta l4proto tcp "
			 "reject with tcp reset; }; }"},
};

START_TEST(test_as_nft_says)
{
	netns_fresh();
	struct feature_report report;
	struct err err = {""};
	struct ruleset *rules = rules_default();
	ck_assert_msg(feature_probe(&report, rules, &err) == 0, "%s", err.text);
	assert_report(&report);
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		bool loads = shell_status("nft '%s' 2>/dev/null", same[i].rules) == 0;
		ck_assert_msg(loads == (report.codes[same[i].feature] == 0), "%s: nft %s, the probe: %s",
			feature_name(same[i].feature), loads ? "can" : "cannot",
			strerror(-report.codes[same[i].feature]));
		shell("nft flush ruleset");
	}
	bool xt = shell_status("iptables -A OUTPUT -j NFQUEUE --queue-num 25 2>/dev/null") == 0;
	ck_assert_msg(xt == (report.codes[FEATURE_XT_QUEUE] == 0), "xt_NFQUEUE: iptables %s",
		xt ? "can" : "cannot");
	ruleset_free(rules);
}
END_TEST

/* PERSIST is what the guard makes of it. */
START_TEST(test_persist_as_the_guard_finds)
{
	netns_fresh();
	struct feature_report report;
	struct guard_state state;
	struct err err = {""};
	struct ruleset *rules = rules_default();
	ck_assert_int_eq(feature_probe(&report, rules, &err), 0);
	struct guard *guard = guard_new(-1, &err);
	ck_assert_msg(guard && guard_arm(guard, rules, &err) == 0, "%s", err.text);
	ck_assert_int_eq(guard_state(guard, &state, &err), 0);
	ck_assert(state.persist == (report.codes[FEATURE_PERSIST] == 0));
	guard_free(guard);
	ruleset_free(rules);
}
END_TEST

/* Neither the ruleset of the caller's namespace nor the namespace itself is another one afterwards. */
START_TEST(test_touches_nothing)
{
	netns_fresh();
	shell("nft 'table inet theirs { chain c { type filter hook output priority 0; counter; }; }'");
	char *before = shell_output("nft -a list ruleset; ip -br link");
	struct stat one, two;
	ck_assert_int_eq(stat("/proc/self/ns/net", &one), 0);
	struct feature_report report;
	struct err err = {""};
	struct ruleset *rules = rules_default();
	ck_assert_int_eq(feature_probe(&report, rules, &err), 0);
	ruleset_free(rules);
	char *after = shell_output("nft -a list ruleset; ip -br link");
	ck_assert_int_eq(stat("/proc/self/ns/net", &two), 0);
	assert_same_text(after, before);
	ck_assert_uint_eq(one.st_ino, two.st_ino);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	free(before);
	free(after);
}
END_TEST

/* Rules that the kernel refuses are named. */
START_TEST(test_bad_rules)
{
	netns_fresh();
	struct feature_report report;
	struct err err = {""};
	struct ruleset *rules = rules_default();
	for (size_t i = 0; i < rules->tables[0].chain_count; i++)
		if (strcmp(rules->tables[0].chains[i].name, "divert_output") == 0)
			rules->tables[0].chains[i].priority = -300;
	ck_assert_int_eq(feature_probe(&report, rules, &err), 0);
	ck_assert_int_lt(report.rules_code, 0);
	ck_assert_ptr_nonnull(strstr(report.rules_err.text, "divert_output"));
	ck_assert_int_eq(report.codes[FEATURE_NAT], 0);
	ruleset_free(rules);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("feature");
	TCase *tcase = tcase_create("feature");
	tcase_add_test(tcase, test_as_nft_says);
	tcase_add_test(tcase, test_persist_as_the_guard_finds);
	tcase_add_test(tcase, test_touches_nothing);
	tcase_add_test(tcase, test_bad_rules);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
