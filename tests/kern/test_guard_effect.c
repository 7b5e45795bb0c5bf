#include "guard.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/seg6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/rules.h"
#include "internet.h"
#include "kernel.h"
#include "netns.h"
#include "suite.h"

enum from {
	HOST,
	CONTAINER,
	INTERNET
};

/* Where an attempt ends. */
enum end {
	MIRAGE,  /* at the listeners, which learn whom it was meant for */
	REAL,    /* at the internet's own server */
	OWN,     /* at the host's own server */
	REFUSED, /* reset at once */
	LOST,    /* times out */
	BLOCKED, /* any but the first three */
};

struct path {
	enum from from;
	const char *to;
	uint16_t port;
	enum end end;
	const char *device; /* to bind to, or NULL */
};

/* With the neighbours excluded. */
static const struct path armed_paths[] = {
	{HOST, STRANGER4, 25, MIRAGE, NULL},
	{HOST, STRANGER6, 25, MIRAGE, NULL},
	{HOST, STRANGER4, 587, REAL, NULL},
	{HOST, STRANGER6, 587, REAL, NULL},
	{HOST, NEIGHBOUR4, 25, REAL, NULL},
	{HOST, NEIGHBOUR6, 25, REAL, NULL},
	{HOST, HOST4, 25, OWN, NULL},
	{HOST, HOST6, 25, OWN, NULL},
	{HOST, "127.0.0.1", 25, OWN, NULL},
	{HOST, "::1", 25, OWN, NULL},
	{HOST, STRANGER4, 25, REFUSED, "out"},
	{HOST, STRANGER6, 25, REFUSED, "out"},
	{HOST, "127.0.0.1", 4025, REFUSED, NULL},
	{HOST, "::1", 4032, REFUSED, NULL},
	{HOST, HOST4, 4026, REFUSED, NULL},
	{INTERNET, HOST4, 4025, REFUSED, NULL},
	{INTERNET, HOST6, 4031, REFUSED, NULL},
	{INTERNET, HOST4, 25, OWN, NULL},
	{INTERNET, HOST6, 25, OWN, NULL},
	{CONTAINER, STRANGER4, 25, MIRAGE, NULL},
	{CONTAINER, STRANGER6, 25, MIRAGE, NULL},
	{CONTAINER, STRANGER4, 587, REAL, NULL},
	{CONTAINER, NEIGHBOUR4, 25, REAL, NULL},
	{CONTAINER, NEIGHBOUR6, 25, REAL, NULL},
	{CONTAINER, HOST4, 25, OWN, NULL},
	{CONTAINER, HOST4, 4027, REFUSED, NULL},
};

static void assert_path(const struct internet *world, const struct path *path)
{
	const pid_t where[] = {0, world->container, world->internet};
	struct attempt attempt = attempt_start(where[path->from], path->to, path->port, path->device);
	char greeting[16];
	if (path->end == MIRAGE) {
		enum origdst_result result;
		struct sockaddr_storage original;
		char address[INET6_ADDRSTRLEN];
		ck_assert_msg(listener_greet(world, &result, &original), "%s:%u did not reach the listeners",
			path->to, path->port);
		ck_assert_int_eq(result, ORIGDST_DIVERTED);
		const struct sockaddr_in *four = (const void *)&original;
		const struct sockaddr_in6 *six = (const void *)&original;
		bool is_four = original.ss_family == AF_INET;
		inet_ntop(original.ss_family,
			is_four ? (const void *)&four->sin_addr : (const void *)&six->sin6_addr, address,
			sizeof(address));
		ck_assert_str_eq(address, path->to);
		ck_assert_uint_eq(ntohs(is_four ? four->sin_port : six->sin6_port), path->port);
	}
	int code = attempt_end(&attempt, greeting);
	static const struct {
		int code;
		const char *greeting;
	} wanted[] = {
		[MIRAGE] = {0, "mirage"},
		[REAL] = {0, "real"},
		[OWN] = {0, "own"},
		[REFUSED] = {ECONNREFUSED, ""},
		[LOST] = {ETIMEDOUT, ""},
	};
	if (path->end == BLOCKED)
		ck_assert_msg(code != 0, "%s:%u answered %s", path->to, path->port, greeting);
	else
		ck_assert_msg(
			code == wanted[path->end].code && strcmp(greeting, wanted[path->end].greeting) == 0,
			"from %d to %s:%u: \"%s\" (%s)", path->from, path->to, path->port, greeting,
			strerror(code));
}

static void assert_paths(const struct internet *world, const struct path *paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_path(world, &paths[i]);
}
#define ASSERT_PATHS(world, paths) assert_paths(world, paths, sizeof(paths) / sizeof((paths)[0]))

static struct ruleset *rules_neighbours(void)
{
	struct conf_block blocks[] = {block(NEIGHBOUR4, 32), block("2001:db8:e::", 64)};
	struct conf conf = conf_default();
	conf.divert.exclude = blocks;
	conf.divert.exclude_count = 2;
	return rules_of(&conf, RULESET_OWNED);
}

/* The canary: without rules each of these packets is seen by the oracle, or the rest proves
 * nothing. */
static void assert_oracle_sees(const struct internet *world)
{
	static const struct path open[] = {
		{HOST, STRANGER4, 25, REAL, NULL},
		{HOST, STRANGER6, 25, REAL, NULL},
		{HOST, STRANGER4, 25, REAL, "out"},
		{CONTAINER, STRANGER4, 25, REAL, NULL},
		{CONTAINER, STRANGER6, 25, REAL, NULL},
	};
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		unsigned long before = internet_arrived(world);
		assert_path(world, &open[i]);
		ck_assert_uint_gt(internet_arrived(world), before);
	}
}

static void in_world_each_path_ends_where_it_should(struct internet *world)
{
	struct guard *guard = guard_new(-1, NULL);
	struct ruleset *rules = rules_neighbours();
	struct err err = {""};
	unsigned long before = internet_arrived(world);
	ck_assert_msg(guard_arm(guard, rules, &err) == 0, "%s", err.text);
	ASSERT_PATHS(world, armed_paths);
	ck_assert_uint_eq(internet_arrived(world), before);

	struct guard_counts counts;
	ck_assert_int_eq(guard_counts(guard, RULESET_OWNED, &counts, &err), 0);
	/* Four as a MIRAGE, two more bound to a device. */
	ck_assert_uint_eq(counts.counters[RULESET_DIVERTED].packets, 6);
	ck_assert_uint_eq(counts.counters[RULESET_EXCLUDED].packets, 4);
	ck_assert_uint_eq(counts.counters[RULESET_UNDIVERTED_REFUSED].packets, 6);
	ck_assert_uint_eq(counts.counters[RULESET_REJECTED_OUTPUT].packets, 2); /* the same two */
	ck_assert_uint_eq(counts.counters[RULESET_REJECTED_FORWARD].packets, 0);
	ruleset_free(rules);
	guard_free(guard);
}

/* The guard alone, its chains lost one after the other: each is a wall of its own. */
static void in_world_guard_holds_without_divert(struct internet *world)
{
	static const struct path refused[] = {
		{HOST, STRANGER4, 25, REFUSED, NULL},
		{HOST, STRANGER6, 25, REFUSED, NULL},
		{HOST, STRANGER4, 25, REFUSED, "out"},
		{CONTAINER, STRANGER4, 25, REFUSED, NULL},
		{CONTAINER, STRANGER6, 25, REFUSED, NULL},
		{HOST, HOST4, 25, OWN, NULL},
		{INTERNET, HOST4, 25, OWN, NULL},
		{HOST, STRANGER4, 587, REAL, NULL},
	};
	static const struct path lost[] = {
		{HOST, STRANGER4, 25, LOST, NULL},
		{HOST, STRANGER6, 25, LOST, NULL},
		{CONTAINER, STRANGER4, 25, LOST, NULL},
		{CONTAINER, STRANGER6, 25, LOST, NULL},
		{HOST, HOST4, 25, OWN, NULL},
		{INTERNET, HOST6, 25, OWN, NULL},
		{CONTAINER, STRANGER4, 587, REAL, NULL},
	};
	unsigned long before = internet_arrived(world);
	/* Without the static wall, which comes last in the file. */
	shell("sed '/_static/,$d' " RULES_DEFAULT_FILE " | nft -f -");
	shell("nft 'flush chain inet mxmirage divert_output;"
	      " flush chain inet mxmirage divert_prerouting'");
	ASSERT_PATHS(world, refused);
	shell("nft 'flush chain inet mxmirage guard_output;"
	      " flush chain inet mxmirage guard_forward'");
	ASSERT_PATHS(world, lost);
	ck_assert_uint_eq(internet_arrived(world), before);
}

/* Rules of others, and what becomes of a connection to a stranger's port under them. */
static const struct {
	const char *rules;
	struct path path;
} foreign[] = {
	/* Added later at the same priority it comes first, and takes port 25 elsewhere. */
	{"table ip foreign { chain c { type nat hook output priority -199;"
	 " ip daddr " STRANGER4 " tcp dport 25 dnat to " STRANGER4 ":2587; }; }",
		{HOST, STRANGER4, 25, REFUSED, NULL}},
	{"table ip6 foreign { chain c { type nat hook prerouting priority -199;"
	 " ip6 daddr " STRANGER6 " tcp dport 25 dnat to [" STRANGER6 "]:2587; }; }",
		{CONTAINER, STRANGER6, 25, REFUSED, NULL}},
	{"table ip foreign { chain c { type nat hook output priority -100;"
	 " ip daddr " STRANGER4 " tcp dport 2525 dnat to " STRANGER4 ":25; }; }",
		{HOST, STRANGER4, 2525, REFUSED, NULL}},
	{"table ip6 foreign { chain c { type nat hook prerouting priority -100;"
	 " ip6 daddr " STRANGER6 " tcp dport 2525 dnat to [" STRANGER6 "]:25; }; }",
		{CONTAINER, STRANGER6, 2525, REFUSED, NULL}},
	/* Behind all nat, by rewriting the packet itself. */
	{"table inet foreign { chain c { type filter hook postrouting priority mangle;"
	 " ip daddr " STRANGER4 " tcp dport 2525 tcp dport set 25; }; }",
		{HOST, STRANGER4, 2525, LOST, NULL}},
	/* Through an exclusion to somewhere else. */
	{"table ip foreign { chain c { type nat hook output priority -100;"
	 " ip daddr " NEIGHBOUR4 " tcp dport 25 dnat to " STRANGER4 ":25; }; }",
		{HOST, NEIGHBOUR4, 25, REFUSED, NULL}},
	{"table ip foreign { chain c { type nat hook output priority -100;"
	 " ip daddr " NEIGHBOUR4 " tcp dport 25 dnat to " STRANGER4 ":2587; }; }",
		{HOST, NEIGHBOUR4, 25, REFUSED, NULL}},
	/* A container's published port: its network is excluded, whatever its port is called in there. */
	{"table ip foreign { chain c { type nat hook output priority -100;"
	 " fib daddr type local tcp dport 25 dnat to " NEIGHBOUR4 ":2587; }; }",
		{HOST, HOST4, 25, REAL, NULL}},
	{"table ip6 foreign { chain c { type nat hook prerouting priority -100;"
	 " fib daddr type local tcp dport 25 dnat to [" NEIGHBOUR6 "]:2587; }; }",
		{CONTAINER, HOST6, 25, REAL, NULL}},
	{"table inet foreign { chain c { type filter hook output priority raw;"
	 " tcp dport 25 notrack; }; }",
		{HOST, STRANGER4, 25, REFUSED, NULL}},
	{"table inet foreign { chain c { type filter hook prerouting priority raw;"
	 " tcp dport 25 notrack; }; }",
		{CONTAINER, STRANGER6, 25, LOST, NULL}},
	{"table inet foreign { chain c { type filter hook prerouting priority raw;"
	 " tcp dport 4025 notrack; }; }",
		{INTERNET, HOST4, 4025, REFUSED, NULL}},
	{"table inet foreign { chain c { type filter hook output priority -500; accept; };"
	 " chain d { type filter hook postrouting priority -500; accept; }; }",
		{HOST, STRANGER4, 25, MIRAGE, NULL}},
	{"table ip foreign { chain c { type nat hook postrouting priority srcnat;"
	 " oif out masquerade; }; }",
		{CONTAINER, STRANGER4, 25, MIRAGE, NULL}},
};

static void in_world_foreign_rules_open_nothing(struct internet *world)
{
	struct guard *guard = guard_new(-1, NULL);
	struct ruleset *rules = rules_neighbours();
	struct err err = {""};
	unsigned long before = internet_arrived(world);
	ck_assert_msg(guard_arm(guard, rules, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		shell("nft '%s'", foreign[i].rules);
		assert_path(world, &foreign[i].path);
		ck_assert_msg(internet_arrived(world) == before, "leaked: %s", foreign[i].rules);
		shell("nft flush ruleset");
	}
	struct guard_counts counts;
	ck_assert_int_eq(guard_counts(guard, RULESET_OWNED, &counts, &err), 0);
	for (int i = 0; i < RULESET_COUNTERS; i++)
		/* Frames: test_guard_frames.c. Replies: none of these sources is spoofed. */
		if (i != RULESET_EXCLUDED && i != RULESET_DROPPED_EGRESS && i != RULESET_DROPPED_REPLIES)
			ck_assert_msg(counts.counters[i].packets > 0, "%s counted nothing",
				ruleset_counter_name(i));
	ruleset_free(rules);
	guard_free(guard);
}

/* A connection to a stranger's port 25 by way of a neighbour, as anybody may ask for it. */
static void connect_by_neighbour(int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(25)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
	uint8_t option[] = {IPOPT_NOP, IPOPT_LSRR, 7, 4, 0, 0, 0, 0};
	struct {
		struct ipv6_sr_hdr header;
		struct in6_addr segments[2];
	} route = {.header = {.hdrlen = 4, .type = 4, .segments_left = 1, .first_segment = 1}};
	inet_pton(AF_INET, STRANGER4, &v4.sin_addr);
	inet_pton(AF_INET6, STRANGER6, &v6.sin6_addr);
	inet_pton(AF_INET, NEIGHBOUR4, option + 4);
	inet_pton(AF_INET6, NEIGHBOUR6, &route.segments[1]);

	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0), code;
	if (family == AF_INET) {
		ck_assert_int_eq(setsockopt(fd, SOL_IP, IP_OPTIONS, option, sizeof(option)), 0);
		code = connect(fd, (struct sockaddr *)&v4, sizeof(v4));
	} else {
		ck_assert_int_eq(setsockopt(fd, SOL_IPV6, IPV6_RTHDR, &route, sizeof(route)), 0);
		code = connect(fd, (struct sockaddr *)&v6, sizeof(v6));
	}
	ck_assert_msg(code < 0 && errno == EINPROGRESS, "%s", strerror(errno));
	close(fd);
}

/* What was sent has arrived, if not at once. */
static void assert_arrives(const struct internet *world, unsigned long count)
{
	for (int i = 0; i < 100 && internet_arrived(world) < count; i++)
		usleep(20000 * test_slowness());
	ck_assert_uint_eq(internet_arrived(world), count);
}

static void in_world_no_source_route_leads_through_an_exclusion(struct internet *world)
{
	struct guard *guard = guard_new(-1, NULL);
	struct ruleset *rules = rules_neighbours();
	struct err err = {""};
	shell("nsenter -t %d -n nft 'add rule netdev oracle in ip daddr " NEIGHBOUR4
	      " tcp dport 25 counter name arrived;"
	      "add rule netdev oracle in ip6 daddr " NEIGHBOUR6 " tcp dport 25 counter name arrived'",
		world->internet);
	unsigned long before = internet_arrived(world);
	connect_by_neighbour(AF_INET);
	assert_arrives(world, before + 1);
	connect_by_neighbour(AF_INET6);
	assert_arrives(world, before + 2);

	ck_assert_msg(guard_arm(guard, rules, &err) == 0, "%s", err.text);
	connect_by_neighbour(AF_INET);
	connect_by_neighbour(AF_INET6);
	usleep(20000 * test_slowness());
	ck_assert_uint_eq(internet_arrived(world), before + 2);
	struct guard_counts counts;
	ck_assert_int_eq(guard_counts(guard, RULESET_OWNED, &counts, &err), 0);
	ck_assert_uint_eq(counts.counters[RULESET_DROPPED_POSTROUTING].packets, 2);
	ruleset_free(rules);
	guard_free(guard);
}

static void (*const bodies[])(struct internet *) = {
	in_world_each_path_ends_where_it_should,
	in_world_guard_holds_without_divert,
	in_world_foreign_rules_open_nothing,
	in_world_no_source_route_leads_through_an_exclusion,
};

START_TEST(test_in_world)
{
	struct internet world;
	netns_fresh();
	internet_make(&world);
	kernel_needs_devices("eth0 br-lan tun_0");
	assert_oracle_sees(&world);
	bodies[_i](&world);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guard_effect");
	TCase *cases = tcase_create("guard_effect");
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, test_in_world, 0, (int)(sizeof(bodies) / sizeof(bodies[0])));
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
