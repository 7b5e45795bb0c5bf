#include "plan.h"

#include <errno.h>

#include "compare.h"
#include "core/rules.h"
#include "kernel.h"
#include "netns.h"
#include "suite.h"

/* Reads, plans, and commits after `between`; the code of the commit. */
static int commit(struct nlsock *sock, const struct ruleset *rules, uint32_t flags, const char *between,
	struct err *err)
{
	struct kernel_table table;
	struct nlbatch batch;
	const struct plan_options options = {.flags = flags, .devices_by_name = true};
	ck_assert_msg(kernel_table_read(&table, sock, RULESET_GUARD, false, err) == 0, "%s", err->text);
	ck_assert_int_eq(nlbatch_init(&batch, sock, table.generation), 0);
	ck_assert_int_eq(plan_arm(&batch, &table, &rules->tables[RULESET_GUARD], &options, err), 0);
	if (between)
		shell("%s", between);
	int code = nlsock_commit(sock, &batch, NULL, err);
	nlbatch_done(&batch);
	kernel_table_done(&table);
	return code;
}

static void assert_stands(struct nlsock *sock, const struct ruleset *rules, uint32_t flags)
{
	struct kernel_table table;
	struct err err = {""};
	ck_assert_msg(kernel_table_read(&table, sock, RULESET_GUARD, true, &err) == 0, "%s", err.text);
	ck_assert(table.exists);
	ck_assert_uint_eq(table.flags, flags);
	ck_assert_msg(compare_table(&table, &rules->tables[RULESET_GUARD], true, &err) == 0, "%s", err.text);
	kernel_table_done(&table);
}

static unsigned long refused_packets(struct nlsock *sock)
{
	struct err err = {""};
	struct nftnl_obj_list *objects = kernel_counters_read(sock, RULESET_GUARD, &err);
	ck_assert_msg(objects != NULL, "%s", err.text);
	struct nftnl_obj *counter = kernel_counter_find(objects, "undiverted_refused");
	ck_assert_ptr_nonnull(counter);
	unsigned long packets = nftnl_obj_get_u64(counter, NFTNL_OBJ_CTR_PKTS);
	nftnl_obj_list_free(objects);
	return packets;
}

/* What a kernel without PERSIST is given: a table that belongs to nobody, changed in place. */
START_TEST(test_plain_table)
{
	netns_fresh();
	kernel_needs_devices("eth0 br-lan tun_0");
	struct nlsock sock;
	struct err err = {""};
	ck_assert_int_eq(nlsock_open(&sock, -1, &err), 0);
	struct ruleset *rules = rules_default(), *others = rules_example();
	ck_assert_msg(commit(&sock, rules, 0, NULL, &err) == 0, "%s", err.text);
	assert_stands(&sock, rules, 0);
	ck_assert_int_ne(shell_status("bash -c '</dev/tcp/127.0.0.1/4025' 2>&1"), 0);
	ck_assert_msg(commit(&sock, others, 0, NULL, &err) == 0, "%s", err.text);
	assert_stands(&sock, others, 0);
	ck_assert_uint_eq(refused_packets(&sock), 1);

	/* Later: replaced by an owned one, and the count goes on. */
	uint32_t owned = KERNEL_TABLE_OWNER | (kernel_has(FEATURE_PERSIST) ? KERNEL_TABLE_PERSIST : 0);
	ck_assert_msg(commit(&sock, rules, owned, NULL, &err) == 0, "%s", err.text);
	assert_stands(&sock, rules, owned);
	ck_assert_uint_eq(refused_packets(&sock), 1);
	nlsock_close(&sock);
	ruleset_free(rules);
	ruleset_free(others);
}
END_TEST

/* A plan is for the ruleset that was read: the kernel refuses it when that is no longer the one. */
START_TEST(test_ruleset_changed_meanwhile)
{
	netns_fresh();
	struct nlsock sock;
	struct err err = {""};
	ck_assert_int_eq(nlsock_open(&sock, -1, &err), 0);
	struct ruleset *rules = rules_default();
	ck_assert_int_eq(commit(&sock, rules, 0, "nft add table inet other", &err), -ERESTART);
	ck_assert_int_ne(shell_status("nft list table inet mxmirage 2>&1"), 0);
	ck_assert_msg(commit(&sock, rules, 0, NULL, &err) == 0, "%s", err.text);
	assert_stands(&sock, rules, 0);
	nlsock_close(&sock);
	ruleset_free(rules);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan");
	TCase *cases = tcase_create("plan");
	tcase_add_test(cases, test_plain_table);
	tcase_add_test(cases, test_ruleset_changed_meanwhile);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
