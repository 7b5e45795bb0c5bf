/* What changes beside our tables: devices, and what others have. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include "core/rules.h"
#include "guard.h"
#include "guard_scene.h"
#include "kernel.h"
#include "links.h"
#include "netns.h"
#include "nlsock.h"
#include "suite.h"

/* The first device has this number, the next ones those behind it. */
static struct ruleset *rules_for_since(const char *names, unsigned first)
{
	char list[8][IFNAMSIZ] = {""};
	unsigned since[8];
	struct ruleset_devices devices = {(const char(*)[IFNAMSIZ])list, 0, since};
	for (const char *from = names; *from; devices.count++) {
		size_t len = strcspn(from, " ");
		memcpy(list[devices.count], from, len);
		since[devices.count] = first + (unsigned)devices.count;
		from += len + strspn(from + len, " ");
	}
	struct conf conf = conf_default();
	struct err err = {""};
	struct ruleset *rules = ruleset_new(&conf, RULESET_ALL, &devices, &err);
	ck_assert_ptr_nonnull(rules);
	return rules;
}

static struct ruleset *rules_for(const char *names)
{
	return rules_for_since(names, 1);
}

/* From each set of devices to the next. */
static void in_fresh_netns_follows_devices(void)
{
	static const char *const steps[] = {"eth0", "eth0 eth1 wg0", "eth1", "", "a b c d e f g h", "h"};
	struct guard *guard = guard_open();
	struct err err = {""};
	struct ruleset *stands = rules_for("");
	arm(guard, stands);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct ruleset *next = rules_for(steps[i]);
		ck_assert_msg(guard_follow(guard, stands, next, &err) == 0, "%s: %s", steps[i], err.text);
		assert_verified(guard, next);
		ruleset_free(stands);
		stands = next;
	}
	/* A chain that went with its device, as on older kernels, is not missed. */
	shell("nft 'flush chain netdev mxmirage_static dev_h; delete chain netdev mxmirage_static dev_h'");
	struct ruleset *none = rules_for("");
	ck_assert_msg(guard_follow(guard, stands, none, &err) == 0, "%s", err.text);
	assert_verified(guard, none);
	ruleset_free(stands);
	ruleset_free(none);
	guard_free(guard);
}

/* Another device of the same name, between two readings: older kernels took the chain away with the former. */
static void in_fresh_netns_follows_a_namesake(void)
{
	struct guard *guard = guard_open();
	struct err err = {""};
	shell("ip link add d0 type bridge; ip link add d1 type bridge");
	struct ruleset *stands = rules_for_since("d0 d1", 1), *other = rules_for_since("d0 d1", 2);
	arm(guard, stands);
	shell("ip link del d0; ip link add d0 type bridge;"
	      " nft 'flush chain netdev mxmirage_static dev_d0; delete chain netdev mxmirage_static dev_d0' "
	      "|| ! nft list chain netdev mxmirage_static dev_d0");
	ck_assert_int_eq(guard_verify(guard, other, &err), -EPROTO);
	ck_assert_msg(guard_follow(guard, stands, other, &err) == 0, "%s", err.text);
	assert_verified(guard, other);
	ruleset_free(stands);
	ruleset_free(other);
	guard_free(guard);
}

/*
 * A chain of somebody else's for all devices whose names begin so, which libnftnl of Debian 12 cannot parse: whatever
 * else stands beside our tables, they are read. False: this kernel takes none.
 */
static bool add_unreadable_chain(void)
{
	struct err err = {""};
	struct nlsock sock;
	struct nlbatch batch;
	ck_assert_int_eq(nlsock_open(&sock, -1, &err), 0);
	ck_assert_int_eq(nlbatch_init(&batch, &sock, 0), 0);
	struct nlmsghdr *nlh = nlbatch_add(&batch, NFT_MSG_NEWTABLE, NFPROTO_NETDEV, NLM_F_CREATE, "table");
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, "foreign");
	nlh = nlbatch_add(&batch, NFT_MSG_NEWCHAIN, NFPROTO_NETDEV, NLM_F_CREATE, "chain");
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, "foreign");
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, "all");
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, "filter");
	struct nlattr *hook = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
	mnl_attr_put_u32(nlh, NFTA_HOOK_HOOKNUM, htonl(NF_NETDEV_EGRESS));
	mnl_attr_put_u32(nlh, NFTA_HOOK_PRIORITY, 0);
	struct nlattr *devices = mnl_attr_nest_start(nlh, NFTA_HOOK_DEVS);
	mnl_attr_put_strz(nlh, NFTA_DEVICE_NAME + 1, "eth"); /* NFTA_DEVICE_PREFIX of later headers */
	mnl_attr_nest_end(nlh, devices);
	mnl_attr_nest_end(nlh, hook);
	bool taken = nlsock_commit(&sock, &batch, NULL, &err) == 0;
	nlbatch_done(&batch);
	nlsock_close(&sock);
	return taken;
}

/* Nobody has followed what came since: that is seen. */
static void in_fresh_netns_finds_devices_without_a_chain(void)
{
	struct conf conf = conf_default();
	struct err err = {""};
	char first[IFNAMSIZ] = "";
	struct guard *guard = guard_open();
	shell("ip link add h1 type veth peer name h2");
	struct ruleset *rules = links_ruleset_now(&conf, RULESET_ALL, &err);
	arm(guard, rules);
	ruleset_free(rules);
	static const unsigned both = 1u << RULESET_EGRESS | 1u << RULESET_WALL_EGRESS;
	rules = links_ruleset_now(&conf, both, &err);
	ck_assert_int_eq(guard_bare(guard, rules, first, &err), 0);
	ruleset_free(rules);
	shell("ip link add late type veth peer name later");
	rules = links_ruleset_now(&conf, both, &err);
	ck_assert_int_eq(guard_bare(guard, rules, first, &err), 2);
	ck_assert_str_eq(first, "late");
	ruleset_free(rules);
	/* One of the two tables is enough. */
	rules = links_ruleset_now(&conf, RULESET_STATIC, &err);
	arm(guard, rules);
	ruleset_free(rules);
	rules = links_ruleset_now(&conf, both, &err);
	ck_assert_int_eq(guard_bare(guard, rules, first, &err), 0);
	/* A chain that leads nowhere is none. */
	shell("nft flush chain netdev mxmirage_static dev_later");
	ck_assert_int_eq(guard_bare(guard, rules, first, &err), 1);
	ck_assert_str_eq(first, "later");
	ruleset_free(rules);
	guard_free(guard);
}

static void in_fresh_netns_reads_no_others_chains(void)
{
	if (!add_unreadable_chain())
		return;
	struct guard *guard = guard_open();
	struct ruleset *rules = rules_default(), *others = rules_example();
	arm(guard, rules);
	assert_verified(guard, rules);
	arm(guard, others);
	assert_verified(guard, others);
	ck_assert_int_eq(guard_disarm(guard, NULL), 0);
	ruleset_free(rules);
	ruleset_free(others);
	guard_free(guard);
}

static void (*const bodies[])(void) = {
	in_fresh_netns_follows_devices,
	in_fresh_netns_follows_a_namesake,
	in_fresh_netns_reads_no_others_chains,
	in_fresh_netns_finds_devices_without_a_chain,
};

int main(void)
{
	return suite_run(guard_suite("guard_follow", bodies, (int)(sizeof(bodies) / sizeof(bodies[0]))));
}
