#include "survey.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel_table.h"
#include "netns.h"
#include "suite.h"

static struct survey survey;

static void survey_now(const uint16_t *ports, size_t count)
{
	struct nlsock sock;
	struct err err = {""};
	ck_assert_int_eq(nlsock_open(&sock, -1, &err), 0);
	ck_assert_msg(survey_read(&survey, &sock, ports, count, &err) == 0, "%s", err.text);
	nlsock_close(&sock);
	ck_assert(!survey.cut);
}

/* Loads a table with one nat chain of these rules, beside a chain `sub`. */
static void load(const char *type_and_hook, const char *rules)
{
	shell("nft delete table inet theirs 2>/dev/null || true");
	shell("printf 'table inet theirs {\\n chain sub {\\n meta l4proto tcp dnat ip to 192.0.2.8:2500\\n "
	      "}\\n"
	      " chain gone {\\n tcp dport 25 return\\n meta l4proto tcp redirect to :2501\\n }\\n"
	      " chain out {\\n type %s\\n%s\\n}\\n}\\n' | nft -f -",
		type_and_hook, rules);
}

/* One rule at a time, in a nat chain at output. */
static const struct {
	const char *rule;
	const char *words; /* of the finding; NULL: none */
	uint16_t from_port, to_port;
	bool any_port;
} rules[] = {
	{"tcp dport 25 dnat ip to 192.0.2.9:2525", "tcp dport 25 dnat to 192.0.2.9:2525", 25, 2525, false},
	{"tcp dport 25 dnat ip6 to [2001:db8::9]:2525", "tcp dport 25 dnat to [2001:db8::9]:2525", 25, 2525,
		false},
	{"tcp dport 25 dnat ip to 192.0.2.9", "tcp dport 25 dnat to 192.0.2.9", 25, 0, false},
	{"tcp dport smtp counter redirect to :2525", "tcp dport 25 redirect to :2525", 25, 2525, false},
	{"tcp dport { 25, 587 } redirect to :2525", "tcp dport { 25, 587 } redirect to :2525", 25, 2525,
		true},
	{"tcp dport { 20-30, 587 } redirect to :2525", "tcp dport { 20-30, 587 } redirect to :2525", 25, 2525,
		true},
	{"tcp dport 20-30 redirect to :2525", "tcp dport >= 20 tcp dport <= 30 redirect to :2525", 25, 2525,
		true},
	{"tcp dport != 587 redirect to :2525", "tcp dport != 587 redirect to :2525", 25, 2525, true},
	{"tcp dport != { 587, 465 } redirect to :2525", "tcp dport != { 465, 587 } redirect to :2525", 25,
		2525, true},
	{"meta l4proto tcp redirect to :2525", "meta l4proto tcp redirect to :2525", 25, 2525, true},
	{"meta l4proto { tcp, udp } redirect to :2525", "meta l4proto { … } redirect to :2525", 25, 2525,
		true},
	{"ip daddr 198.51.100.0/24 tcp dport 25 redirect to :2525",
		"ip daddr 198.51.100.0/24 tcp dport 25 redirect to :2525", 25, 2525, false},
	{"ip daddr 198.51.100.128/25 tcp dport 25 redirect to :2525",
		"ip daddr 198.51.100.128/25 tcp dport 25 redirect to :2525", 25, 2525, false},
	{"ip6 saddr 2001:db8::/48 tcp dport 25 redirect to :2525",
		"ip6 saddr 2001:db8::/48 tcp dport 25 redirect to :2525", 25, 2525, false},
	{"meta skuid 104 tcp dport 25 redirect to :2525", "meta skuid 104 tcp dport 25 redirect to :2525", 25,
		2525, false},
	{"oifname \"eth0\" tcp dport 25 redirect to :2525", "oifname \"eth0\" tcp dport 25 redirect to :2525",
		25, 2525, false},
	{"ip daddr . tcp dport { 192.0.2.1 . 25 } redirect to :2525",
		"meta l4proto tcp ip daddr { … } redirect to :2525", 25, 2525, true},
	{"dnat ip to tcp dport map { 25 : 192.0.2.7 }", "tcp dport map { 25 } dnat by map", 25, 0, false},
	{"tcp dport 25 jump sub", "meta l4proto tcp dnat to 192.0.2.8:2500", 25, 2500, false},
	{"tcp dport vmap { 25 : jump sub, 26 : accept }", "meta l4proto tcp dnat to 192.0.2.8:2500", 25, 2500,
		false},
	{"tcp dport 587 redirect to :25", "tcp dport 587 redirect to :25", 0, 25, true},
	{"tcp dport 587 redirect to :2525", NULL, 0, 0, false},
	{"tcp dport { 26, 587 } redirect to :2525", NULL, 0, 0, false},
	{"tcp dport { 26-30 } redirect to :2525", NULL, 0, 0, false},
	{"tcp dport != 25 redirect to :2525", NULL, 0, 0, false},
	{"tcp dport > 25 redirect to :2525", NULL, 0, 0, false},
	{"tcp dport < 25 redirect to :2525", NULL, 0, 0, false},
	{"udp dport 25 redirect to :2525", NULL, 0, 0, false},
	{"dnat ip to tcp dport map { 26 : 192.0.2.7 }", NULL, 0, 0, false},
	{"tcp dport vmap { 25 : accept, 26 : jump gone }", NULL, 0, 0, false},
	{"tcp dport 26 jump sub", NULL, 0, 0, false},
	{"tcp dport 25 jump gone", NULL, 0, 0, false},
	{"tcp dport 25 accept\n meta l4proto tcp redirect to :2525", NULL, 0, 0, false},
	{"tcp dport 25 ip daddr 192.0.2.1 accept\n tcp dport 25 redirect to :2525",
		"tcp dport 25 redirect to :2525", 25, 2525, false},
};

START_TEST(test_a_rule)
{
	static const uint16_t smtp[] = {25};
	netns_fresh();
	load("nat hook output priority -100;", rules[_i].rule);
	survey_now(smtp, 1);
	ck_assert_uint_eq(survey.table_count, 1);
	ck_assert_msg(survey.nat_count == (rules[_i].words ? 1 : 0), "%s: %zu findings (%s)", rules[_i].rule,
		survey.nat_count, survey.nat_count ? survey.nats[0].words : "");
	if (!rules[_i].words)
		return;
	const struct survey_nat *nat = &survey.nats[0];
	ck_assert_str_eq(nat->words, rules[_i].words);
	ck_assert_uint_eq(nat->from_port, rules[_i].from_port);
	ck_assert_uint_eq(nat->to_port, rules[_i].to_port);
	ck_assert_msg(nat->any_port == rules[_i].any_port, "%s: any port %d", rules[_i].rule, nat->any_port);
	ck_assert_str_eq(nat->family, "inet");
	ck_assert_str_eq(nat->table, "theirs");
	ck_assert_str_eq(nat->base, "out");
	ck_assert_int_eq(nat->priority, -100);
	ck_assert(!nat->prerouting && !nat->iptables && nat->owner == 0);
	/* By its handle it can be removed. */
	shell("nft delete rule %s %s %s handle %llu", nat->family, nat->table, nat->chain,
		(unsigned long long)nat->handle);
	survey_now(smtp, 1);
	ck_assert_uint_eq(survey.nat_count, 0);
}
END_TEST

/* As iptables of Debian gives them to nftables. */
static const struct {
	const char *command, *words;
	uint16_t to_port;
} iptables[] = {
	{"iptables -t nat -A OUTPUT -p tcp --dport 25 -j DNAT --to-destination 192.0.2.9:2525",
		"tcp dport 25 DNAT to 192.0.2.9:2525", 2525},
	{"iptables -t nat -A OUTPUT -p tcp -m tcp --dport 20:30 -j REDIRECT --to-ports 2525",
		"tcp dport 20-30 REDIRECT to :2525", 2525},
	{"iptables -t nat -A PREROUTING -p tcp -m multiport --dports 25,587 -j DNAT --to-destination "
	 "192.0.2.9",
		"tcp dport { 25, 587 } DNAT to 192.0.2.9", 0},
	{"ip6tables -t nat -A OUTPUT -p tcp --dport 25 -j DNAT --to-destination [2001:db8::9]:2525",
		"tcp dport 25 DNAT to [2001:db8::9]:2525", 2525},
	{"iptables -t nat -A OUTPUT -p tcp -m multiport --dports 465,587 -j REDIRECT --to-ports 2525", NULL,
		0},
	{"iptables -t nat -A OUTPUT -p udp --dport 25 -j REDIRECT --to-ports 2525", NULL, 0},
	{"iptables -t nat -A POSTROUTING -p tcp --dport 25 -j SNAT --to-source 192.0.2.9", NULL, 0},
	{"iptables -A OUTPUT -p tcp --dport 25 -j ACCEPT", NULL, 0},
};

START_TEST(test_iptables)
{
	static const uint16_t smtp[] = {25};
	netns_fresh();
	shell("%s", iptables[_i].command);
	survey_now(smtp, 1);
	ck_assert_msg(survey.nat_count == (iptables[_i].words ? 1 : 0), "%s: %zu findings",
		iptables[_i].command, survey.nat_count);
	if (!iptables[_i].words)
		return;
	ck_assert_str_eq(survey.nats[0].words, iptables[_i].words);
	ck_assert_uint_eq(survey.nats[0].from_port, 25);
	ck_assert_uint_eq(survey.nats[0].to_port, iptables[_i].to_port);
	ck_assert(survey.nats[0].prerouting == (strstr(iptables[_i].command, "PREROUTING") != NULL));
	ck_assert(survey.nats[0].iptables);
	ck_assert_str_eq(survey.nats[0].table, "nat");
}
END_TEST

START_TEST(test_every_diverted_port)
{
	static const uint16_t ports[] = {25, 2500, 10025};
	netns_fresh();
	load("nat hook prerouting priority dstnat;", "tcp dport 10025 redirect to :1\n tcp dport { 25, 2500 "
						     "} redirect to :2\n tcp dport 26 redirect to :2500");
	survey_now(ports, 3);
	ck_assert_uint_eq(survey.nat_count, 3);
	ck_assert_uint_eq(survey.nats[0].from_port, 10025);
	ck_assert_uint_eq(survey.nats[1].from_port, 25);
	ck_assert(!survey.nats[1].any_port);
	ck_assert_uint_eq(survey.nats[2].from_port, 0);
	ck_assert_uint_eq(survey.nats[2].to_port, 2500);
	ck_assert(survey.nats[0].prerouting);
}
END_TEST

/* Rules behind a rule that takes port 25 are named, too: they are next when that one is removed. */
START_TEST(test_all_in_one_chain)
{
	static const uint16_t smtp[] = {25};
	netns_fresh();
	load("nat hook output priority 0;", "tcp dport 25 redirect to :1\n tcp dport 25 jump sub\n meta "
					    "l4proto tcp jump sub\n tcp dport 25 goto sub");
	survey_now(smtp, 1);
	ck_assert_uint_eq(survey.nat_count, 2);
}
END_TEST

/*
 * A circle of jumps is refused by the kernel; a wide net of them, up to 8^13 ways, is walked once. Older kernels go each
 * way themselves when it is loaded: there it is as deep as they do in a second.
 */
START_TEST(test_many_jumps)
{
	static const uint16_t smtp[] = {25};
	char last[16];
	uint64_t began, lasted = 0;
	for (int depth = 4; depth <= 13 && lasted < 1000; depth++) {
		netns_fresh();
		began = now_ms();
		shell("{ echo 'table ip wide {'; echo 'chain c%d {'; echo 'meta l4proto tcp redirect to :2'; "
		      "echo '}';"
		      " for i in $(seq %d -1 1); do echo \"chain c$i {\"; for k in 1 2 3 4 5 6 7 8; do"
		      " echo \"jump c$((i + 1))\"; done; echo '}'; done;"
		      " echo 'chain c0 {'; echo 'type nat hook output priority 0'; echo 'jump c1'; echo '}'; "
		      "echo '}'; } |"
		      " nft -f -",
			depth + 1, depth);
		lasted = now_ms() - began;
		survey_now(smtp, 1);
		ck_assert_uint_eq(survey.nat_count, 1);
		snprintf(last, sizeof(last), "c%d", depth + 1);
		ck_assert_str_eq(survey.nats[0].chain, last);
		ck_assert_str_eq(survey.nats[0].base, "c0");
	}
}
END_TEST

START_TEST(test_dormant)
{
	static const uint16_t smtp[] = {25};
	netns_fresh();
	shell("nft 'table inet asleep { flags dormant; }; table ip awake { }'");
	survey_now(smtp, 1);
	ck_assert_uint_eq(survey.table_count, 2);
	ck_assert(!survey.own_dormant);
	for (size_t i = 0; i < 2; i++)
		ck_assert(((survey.tables[i].flags & KERNEL_TABLE_DORMANT) != 0) ==
			  (strcmp(survey.tables[i].name, "asleep") == 0));
	shell("nft 'table inet mxmirage { flags dormant; }'");
	survey_now(smtp, 1);
	ck_assert(survey.own_dormant);
	ck_assert_uint_eq(survey.table_count, 2);
}
END_TEST

/* What our own tables do is no finding; a table of our name in another family is not ours. */
START_TEST(test_our_own)
{
	static const uint16_t smtp[] = {25};
	netns_fresh();
	for (int i = 0; i < 2; i++)
		shell("nft 'table netdev mxmirage { }; table inet %s { chain o { type nat hook output "
		      "priority -199; tcp dport 25 "
		      "redirect to "
		      ":4025; }; }'",
			i ? "mxmirage_static" : "mxmirage");
	survey_now(smtp, 1);
	ck_assert_uint_eq(survey.nat_count, 0);
	ck_assert_uint_eq(survey.table_count, 0);
	shell("nft 'table ip mxmirage { chain o { type nat hook output priority -150; tcp dport 25 redirect "
	      "to :1; }; }'");
	survey_now(smtp, 1);
	ck_assert_uint_eq(survey.nat_count, 1);
}
END_TEST

/* A rule with an expression that libnftnl 1.2.4 does not know (inner, of Linux 6.2 and later) hides no other. */
START_TEST(test_unknown_expression)
{
	static const uint16_t smtp[] = {25};
	struct utsname kernel;
	unsigned major = 0, minor = 0;
	ck_assert_int_eq(uname(&kernel), 0);
	ck_assert_int_eq(sscanf(kernel.release, "%u.%u", &major, &minor), 2);
	if (major < 6 || (major == 6 && minor < 2))
		return;
	netns_fresh();
	load("nat hook output priority -100;", "tcp dport 25 redirect to :2525");
	struct nlsock sock;
	struct nlbatch batch;
	struct err err = {""};
	ck_assert_int_eq(nlsock_open(&sock, -1, &err), 0);
	ck_assert_int_eq(nlbatch_init(&batch, &sock, 0), 0);
	struct nlmsghdr *nlh =
		nlbatch_add(&batch, NFT_MSG_NEWRULE, NFPROTO_INET, NLM_F_CREATE | NLM_F_APPEND, "rule");
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, "theirs");
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, "gone");
	struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_RULE_EXPRESSIONS);
	struct nlattr *elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, "inner");
	struct nlattr *data = mnl_attr_nest_start(nlh, NFTA_EXPR_DATA);
	/* NFTA_INNER_NUM, _TYPE (VXLAN), _FLAGS (all), _HDRSIZE; a header file of Debian 12 has none of them. */
	mnl_attr_put_u32(nlh, 1, htonl(0));
	mnl_attr_put_u32(nlh, 2, htonl(1));
	mnl_attr_put_u32(nlh, 3, htonl(0xf));
	mnl_attr_put_u32(nlh, 4, htonl(8));
	struct nlattr *expr = mnl_attr_nest_start(nlh, 5);
	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, "meta");
	struct nlattr *meta = mnl_attr_nest_start(nlh, NFTA_EXPR_DATA);
	mnl_attr_put_u32(nlh, NFTA_META_DREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(nlh, NFTA_META_KEY, htonl(NFT_META_PROTOCOL));
	mnl_attr_nest_end(nlh, meta);
	mnl_attr_nest_end(nlh, expr);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, elem);
	mnl_attr_nest_end(nlh, list);
	ck_assert_msg(nlsock_commit(&sock, &batch, NULL, &err) == 0, "%s", err.text);
	nlbatch_done(&batch);
	nlsock_close(&sock);
	survey_now(smtp, 1);
	ck_assert_uint_eq(survey.unread, 1);
	ck_assert_uint_eq(survey.nat_count, 1);
}
END_TEST

START_TEST(test_without_privilege)
{
	netns_fresh();
	pid_t child = suite_fork();
	if (child == 0) {
		static const uint16_t smtp[] = {25};
		struct nlsock sock;
		struct err err = {""};
		bool fine = setresuid(65534, 65534, 65534) == 0 && nlsock_open(&sock, -1, &err) == 0 &&
			    survey_read(&survey, &sock, smtp, 1, &err) == -EPERM &&
			    strstr(err.text, "CAP_NET_ADMIN");
		_exit(fine ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("survey");
	TCase *tcase = tcase_create("survey");
	tcase_add_loop_test(tcase, test_a_rule, 0, sizeof(rules) / sizeof(rules[0]));
	tcase_add_loop_test(tcase, test_iptables, 0, sizeof(iptables) / sizeof(iptables[0]));
	tcase_add_test(tcase, test_every_diverted_port);
	tcase_add_test(tcase, test_all_in_one_chain);
	tcase_add_test(tcase, test_many_jumps);
	tcase_add_test(tcase, test_dormant);
	tcase_add_test(tcase, test_our_own);
	tcase_add_test(tcase, test_unknown_expression);
	tcase_add_test(tcase, test_without_privilege);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
