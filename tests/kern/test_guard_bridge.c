/* What a bridge passes on although the kernel lets it past the chains of devices: frames that tc has redirected. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rules.h"
#include "guard_scene.h"
#include "internet.h"
#include "links.h"
#include "netns.h"

/* On the internet's own network, by a bridge of the host, so past the host's IP. */
#define GUEST4    "192.0.2.99"
#define GUEST6    "2001:db8:a::99"
#define INTERNET4 "192.0.2.2"
#define INTERNET6 "2001:db8:a::2"

#define GUEST_MAC    "02:00:00:00:00:b1"
#define INTERNET_MAC "02:00:00:00:00:a2"

/*
 * The host's device becomes a port, as does a guest's; what the guest sends takes the way by an ifb device. False
 * where this kernel has none of that.
 */
static bool guest_by_bridge(const struct internet *world)
{
	shell("set -e; ip link add br0 type bridge; ip link set br0 up; ip link set out master br0;"
	      "ip link add vm type veth peer name eth9 address " GUEST_MAC " netns %d;"
	      "ip link set vm master br0; ip link set vm up;"
	      "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 2>&1 || "
	      "true",
		world->container);
	shell("nsenter -t %d -n sh -ec 'ip addr add " GUEST4 "/24 dev eth9; ip addr add " GUEST6
	      "/64 dev eth9 nodad;"
	      "ip link set eth9 up; ip neigh add " INTERNET6 " lladdr " INTERNET_MAC " dev eth9;"
	      "ip route replace default via " INTERNET4 "; ip -6 route replace default via " INTERNET6 "'",
		world->container);
	shell("nsenter -t %d -n ip neigh add " GUEST6 " lladdr " GUEST_MAC " dev in", world->internet);
	return shell_status("ip link add ifb0 type ifb 2>&1 && ip link set ifb0 up && tc qdisc add dev vm "
			    "ingress 2>&1 &&"
			    " tc filter add dev vm parent ffff: protocol all u32 match u32 0 0"
			    " action mirred egress redirect dev ifb0 2>&1") == 0;
}

static int reaches(const struct internet *world, const char *address, uint16_t port)
{
	char greeting[16];
	struct attempt attempt = attempt_start(world->container, address, port, NULL);
	return attempt_end(&attempt, greeting);
}

/* Side by side, as each may take a second. */
static void assert_strangers(const struct internet *world, int result)
{
	struct attempt by4 = attempt_start(world->container, STRANGER4, 25, NULL);
	struct attempt by6 = attempt_start(world->container, STRANGER6, 25, NULL);
	char greeting[16];
	ck_assert_int_eq(attempt_end(&by4, greeting), result);
	ck_assert_int_eq(attempt_end(&by6, greeting), result);
}

static void in_fresh_netns_stops_what_tc_redirected_through_a_bridge(void)
{
	struct internet world;
	internet_make(&world);
	if (!guest_by_bridge(&world))
		return;
	assert_strangers(&world, 0);
	/* Their last packets, too. */
	usleep(100000 * test_slowness());
	unsigned long arrived = internet_arrived(&world);
	ck_assert_uint_gt(arrived, 0);

	struct conf conf = conf_default();
	struct conf_block excluded[] = {block(NEIGHBOUR4, 32), block(NEIGHBOUR6, 128)};
	conf.divert.exclude = excluded;
	conf.divert.exclude_count = 2;
	struct err err = {""};
	struct guard *guard = guard_open();
	struct guard_counts counts;
	for (unsigned tables = RULESET_OWNED; tables != 0;
		tables = tables == RULESET_OWNED ? (unsigned)RULESET_STATIC : 0) {
		struct ruleset *rules = links_ruleset_now(&conf, tables, &err);
		ck_assert_msg(rules != NULL, "%s", err.text);
		arm(guard, rules);
		assert_strangers(&world, ETIMEDOUT);
		ck_assert_uint_eq(internet_arrived(&world), arrived);
		ck_assert_int_eq(guard_counts(guard, tables, &counts, &err), 0);
		ck_assert_uint_gt(counts.counters[RULESET_DROPPED_EGRESS].packets, 1);
		/* Nothing else is stopped, nor what is excluded. */
		ck_assert_int_eq(reaches(&world, STRANGER4, 587), 0);
		ck_assert_int_eq(reaches(&world, NEIGHBOUR4, 25), 0);
		ck_assert_int_eq(reaches(&world, NEIGHBOUR6, 25), 0);
		ck_assert_int_eq(guard_disarm(guard, &err), 0);
		ruleset_free(rules);
	}
	guard_free(guard);
}

/* Its neighbours stand, and it does not: no guard. */
static void in_fresh_netns_misses_a_table_of_bridges(void)
{
	static const struct {
		const char *table;
		bool armed, walled;
	} cases[] = {{"mxmirage", false, true}, {"mxmirage_static", true, false}};
	struct guard *guard = guard_open();
	struct ruleset *rules = rules_default();
	struct err err;
	struct guard_state state;
	for (size_t i = 0; i < 2; i++) {
		shell("nft -f %s && nft delete table bridge %s", RULES_DEFAULT_FILE, cases[i].table);
		ck_assert_int_eq(guard_state(guard, &state, &err), 0);
		ck_assert(state.armed == cases[i].armed && state.walled == cases[i].walled);
		ck_assert_int_eq(guard_verify(guard, rules, &err), -ENOENT);
		/* The kernel was asked for one, and nothing of that is left. */
		ck_assert_int_ne(shell_status("nft list tables | grep -q try"), 0);
		shell("nft flush ruleset");
	}
	ruleset_free(rules);
	guard_free(guard);
}

int main(void)
{
	static void (*const bodies[])(void) = {
		in_fresh_netns_stops_what_tc_redirected_through_a_bridge,
		in_fresh_netns_misses_a_table_of_bridges,
	};
	return suite_run(guard_suite("guard_bridge", bodies, sizeof(bodies) / sizeof(bodies[0])));
}
