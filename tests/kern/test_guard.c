#include "guard.h"

#include <check.h>
#include <errno.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/rules.h"
#include "guard_scene.h"
#include "kernel.h"
#include "netns.h"
#include "suite.h"

/* Persist where this kernel can. */
static void assert_state(struct guard *guard, bool armed, bool owner, bool persist)
{
	struct guard_state state;
	struct err err = {""};
	ck_assert_msg(guard_state(guard, &state, &err) == 0, "%s", err.text);
	ck_assert_int_eq(state.armed, armed);
	ck_assert_int_eq(state.owner, owner);
	ck_assert_int_eq(state.persist, persist && kernel_has(FEATURE_PERSIST));
}

static uint64_t packets(struct guard *guard, enum ruleset_counter counter)
{
	struct guard_counts counts;
	struct err err = {""};
	ck_assert_msg(guard_counts(guard, RULESET_OWNED, &counts, &err) == 0, "%s", err.text);
	return counts.counters[counter].packets;
}

/* One packet for the counter undiverted_refused, and none for any other. */
static void refused_connect(void)
{
	ck_assert_int_ne(shell_status("bash -c '</dev/tcp/127.0.0.1/4025' 2>&1"), 0);
}

static void in_fresh_netns_lists_what_is_printed(void)
{
	struct ruleset *(*const makers[])(void) = {rules_default, rules_example};
	const char *const files[] = {RULES_DEFAULT_FILE, RULES_EXAMPLE_FILE};
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		struct guard *guard = guard_open();
		struct ruleset *rules = makers[i]();
		arm(guard, rules);
		assert_state(guard, true, true, true);
		char *listed = nft_list(), *printed = rules_text(rules), *file = file_read(files[i]);
		assert_same_text(listed, printed);
		assert_same_text(file, printed);
		free(listed);

		/* Fed to nft as it is, it lists the same and is the same to us. */
		ck_assert_int_eq(guard_disarm(guard, NULL), 0);
		shell("nft -f %s", files[i]);
		listed = nft_list();
		assert_same_text(listed, printed);
		assert_verified(guard, rules);
		assert_state(guard, true, false, false);
		shell("nft flush ruleset");
		free(listed);
		free(printed);
		free(file);
		ruleset_free(rules);
		guard_free(guard);
	}
}

static void in_fresh_netns_arms_and_disarms(void)
{
	struct guard *guard = guard_open();
	struct ruleset *rules = rules_default(), *others = rules_example();
	struct err err = {""};
	struct guard_counts counts;
	assert_state(guard, false, false, false);
	ck_assert_int_eq(guard_verify(guard, rules, &err), -ENOENT);
	ck_assert_int_lt(guard_counts(guard, RULESET_OWNED, &counts, &err), 0);
	ck_assert_int_eq(guard_disarm(guard, &err), 0);

	arm(guard, rules);
	refused_connect();
	ck_assert_uint_eq(packets(guard, RULESET_UNDIVERTED_REFUSED), 1);
	ck_assert_uint_eq(packets(guard, RULESET_DIVERTED), 0);

	/* Other rules, and back: the counter counts on. */
	ck_assert_int_eq(guard_verify(guard, others, &err), -EPROTO);
	arm(guard, others);
	ck_assert_int_eq(guard_verify(guard, rules, &err), -EPROTO);
	refused_connect();
	arm(guard, rules);
	arm(guard, rules);
	refused_connect();
	ck_assert_uint_eq(packets(guard, RULESET_UNDIVERTED_REFUSED), 3);

	ck_assert_int_eq(guard_disarm(guard, &err), 0);
	assert_state(guard, false, false, false);
	ruleset_free(rules);
	ruleset_free(others);
	guard_free(guard);
}

static void in_fresh_netns_adopts_a_plain_table(void)
{
	struct guard *guard = guard_open();
	struct ruleset *rules = rules_example();
	/* An older program's table: a counter with counts, a stray chain, and dormant at that. */
	shell("nft -f %s", RULES_DEFAULT_FILE);
	refused_connect();
	shell("nft 'add chain inet mxmirage stray; add rule inet mxmirage guard_output jump stray;"
	      " add counter inet mxmirage strange'");
	/* Of one that stays, where a map leads to a chain. */
	shell("nft 'add map inet mxmirage_static strange { type inet_service : verdict; };"
	      " add chain inet mxmirage_static stray;"
	      " add element inet mxmirage_static strange { 26 : jump stray }'");
	arm(guard, rules);
	assert_state(guard, true, true, true);
	ck_assert_uint_eq(packets(guard, RULESET_UNDIVERTED_REFUSED), 1);

	ck_assert_int_eq(guard_disarm(guard, NULL), 0);
	shell("nft -f %s", RULES_DEFAULT_FILE);
	shell("nft add table inet mxmirage '{ flags dormant ; }'");
	struct err err = {""};
	assert_state(guard, false, false, false);
	ck_assert_int_eq(guard_verify(guard, rules, &err), -EPROTO);
	arm(guard, rules);
	assert_state(guard, true, true, true);
	ruleset_free(rules);
	guard_free(guard);
}

/* A process that arms and then waits; its process id once it is armed. */
static pid_t owner_start(const struct ruleset *rules)
{
	int ready[2];
	ck_assert_int_eq(pipe(ready), 0);
	pid_t owner = suite_fork();
	if (owner == 0) {
		alarm(120 * test_slowness());
		arm(guard_open(), rules);
		must(write(ready[1], "", 1) == 1, "%s", strerror(errno));
		pause();
		_exit(EXIT_FAILURE);
	}
	close(ready[1]);
	char byte;
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return owner;
}

static void in_fresh_netns_is_owned(void)
{
	struct guard *guard = guard_open();
	/* Without the static wall, which is anybody's. */
	struct ruleset *rules = rules_default_tables(RULESET_OWNED);
	struct ruleset *others = rules_example_tables(RULESET_OWNED);
	struct err err = {""};
	char name[32];
	pid_t owner = owner_start(rules);
	assert_state(guard, true, true, true);

	/* While the owner lives, nobody else changes anything. */
	shell("nft flush ruleset");
	ck_assert_int_ne(shell_status("nft delete table inet mxmirage 2>&1"), 0);
	ck_assert_int_ne(shell_status("nft flush table inet mxmirage 2>&1"), 0);
	ck_assert_int_ne(shell_status("nft add rule inet mxmirage guard_output accept 2>&1"), 0);
	ck_assert_int_eq(guard_arm(guard, others, &err), -EBUSY);
	snprintf(name, sizeof(name), "address %d,", owner);
	ck_assert_msg(strstr(err.text, name) != NULL, "%s lacks %s", err.text, name);
	ck_assert_int_eq(guard_disarm(guard, &err), -EBUSY);
	assert_verified(guard, rules);
	refused_connect();

	/* It dies without a word: the rules stand, and the next one takes them over as they are. */
	kill(owner, SIGKILL);
	ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
	if (!kernel_has(FEATURE_PERSIST)) {
		/* Its tables go with it; the next one begins anew. */
		assert_state(guard, false, false, false);
		ck_assert_int_eq(guard_verify(guard, rules, &err), -ENOENT);
		arm(guard, others);
		assert_state(guard, true, true, false);
		ck_assert_uint_eq(packets(guard, RULESET_UNDIVERTED_REFUSED), 0);
		shell("nft flush ruleset");
		assert_verified(guard, others);
		guard_free(guard);
		ruleset_free(rules);
		ruleset_free(others);
		return;
	}
	assert_state(guard, true, false, true);
	assert_verified(guard, rules);
	refused_connect();
	ck_assert_uint_eq(packets(guard, RULESET_UNDIVERTED_REFUSED), 2);
	arm(guard, others);
	assert_state(guard, true, true, true);
	ck_assert_uint_eq(packets(guard, RULESET_UNDIVERTED_REFUSED), 2);
	shell("nft flush ruleset");
	assert_verified(guard, others);

	/* A strange chain, set, counter and rule that an orphan was given meanwhile. */
	guard_free(guard);
	shell("nft 'add chain inet mxmirage stray { type filter hook output priority 5; };"
	      " add set inet mxmirage alien { type inet_service; elements = { 7 }; };"
	      " add rule inet mxmirage stray tcp dport { 7, 9 } accept;"
	      " add rule inet mxmirage stray tcp dport @alien accept;"
	      " add counter inet mxmirage strange'");
	guard = guard_open();
	ck_assert_int_eq(guard_verify(guard, others, &err), -EPROTO);
	arm(guard, others);
	ck_assert_uint_eq(packets(guard, RULESET_UNDIVERTED_REFUSED), 2);
	char *listed = nft_list(), *printed = rules_text(others);
	assert_same_text(listed, printed);
	free(listed);
	free(printed);
	ruleset_free(rules);
	ruleset_free(others);
	guard_free(guard);
}

/* As systemd does: it holds the socket, and who edits through it comes and goes. */
static void in_fresh_netns_shares_an_inherited_socket(void)
{
	struct ruleset *rules = rules_default_tables(RULESET_OWNED);
	struct ruleset *others = rules_example_tables(RULESET_OWNED);
	int held = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	ck_assert(held >= 0 && bind(held, (struct sockaddr *)&any, sizeof(any)) == 0);
	for (int round = 0; round < 3; round++) {
		struct err err = {""};
		struct guard *guard = guard_new(dup(held), &err);
		ck_assert_msg(guard != NULL, "%s", err.text);
		arm(guard, round == 1 ? others : rules);
		assert_state(guard, true, true, true);
		guard_free(guard);

		/* Nobody of ours is there, and it is still ours. */
		shell("nft flush ruleset");
		ck_assert_int_ne(shell_status("nft delete table inet mxmirage 2>&1"), 0);
		ck_assert_int_ne(shell_status("nft delete table netdev mxmirage 2>&1"), 0);
		struct guard *stranger = guard_open();
		assert_verified(stranger, round == 1 ? others : rules);
		ck_assert_int_eq(guard_arm(stranger, rules, &err), -EBUSY);
		ck_assert_int_eq(guard_disarm(stranger, &err), -EBUSY);
		guard_free(stranger);
	}
	struct err err = {""};
	struct guard *guard = guard_new(dup(held), &err);
	ck_assert_int_eq(guard_disarm(guard, &err), 0);
	assert_state(guard, false, false, false);
	guard_free(guard);
	close(held);
	ck_assert_ptr_null(guard_new(998, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "inherited netlink socket (descriptor 998)"));
	ruleset_free(rules);
	ruleset_free(others);
}

/* Each is done to a plain copy of rules/example-exclude.nft, and found. */
static const struct {
	const char *command, *finding;
} changes[] = {
	{"h=$(nft -a list chain inet mxmirage guard_output | sed -n 's/.*ip6 nexthop .* # handle //p');"
	 " nft delete rule inet mxmirage guard_output handle $h",
		"rule 7 of chain guard_output is missing"},
	{"nft flush chain inet mxmirage guard_postrouting",
		"rule 1 of chain guard_postrouting is missing (oif \"lo\" accept)"},
	{"nft add rule inet mxmirage guard_forward accept",
		"chain guard_forward has rules behind its rule 6"},
	{"nft insert rule inet mxmirage guard_input accept", "rule 1 of chain guard_input is not"},
	{"nft replace rule inet mxmirage guard_postrouting handle $(nft -a list chain inet "
	 "mxmirage "
	 "guard_postrouting | sed -n 's/.*\"lo\" accept # handle //p') 'oif != \"lo\" accept'",
		"rule 1 of chain guard_postrouting is not"},
	{"nft delete element inet mxmirage ports '{ 25 }'", "set ports: element 25 is missing"},
	{"nft add element inet mxmirage ports '{ 26 }'", "set ports: element 26 does not belong there"},
	{"nft add element inet mxmirage exclude4 '{ 198.51.100.0/24 }'",
		"set exclude4: element 198.51.100.0 does not belong there"},
	{"nft delete element inet mxmirage exclude4 '{ 203.0.113.6 }'",
		"set exclude4: element 203.0.113.6 is missing"},
	{"nft flush set inet mxmirage exclude6", "set exclude6: element ::1 is missing"},
	{"nft delete element inet mxmirage exclude6 '{ fe80::/10 }';"
	 " nft add element inet mxmirage exclude6 '{ fe80::/9 }'",
		"set exclude6: the end of a block before fec0:: is missing"},
	{"nft chain inet mxmirage guard_output '{ policy drop ; }'", "chain guard_output has another policy"},
	{"nft add chain inet mxmirage stray", "chain stray does not belong there"},
	{"nft add set inet mxmirage stray '{ type inet_service ; }'", "set stray does not belong there"},
	{"nft add table inet mxmirage '{ flags dormant ; }'", "dormant"},
	{"nft delete table inet mxmirage;"
	 " sed 's/rejected_forward/elsewhere/' " RULES_EXAMPLE_FILE " | nft -f -",
		"counter rejected_forward is missing"},
	{"nft delete table inet mxmirage;"
	 " sed 's/-199/-198/' " RULES_EXAMPLE_FILE " | nft -f -",
		"chain divert_prerouting has another type, hook, device or priority"},
	{"nft delete table inet mxmirage;"
	 " sed 's/guard_forward/forward/' " RULES_EXAMPLE_FILE " | nft -f -",
		"chain guard_forward is missing"},
	{"nft flush chain netdev mxmirage dev_eth0", "rule 1 of chain dev_eth0 is missing (jump egress)"},
	{"nft flush chain netdev mxmirage dev_tun_5f0; nft delete chain netdev mxmirage dev_tun_5f0",
		"table netdev mxmirage is not as it was loaded: chain dev_tun_5f0 is missing"},
	{"nft insert rule netdev mxmirage_static egress accept",
		"table netdev mxmirage_static is not as it was loaded: rule 1 of chain egress is not"},
	{"nft flush chain bridge mxmirage bridged",
		"table bridge mxmirage is not as it was loaded: rule 1 of chain bridged is missing"},
	{"nft flush chain inet mxmirage_static guard_output",
		"table inet mxmirage_static is not as it was loaded: rule 1 of chain guard_output is "
		"missing"},
};

/* Each takes answers that are the other's: systemd's socket, with the daemon at work while the guard's unit is restarted. */
static void in_fresh_netns_shares_it_at_the_same_time(void)
{
	struct ruleset *rules = rules_default_tables(RULESET_OWNED);
	struct err err = {""};
	int held = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	ck_assert(held >= 0 && bind(held, (struct sockaddr *)&any, sizeof(any)) == 0);
	struct guard *guard = guard_new(dup(held), &err);
	ck_assert_ptr_nonnull(guard);
	arm(guard, rules);
	pid_t other = suite_fork();
	if (other == 0) {
		struct guard *daemon = guard_new(dup(held), &err);
		while (guard_verify(daemon, rules, &err) == 0)
			nanosleep(&(struct timespec){0, 5 * 1000 * 1000}, NULL);
		fprintf(stderr, "%s\n", err.text);
		_exit(1);
	}
	for (int i = 0; i < 200; i++)
		arm(guard, rules);
	ck_assert_int_eq(waitpid(other, NULL, WNOHANG), 0);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	ck_assert_int_eq(guard_disarm(guard, &err), 0);
	guard_free(guard);
	close(held);
	ruleset_free(rules);
}

static void in_fresh_netns_finds_each_change(void)
{
	struct guard *guard = guard_open();
	struct ruleset *rules = rules_example();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		shell("nft -f %s", RULES_EXAMPLE_FILE);
		assert_verified(guard, rules);
		shell("%s", changes[i].command);
		struct err err = {""};
		ck_assert_msg(
			guard_verify(guard, rules, &err) == -EPROTO, "not found: %s", changes[i].command);
		ck_assert_msg(strstr(err.text, changes[i].finding) != NULL, "%s: said %s", changes[i].command,
			err.text);
		shell("nft flush ruleset");
	}
	ruleset_free(rules);
	guard_free(guard);
}

/* What nobody owns may be there and keep nothing shut. */
static void in_fresh_netns_takes_no_hollow_table_for_a_guard(void)
{
	static const struct {
		const char *command, *finding;
		bool armed, walled;
	} damages[] = {
		{"flush table inet mxmirage_static", "rule 1 of chain guard_forward is missing", true, false},
		{"flush chain netdev mxmirage_static egress", "rule 1 of chain egress is missing", true,
			false},
		{"flush chain bridge mxmirage_static egress", "rule 1 of chain egress is missing", true,
			false},
		{"flush chain bridge mxmirage bridged", "rules of chain bridged are missing", false, true},
		{"insert rule inet mxmirage_static guard_output accept",
			"rule 1 of chain guard_output is not", true, false},
		{"flush chain inet mxmirage_static guard_postrouting;"
		 " delete chain inet mxmirage_static guard_postrouting",
			"chain guard_postrouting is missing", true, false},
		{"delete element inet mxmirage_static ports { 25 }", "port 25 is not among its ports", true,
			false},
		{"flush table inet mxmirage", "rules of chain divert_prerouting are missing", false, true},
		{"flush chain netdev mxmirage egress", "rules of chain egress are missing", false, true},
		/* Not what it is about. */
		{"delete element inet mxmirage_static exclude4 { 10.0.0.0/8 }", NULL, true, true},
		{"flush chain netdev mxmirage_static dev_eth0; delete chain netdev mxmirage_static dev_eth0",
			NULL, true, true},
		{"insert rule inet mxmirage guard_output counter", NULL, true, true},
	};
	struct guard *guard = guard_open();
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct err err = {""};
		struct guard_state state;
		shell("nft -f %s", RULES_EXAMPLE_FILE);
		ck_assert_msg(
			guard_check(guard, &state, &err) == 0 && state.armed && state.walled, "%s", err.text);
		shell("nft '%s'", damages[i].command);
		ck_assert_int_eq(guard_check(guard, &state, &err), damages[i].finding != NULL);
		ck_assert_msg(!damages[i].finding || strstr(err.text, damages[i].finding), "%s: said %s",
			damages[i].command, err.text);
		ck_assert_msg(state.armed == damages[i].armed && state.walled == damages[i].walled, "%s",
			damages[i].command);
		shell("nft flush ruleset");
	}
	guard_free(guard);
}

static void priority_break(struct ruleset *rules)
{
	rules->tables[RULESET_GUARD].chains[1].priority = -200;
}

static void set_break(struct ruleset *rules)
{
	static char name[300];
	memset(name, 'x', sizeof(name) - 1);
	((struct ruleset_set_spec *)rules->tables[RULESET_GUARD].sets)[RULESET_EXCLUDE6].name = name;
}

static void type_break(struct ruleset *rules)
{
	/* No nat in forward. */
	rules->tables[RULESET_GUARD].chains[3].type = "nat";
}

static void rule_break(struct ruleset *rules)
{
	/* nat cannot be had in a filter chain. */
	struct ruleset_table *table = &rules->tables[RULESET_GUARD];
	struct ruleset_rule *rule = &table->rules[table->rule_count - 1];
	rule->terms[rule->term_count - 1].kind = RULESET_REDIRECT;
}

static void device_break(struct ruleset *rules)
{
	/* The table of frames has no such hook. */
	struct ruleset_table *table = &rules->tables[RULESET_EGRESS];
	table->chains[table->chain_count - 1].hook = 7;
}

static void in_fresh_netns_names_what_is_refused(void)
{
	static const struct {
		void (*damage)(struct ruleset *rules);
		const char *named;
	} refusals[] = {
		{priority_break, "chain divert_output (type nat, priority -200): "},
		{set_break, "set xxxx"},
		{type_break, "chain guard_forward (type nat"},
		{rule_break, "rule 14 of chain guard_postrouting (tcp sport @ports "},
		{device_break, "chain dev_"},
	};
	struct guard *guard = guard_open();
	struct ruleset *rules = rules_default();
	for (int armed = 0; armed < 2; armed++) {
		for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
			struct ruleset *bad = rules_example();
			struct err err = {""};
			refusals[i].damage(bad);
			int code = guard_arm(guard, bad, &err);
			ck_assert_int_lt(code, 0);
			ck_assert_int_ne(code, -EPROTO);
			ck_assert_msg(strstr(err.text, refusals[i].named) == err.text, "said %s", err.text);
			ruleset_free(bad);
			/* All or nothing: what stood before still stands. */
			if (armed)
				assert_verified(guard, rules);
			else
				assert_state(guard, false, false, false);
		}
		arm(guard, rules);
	}
	ruleset_free(rules);
	guard_free(guard);
}

static void in_fresh_netns_needs_the_capability(void)
{
	struct ruleset *rules = rules_default();
	struct {
		int code;
		struct err err;
	} answer = {0, {""}};
	int channel[2];
	ck_assert_int_eq(pipe(channel), 0);
	pid_t child = suite_fork();
	if (child == 0) {
		if (setuid(65534) == 0)
			answer.code = guard_arm(guard_open(), rules, &answer.err);
		_exit(write(channel[1], &answer, sizeof(answer)) == sizeof(answer) ? 0 : 1);
	}
	ck_assert_int_eq(read(channel[0], &answer, sizeof(answer)), sizeof(answer));
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	close(channel[0]);
	close(channel[1]);
	ck_assert_int_eq(answer.code, -EPERM);
	ck_assert_msg(strstr(answer.err.text, "CAP_NET_ADMIN") != NULL, "%s", answer.err.text);
	ruleset_free(rules);
}

static void in_fresh_netns_takes_ten_thousand_blocks(void)
{
	enum {
		EACH = 5000
	};
	struct conf conf = conf_default();
	struct conf_block *blocks = calloc(2 * EACH, sizeof(*blocks));
	for (uint32_t i = 0; i < EACH; i++) {
		/* Every second /30 of 198.18.0.0, and the IPv6 /64s of 2001:db8:0:... likewise. */
		uint32_t address = htonl(0xc6120000u + i * 8);
		blocks[i] = (struct conf_block){.family = AF_INET, .prefix = 30};
		memcpy(blocks[i].address, &address, sizeof(address));
		blocks[EACH + i] = block("2001:db8::", 64);
		uint16_t subnet = htons((uint16_t)(2 * i));
		memcpy(&blocks[EACH + i].address[6], &subnet, sizeof(subnet));
	}
	conf.divert.exclude = blocks;
	conf.divert.exclude_count = 2 * EACH;
	struct ruleset *rules = rules_of(&conf, RULESET_ALL);
	struct guard *guard = guard_open();
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	arm(guard, rules);
	arm(guard, rules);
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	ck_assert_msg(seconds < 20 * test_slowness(), "arming twice took %.1f s", seconds);
	char *listed = nft_list(), *printed = rules_text(rules);
	assert_same_text(listed, printed);
	free(listed);
	free(printed);
	free(blocks);
	ruleset_free(rules);
	guard_free(guard);
}

static void (*const bodies[])(void) = {
	in_fresh_netns_lists_what_is_printed,
	in_fresh_netns_arms_and_disarms,
	in_fresh_netns_adopts_a_plain_table,
	in_fresh_netns_is_owned,
	in_fresh_netns_shares_an_inherited_socket,
	in_fresh_netns_shares_it_at_the_same_time,
	in_fresh_netns_finds_each_change,
	in_fresh_netns_takes_no_hollow_table_for_a_guard,
	in_fresh_netns_names_what_is_refused,
	in_fresh_netns_needs_the_capability,
	in_fresh_netns_takes_ten_thousand_blocks,
};

int main(void)
{
	return suite_run(guard_suite("guard", bodies, (int)(sizeof(bodies) / sizeof(bodies[0]))));
}
