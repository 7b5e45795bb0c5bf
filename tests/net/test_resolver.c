/* The resolver against a name server that lies, stalls and breaks; both on loopback. */
#include "resolver.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dns_server.h"
#include "resolver_cache.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 5
#else
#define SLOWER 1
#endif
/*
 * The loop is never held up for longer, whatever a server does. Some 3 ms are measured; the rest is for machines
 * whose processors are taken away, which the kernel does not tell. One lookup that blocks takes 300 ms here.
 */
#define BLOCKED_MAX_MS (40 * SLOWER)

#define LABEL_63 "aaaaaaaaabbbbbbbbbccccccccceeeeeeeeefffffffffggggggggghhhhhhhhh"
#define NAME_253 \
	LABEL_63 "." LABEL_63 "." LABEL_63 ".aaaaaaaaabbbbbbbbbccccccccceeeeeeeeefffffffffggggggggghh.test"
#define MANY 100

static struct dns_server_record records[1024] = {
	{"found.test", ns_t_mx, 300, "20 mx2.found.test"},
	{"found.test", ns_t_mx, 300, "10 MX1.Found.Test"},
	{"found.test", ns_t_mx, 300, "20 mx0.found.test"},
	{"found.test", ns_t_mx, 300, "30 mx1.found.test"},
	{"mx1.found.test", ns_t_a, 300, "192.0.2.1"},
	{"mx1.found.test", ns_t_aaaa, 300, "2001:db8::1"},
	{"mx2.found.test", ns_t_aaaa, 300, "2001:db8::2"},
	{"mx0.found.test", ns_t_a, 300, "192.0.2.3"},
	{"mx0.found.test", ns_t_a, 300, "192.0.2.2"},
	{"itself.test", ns_t_a, 300, "192.0.2.10"},
	{"itself.test", ns_t_aaaa, 300, "2001:db8::10"},
	{"null.test", ns_t_mx, 300, "0 ."},
	{"half-null.test", ns_t_mx, 300, "0 ."},
	{"half-null.test", ns_t_mx, 300, "10 mx1.found.test"},
	{"barren.test", ns_t_cname, 300, "nowhere-to-be.test"},
	{"nowhere-to-be.test", ns_t_mx, 300, "10 no-such-host.test"},
	{"alias.test", ns_t_cname, 300, "alias2.test"},
	{"alias2.test", ns_t_cname, 300, "found.test"},
	{"alias-host.test", ns_t_mx, 300, "10 alias-mx.test"},
	{"alias-mx.test", ns_t_cname, 300, "mx0.found.test"},
	{"dangling.test", ns_t_cname, 300, "gone.test"},
	{"loop.test", ns_t_cname, 300, "loop2.test"},
	{"loop2.test", ns_t_cname, 300, "loop.test"},
	{"loop-host.test", ns_t_mx, 300, "10 loop.test"},
	{"loop-host.test", ns_t_mx, 300, "10 mx2.found.test"},
	{"numeric.test", ns_t_mx, 300, "10 192.0.2.77"},
	{"numeric.test", ns_t_mx, 300, "20 mx0.found.test"},
	{"names.test", ns_t_mx, 300, "10 mx\r\n250.found.test"},
	{"names.test", ns_t_mx, 300, "20 mx0.found.test"},
	{"no-names.test", ns_t_mx, 300, "10 a b.found.test"},
	{"long.test", ns_t_mx, 300, "10 " NAME_253},
	{NAME_253, ns_t_a, 300, "192.0.2.20"},
	{"many-host.test", ns_t_mx, 300, "10 many.many-host.test"},
	{"servfail.test", ns_t_a, 300, "192.0.2.30"},
	{"refused.test", ns_t_a, 300, "192.0.2.30"},
	{"wrong-id.test", ns_t_a, 300, "192.0.2.30"},
	{"wrong-question.test", ns_t_a, 300, "192.0.2.30"},
	{"lies-first.test", ns_t_a, 300, "192.0.2.31"},
	{"flood.test", ns_t_a, 300, "192.0.2.32"},
	{"garbage.test", ns_t_a, 300, "192.0.2.30"},
	{"noise.test", ns_t_a, 300, "192.0.2.30"},
	{"half.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"pointers.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"truncated.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"one-fails.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"one-fails.test", ns_t_mx, 300, "20 servfail-mx.test"},
	{"servfail-mx.test", ns_t_a, 300, "192.0.2.30"},
	{"all-fail.test", ns_t_mx, 300, "20 servfail-mx.test"},
	{"one-silent.test", ns_t_mx, 300, "10 silent-mx.test"},
	{"slow.test", ns_t_a, 300, "192.0.2.40"},
	{"slow-mx.test", ns_t_mx, 300, "10 slow-host.test"},
	{"slow-host.test", ns_t_a, 300, "192.0.2.41"},
	{"slower.test", ns_t_a, 300, "192.0.2.42"},
	{"short.test", ns_t_a, 1, "192.0.2.50"},
	{"short.test", ns_t_aaaa, 300, "2001:db8::50"},
	{"soon.test", ns_t_a, 0, "192.0.2.51"},
	{"*.any.test", ns_t_mx, 300, "10 mx0.found.test"},
	{"*.any.test", ns_t_mx, 300, "20 mx1.found.test"},
};

static const struct dns_server_rule rules[] = {
	{"servfail.test", DNS_SERVER_SERVFAIL, 0, 0},
	{"refused.test", DNS_SERVER_REFUSED, 0, 0},
	{"servfail-mx.test", DNS_SERVER_SERVFAIL, 0, 0},
	{"wrong-id.test", DNS_SERVER_WRONG_ID, 0, 0},
	{"wrong-question.test", DNS_SERVER_WRONG_QUESTION, 0, 0},
	{"lies-first.test", DNS_SERVER_LIES_FIRST, 0, 0},
	{"flood.test", DNS_SERVER_FLOOD, 0, 0},
	{"garbage.test", DNS_SERVER_GARBAGE, 0, 0},
	{"noise.test", DNS_SERVER_NOISE, 0, 0},
	{"half.test", DNS_SERVER_HALF, 0, 0},
	{"pointers.test", DNS_SERVER_POINTER_LOOP, 0, 0},
	{"truncated.test", DNS_SERVER_TRUNCATED, 0, 0},
	{"silent.test", DNS_SERVER_SILENT, 0, 0},
	{"silent-mx.test", DNS_SERVER_SILENT, 0, ns_t_aaaa},
	{"slow.test", DNS_SERVER_HONEST, 1900, ns_t_mx},
	{"slow-host.test", DNS_SERVER_HONEST, 1900, 0},
	{"slow-mx.test", DNS_SERVER_HONEST, 300, 0},
	{"slower.test", DNS_SERVER_HONEST, 10000, 0},
	{"late.test", DNS_SERVER_HONEST, 300, 0},
	{NULL, 0, 0, 0},
};

/* A hundred MX hosts of a domain, a hundred addresses of a host, a long chain of CNAMEs. */
static void records_complete(void)
{
	static char text[MANY][3][64], chain[20][24];
	struct dns_server_record *to = records;
	while (to->name)
		to++;
	for (int i = 0; i < MANY; i++) {
		snprintf(text[i][0], 64, "%d mx%d.many.test", MANY - i, i);
		snprintf(text[i][1], 64, "mx%d.many.test", i);
		snprintf(text[i][2], 64, "198.51.100.%d", i);
		*to++ = (struct dns_server_record){"many.test", ns_t_mx, 300, text[i][0]};
		*to++ = (struct dns_server_record){text[i][1], ns_t_a, 300, text[i][2]};
		*to++ = (struct dns_server_record){"many.many-host.test", ns_t_a, 300, text[i][2]};
	}
	for (int i = 0; i < 20; i++) {
		snprintf(chain[i], sizeof(chain[i]), "chain%d.test", i);
		if (i > 0)
			*to++ = (struct dns_server_record){chain[i], ns_t_cname, 300, chain[i - 1]};
	}
	*to++ = (struct dns_server_record){chain[0], ns_t_a, 300, "192.0.2.60"};
	if (to - records >= (ptrdiff_t)(sizeof(records) / sizeof(records[0])))
		abort();
}

static struct dns_server *server;
static struct event_base *base;
static struct resolver *resolver;

/* A timer of 1 ms on the resolver's own loop: how long was it held up? */
static struct event *pulse;
static struct timespec pulse_at;
static uint64_t pulse_waited_ns, blocked_ns;

/* What this thread has waited for a processor: nobody's fault here. */
static uint64_t waited_ns(void)
{
	static int fd = -1;
	if (fd < 0)
		fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	char text[128] = "";
	unsigned long long ran = 0, waited = 0;
	if (fd >= 0 && pread(fd, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "%llu %llu", &ran, &waited);
	return waited;
}

static uint64_t since_ns(const struct timespec *from)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - from->tv_sec) * 1000000000 + now.tv_nsec - from->tv_nsec);
}

static void pulse_beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	uint64_t waited = waited_ns(), gap = since_ns(&pulse_at), ours = waited - pulse_waited_ns;
	if (gap > ours && gap - ours > blocked_ns)
		blocked_ns = gap - ours;
	pulse_waited_ns = waited;
	clock_gettime(CLOCK_MONOTONIC, &pulse_at);
}

static const struct resolver_setup setup_default = {
	.timeout_ms = 2000,
	.cache_entries = 1000,
	.pending_max = 1000,
	.negative_ttl_s = 30,
	.ttl_min_s = 1,
	.ttl_max_s = 86400,
};

static void resolver_start(struct resolver_setup setup, const char *servers)
{
	struct err err = {""};
	setup.base = base;
	setup.servers = servers;
	resolver = resolver_new(&setup, &err);
	ck_assert_msg(resolver != NULL, "%s", err.text);
}

static void start(void)
{
	server = dns_server_start(records, rules);
	struct event_config *config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(config);
	event_config_free(config);
	pulse = event_new(base, -1, EV_PERSIST, pulse_beat, NULL);
	const struct timeval interval = {0, 1000};
	event_add(pulse, &interval);
	blocked_ns = 0;
	pulse_waited_ns = waited_ns();
	clock_gettime(CLOCK_MONOTONIC, &pulse_at);
}

static void stop(void)
{
	pulse_beat(-1, 0, NULL);
	ck_assert_msg(blocked_ns < BLOCKED_MAX_MS * 1000000ull, "the loop was held up for %llu µs",
		(unsigned long long)blocked_ns / 1000);
	resolver_free(resolver);
	resolver = NULL;
	event_free(pulse);
	event_base_free(base);
	dns_server_stop(server);
}

static void start_default(void)
{
	start();
	resolver_start(setup_default, dns_server_address(server));
}

/* An asker and what it heard, in words. */
struct asker {
	struct resolver_question *question;
	int answers;
	unsigned after_ms;
	struct timespec asked;
	char heard[16384];
	struct resolver_entry *entry;
};

static const char *describe(const struct mx_answer *answer, char text[16384])
{
	static const char *const statuses[] = {"found", "null", "no domain", "unknown"};
	size_t len = (size_t)snprintf(text, 16384, "%s", statuses[answer->status]);
	for (size_t i = 0; i < answer->host_count; i++)
		len += (size_t)snprintf(text + len, 16384 - len, " %u %s", answer->hosts[i].preference,
			answer->hosts[i].name);
	for (size_t i = 0; i < answer->address_count; i++) {
		char address[INET6_ADDRSTRLEN] = "?";
		const struct sockaddr_storage *from = &answer->addresses[i];
		if (from->ss_family == AF_INET)
			inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, address,
				sizeof(address));
		else
			inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)from)->sin6_addr, address,
				sizeof(address));
		len += (size_t)snprintf(text + len, 16384 - len, "%s %s", i == 0 ? " at" : "", address);
	}
	if (answer->partial)
		snprintf(text + len, 16384 - len, ", partial");
	return text;
}

static void heard(void *arg, struct resolver_entry *entry)
{
	struct asker *asker = arg;
	asker->answers++;
	asker->entry = entry;
	asker->after_ms = (unsigned)(since_ns(&asker->asked) / 1000000);
	describe(&entry->answer, asker->heard);
	ck_assert_uint_eq(entry->owner, 0);
	ck_assert_ptr_null(entry->provider);
	ck_assert_uint_eq(entry->site, 0);
}

static void ask(struct asker *asker, const char *domain)
{
	*asker = (struct asker){.answers = 0};
	clock_gettime(CLOCK_MONOTONIC, &asker->asked);
	asker->question = resolver_ask(resolver, span_of(domain), heard, asker);
	ck_assert_ptr_nonnull(asker->question);
	ck_assert_int_eq(asker->answers, 0);
}

/* Runs the loop until all have heard, or for so long. */
static void run(const struct asker *askers, size_t count, unsigned max_ms)
{
	struct timespec from;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (size_t done = 0; done < count || count == 0;) {
		event_base_loop(base, EVLOOP_ONCE);
		for (done = 0; done < count && askers[done].answers; done++)
			;
		if (since_ns(&from) > max_ms * 1000000ull)
			return;
	}
}

static const char *lookup(const char *domain)
{
	static struct asker asker;
	ask(&asker, domain);
	run(&asker, 1, 5000);
	ck_assert_msg(asker.answers == 1, "%s: %d answers", domain, asker.answers);
	return asker.heard;
}

static struct resolver_counts counts(void)
{
	struct resolver_counts counts;
	resolver_counts(resolver, &counts);
	return counts;
}

static const struct {
	const char *domain, *heard;
	uint64_t failed;
} answers[] = {
	{"found.test",
		"found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		" at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2",
		0},
	{"FOUND.Test",
		"found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		" at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2",
		0},
	{"itself.test", "found 0 itself.test at 192.0.2.10 2001:db8::10", 0},
	{"null.test", "null", 0},
	{"half-null.test", "found 10 mx1.found.test at 192.0.2.1 2001:db8::1", 0},
	{"no-such.test", "no domain", 0},
	{"mx2.found.test", "found 0 mx2.found.test at 2001:db8::2", 0},
	{"nowhere-to-be.test", "found 10 no-such-host.test", 0},
	{"barren.test", "found 10 no-such-host.test", 0},
	/* CNAMEs of the domain and of a host; their loops. */
	{"alias.test",
		"found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		" at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2",
		0},
	{"alias-host.test", "found 10 alias-mx.test at 192.0.2.2 192.0.2.3", 0},
	{"dangling.test", "no domain", 0},
	{"chain8.test", "found 0 chain8.test at 192.0.2.60", 0},
	{"chain19.test", "unknown", 1},
	{"loop.test", "unknown", 1},
	{"loop-host.test", "found 10 loop.test 10 mx2.found.test at 2001:db8::2, partial", 0},
	/* Names. */
	{"numeric.test", "found 10 192.0.2.77 20 mx0.found.test at 192.0.2.77 192.0.2.2 192.0.2.3", 0},
	{"names.test", "found 20 mx0.found.test at 192.0.2.2 192.0.2.3, partial", 0},
	{"no-names.test", "unknown", 1},
	{"long.test", "found 10 " NAME_253 " at 192.0.2.20", 0},
	{NAME_253, "found 0 " NAME_253 " at 192.0.2.20", 0},
	{"x" NAME_253, "unknown", 1},
	{"x.onion", "no domain", 0},
	{"", "unknown", 1},
	{".", "unknown", 1},
	{"a..b", "unknown", 1},
	{"a b.test", "unknown", 1},
	{"b\xc3\xbc"
	 "cher.test",
		"unknown", 1},
	{"a\\.b.test", "unknown", 1},
	/* Address literals are not DNS' business. */
	{"[192.0.2.99]", "found 0 192.0.2.99 at 192.0.2.99", 0},
	{"[IPv6:2001:DB8::99]", "found 0 2001:db8::99 at 2001:db8::99", 0},
	{"[192.0.2.256]", "unknown", 1},
	{"[]", "unknown", 1},
	/* A server that is broken, or lies. */
	{"servfail.test", "unknown", 1},
	{"refused.test", "unknown", 1},
	{"one-fails.test", "found 10 mx0.found.test 20 servfail-mx.test at 192.0.2.2 192.0.2.3, partial", 0},
	{"all-fail.test", "unknown", 1},
	{"lies-first.test", "found 0 lies-first.test at 192.0.2.31", 0},
	{"garbage.test", "unknown", 1},
	{"half.test", "unknown", 1},
	{"pointers.test", "unknown", 1},
	{"truncated.test", "unknown", 1},
};

START_TEST(domains_are_answered)
{
	ck_assert_str_eq(lookup(answers[_i].domain), answers[_i].heard);
	ck_assert_uint_eq(counts().failed, answers[_i].failed);
	ck_assert_uint_eq(counts().timed_out + counts().refused, 0);
}
END_TEST

START_TEST(names_longer_than_any_are_unknown_and_not_kept)
{
	char name[1000];
	memset(name, 'a', sizeof(name));
	name[999] = '\0';
	ck_assert_str_eq(lookup(name), "unknown");
	ck_assert_ptr_null(resolver_cached(resolver, span_of(name)));
	/* Nor is one mistaken for another that begins alike. */
	name[255] = '\0';
	ck_assert_ptr_null(resolver_cached(resolver, span_of(name)));
}
END_TEST

START_TEST(a_hundred_hosts_come_by_tcp_and_are_cut)
{
	lookup("many.test");
	ck_assert_uint_gt(dns_server_tcp_count(server), 0);
	struct resolver_entry *entry = resolver_cached(resolver, span_of("many.test"));
	ck_assert_ptr_nonnull(entry);
	ck_assert_uint_eq(entry->answer.host_count, MX_HOSTS_MAX);
	ck_assert_uint_eq(entry->answer.address_count, MX_HOSTS_MAX);
	ck_assert(entry->answer.partial);
	/* The preferred ones: the last of the list. */
	ck_assert_str_eq(entry->answer.hosts[0].name, "mx99.many.test");
	ck_assert_str_eq(entry->answer.hosts[31].name, "mx68.many.test");
	/* MX once more by TCP, and two questions a host. */
	ck_assert_uint_eq(dns_server_udp_count(server), 1 + 2 * MX_HOSTS_MAX);
}
END_TEST

START_TEST(a_hundred_addresses_are_cut)
{
	lookup("many-host.test");
	struct resolver_entry *entry = resolver_cached(resolver, span_of("many-host.test"));
	ck_assert_ptr_nonnull(entry);
	ck_assert_uint_eq(entry->answer.address_count, MX_ADDRESSES_MAX);
	ck_assert(entry->answer.partial);
}
END_TEST

/*
 * After 2 s by a clock that counts in steps of 4 ms. All at once, so that the test lasts for 2 s, and none must hold up another.
 */
static const struct {
	const char *domain, *heard;
	unsigned after_ms, before_ms;
	bool timed_out;
} timely[] = {
	{"silent.test", "unknown", 1990, 2200, true},
	{"slower.test", "unknown", 1990, 2200, true},
	{"wrong-id.test", "unknown", 1990, 2200, true},
	{"wrong-question.test", "unknown", 1990, 2200, true},
	{"noise.test", "unknown", 1990, 2200, true},
	{"one-silent.test", "unknown", 1990, 2200, true},
	/* 1.9 s for MX leaves time for the addresses; 0.3 s and 1.9 s are too long together. */
	{"slow.test", "found 0 slow.test at 192.0.2.40", 1890, 2000, false},
	{"slow-mx.test", "unknown", 1990, 2200, true},
	{"found.test",
		"found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		" at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2",
		0, 100, false},
};
#define TIMELY (sizeof(timely) / sizeof(timely[0]))

START_TEST(two_seconds_are_all_it_takes)
{
	static struct asker askers[TIMELY];
	uint64_t timed_out = 0;
	for (size_t i = 0; i < TIMELY; i++) {
		ask(&askers[i], timely[i].domain);
		timed_out += timely[i].timed_out;
	}
	run(askers, TIMELY, 4000);
	for (size_t i = 0; i < TIMELY; i++) {
		ck_assert_str_eq(askers[i].heard, timely[i].heard);
		ck_assert_msg(
			askers[i].after_ms >= timely[i].after_ms && askers[i].after_ms < timely[i].before_ms,
			"%s after %u ms", timely[i].domain, askers[i].after_ms);
	}
	ck_assert_uint_eq(counts().timed_out, timed_out);
	/* What comes later finds nobody, and the answer stands. */
	run(NULL, 0, 2500);
	for (size_t i = 0; i < TIMELY; i++)
		ck_assert_int_eq(askers[i].answers, 1);
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("silent.test")));
}
END_TEST

START_TEST(a_flood_of_lies_does_not_hold_up_the_loop)
{
	ck_assert_str_eq(lookup("flood.test"), "found 0 flood.test at 192.0.2.32");
}
END_TEST

START_TEST(a_dead_server_is_noticed_at_once)
{
	/* The test's own port, where nobody listens any more. */
	char address[32];
	struct dns_server *dead = dns_server_start(records, rules);
	snprintf(address, sizeof(address), "%s", dns_server_address(dead));
	dns_server_stop(dead);
	resolver_start(setup_default, address);
	static struct asker asker;
	ask(&asker, "found.test");
	run(&asker, 1, 5000);
	ck_assert_str_eq(asker.heard, "unknown");
	ck_assert_uint_lt(asker.after_ms, 100);
	ck_assert_uint_eq(counts().failed, 1);
}
END_TEST

START_TEST(servers_that_are_none_are_refused)
{
	struct err err = {""};
	struct resolver_setup setup = setup_default;
	setup.base = base;
	setup.servers = "no address";
	ck_assert_ptr_null(resolver_new(&setup, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "\"no address\""));
	setup.servers = NULL;
	setup.pending_max = 100000;
	ck_assert_ptr_null(resolver_new(&setup, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "pending_max"));
}
END_TEST

START_TEST(questions_for_one_domain_share_a_lookup)
{
	static struct asker askers[3];
	ask(&askers[0], "itself.test");
	ask(&askers[1], "ITSELF.test");
	ask(&askers[2], "itself.test");
	run(askers, 3, 5000);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(askers[i].heard, "found 0 itself.test at 192.0.2.10 2001:db8::10");
	ck_assert_uint_eq(counts().lookups, 1);
	ck_assert_uint_eq(dns_server_udp_count(server), 3);
}
END_TEST

START_TEST(who_is_gone_hears_nothing)
{
	static struct asker askers[2];
	ask(&askers[0], "itself.test");
	ask(&askers[1], "itself.test");
	resolver_forget(askers[0].question);
	run(&askers[1], 1, 5000);
	ck_assert_int_eq(askers[0].answers, 0);
	ck_assert_int_eq(askers[1].answers, 1);
	/* The last one goes, the answer is kept all the same. */
	ask(&askers[0], "null.test");
	resolver_forget(askers[0].question);
	run(NULL, 0, 200);
	ck_assert_int_eq(askers[0].answers, 0);
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("null.test")));
}
END_TEST

START_TEST(freeing_ends_what_is_under_way)
{
	static struct asker askers[4];
	ask(&askers[0], "silent.test");
	ask(&askers[1], "slow-mx.test");
	run(NULL, 0, 400); /* the second is at its addresses */
	ask(&askers[2], "itself.test");
	ask(&askers[3], "[192.0.2.99]");
	resolver_free(resolver);
	resolver = NULL;
	run(NULL, 0, 100);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(askers[i].answers, 0);
}
END_TEST

START_TEST(more_than_can_be_under_way_are_refused)
{
	struct resolver_setup setup = setup_default;
	setup.pending_max = 2;
	resolver_start(setup, dns_server_address(server));
	static struct asker askers[4];
	ask(&askers[0], "late.test");
	ask(&askers[1], "itself.test");
	ask(&askers[2], "found.test");
	ask(&askers[3], "null.test");
	run(askers, 4, 5000);
	ck_assert_str_eq(askers[1].heard, "found 0 itself.test at 192.0.2.10 2001:db8::10");
	ck_assert_str_eq(askers[2].heard, "unknown");
	ck_assert_str_eq(askers[3].heard, "unknown");
	ck_assert_uint_lt(askers[3].after_ms, 100);
	ck_assert_ptr_ne(askers[2].entry, askers[3].entry);
	ck_assert_uint_eq(counts().refused, 2);
	ck_assert_uint_eq(counts().failed, 0);
	/* A refusal is no answer: it is not kept. */
	ck_assert_ptr_null(resolver_cached(resolver, span_of("null.test")));
	ck_assert_str_eq(lookup("null.test"), "null");
}
END_TEST

START_TEST(answers_are_kept_for_their_time)
{
	ck_assert_ptr_null(resolver_cached(resolver, span_of("short.test")));
	lookup("short.test");
	lookup("itself.test");
	lookup("soon.test"); /* a TTL of 0, raised to ttl_min_s */
	unsigned asked = dns_server_udp_count(server);
	struct resolver_entry *entry = resolver_cached(resolver, span_of("SHORT.Test"));
	ck_assert_ptr_nonnull(entry);
	ck_assert_ptr_eq(entry, resolver_cached(resolver, span_of("short.test")));
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("soon.test")));
	ck_assert_uint_eq(counts().cached, 3);
	/* The least TTL of all records counts. */
	run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(resolver, span_of("short.test")));
	ck_assert_ptr_null(resolver_cached(resolver, span_of("soon.test")));
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("itself.test")));
	ck_assert_uint_eq(dns_server_udp_count(server), asked);
	entry->owner = 1; /* the old entry's: heard() sees a new one */
	lookup("short.test");
	ck_assert_uint_eq(dns_server_udp_count(server), asked + 3);
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("short.test")));
}
END_TEST

START_TEST(no_answer_is_kept_for_negative_ttl)
{
	struct resolver_setup setup = setup_default;
	setup.negative_ttl_s = 1;
	resolver_start(setup, dns_server_address(server));
	lookup("servfail.test");
	lookup("no-such.test");
	/* Found, but not all of it: worth another try as early. */
	lookup("one-fails.test");
	lookup("itself.test");
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("servfail.test")));
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("no-such.test")));
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("one-fails.test")));
	run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(resolver, span_of("servfail.test")));
	ck_assert_ptr_null(resolver_cached(resolver, span_of("no-such.test")));
	ck_assert_ptr_null(resolver_cached(resolver, span_of("one-fails.test")));
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("itself.test")));
}
END_TEST

START_TEST(ttl_has_a_ceiling)
{
	struct resolver_setup setup = setup_default;
	setup.ttl_max_s = 1;
	resolver_start(setup, dns_server_address(server));
	lookup("itself.test");
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("itself.test")));
	run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(resolver, span_of("itself.test")));
}
END_TEST

START_TEST(the_least_recently_used_goes)
{
	struct resolver_setup setup = setup_default;
	setup.cache_entries = 2;
	resolver_start(setup, dns_server_address(server));
	lookup("found.test");
	lookup("itself.test");
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("found.test")));
	lookup("null.test");
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("found.test")));
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("null.test")));
	ck_assert_ptr_null(resolver_cached(resolver, span_of("itself.test")));
}
END_TEST

/* Each reads all entries that were handed out before it in the same turn of the loop. */
#define TURN 20
static struct turn {
	struct resolver_entry *entries[TURN];
	size_t count;
} turn;

static void heard_in_turn(void *arg, struct resolver_entry *entry)
{
	(void)arg;
	turn.entries[turn.count++] = entry;
	for (size_t i = 0; i < turn.count; i++) {
		char name[32];
		snprintf(name, sizeof(name), "192.0.2.%zu", i + 1);
		ck_assert_str_eq(turn.entries[i]->answer.hosts[0].name, name);
	}
}

START_TEST(entries_outlive_the_turn_in_which_they_are_evicted)
{
	struct resolver_setup setup = setup_default;
	setup.cache_entries = 1;
	resolver_start(setup, dns_server_address(server));
	turn.count = 0;
	for (int i = 1; i <= TURN; i++) {
		char literal[32];
		snprintf(literal, sizeof(literal), "[192.0.2.%d]", i);
		ck_assert_ptr_nonnull(resolver_ask(resolver, span_of(literal), heard_in_turn, NULL));
	}
	run(NULL, 0, 100);
	ck_assert_uint_eq(turn.count, TURN);
	ck_assert_ptr_null(resolver_cached(resolver, span_of("[192.0.2.1]")));
	ck_assert_ptr_nonnull(resolver_cached(resolver, span_of("[192.0.2.20]")));
}
END_TEST

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	address.ss_family = inet_pton(AF_INET, text, &v4->sin_addr) == 1 ? AF_INET : AF_INET6;
	if (address.ss_family == AF_INET)
		v4->sin_port = htons(25);
	else
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	return address;
}

/* "domain's first host, host" */
static const char *home_of(const char *text)
{
	static char home[600];
	struct sockaddr_storage address = address_of(text);
	struct span host;
	struct resolver_entry *entry = resolver_by_address(resolver, &address, &host);
	if (!entry)
		return "unknown";
	snprintf(home, sizeof(home), "%s, %.*s", entry->answer.hosts[0].name, (int)host.len, host.data);
	return home;
}

START_TEST(addresses_lead_to_hosts)
{
	struct resolver_setup setup = setup_default;
	setup.cache_entries = 3;
	setup.ttl_max_s = 1;
	resolver_start(setup, dns_server_address(server));
	ck_assert_str_eq(home_of("192.0.2.2"), "unknown");
	lookup("found.test");
	ck_assert_str_eq(home_of("192.0.2.1"), "mx1.found.test, mx1.found.test");
	ck_assert_str_eq(home_of("::ffff:192.0.2.1"), "mx1.found.test, mx1.found.test");
	ck_assert_str_eq(home_of("2001:db8::2"), "mx1.found.test, mx2.found.test");
	ck_assert_str_eq(home_of("192.0.2.9"), "unknown");
	/* Last seen as another domain's. */
	lookup("alias-host.test");
	ck_assert_str_eq(home_of("192.0.2.2"), "alias-mx.test, alias-mx.test");
	ck_assert_str_eq(home_of("192.0.2.1"), "mx1.found.test, mx1.found.test");
	/* Past its time it is still the best that is known. */
	run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(resolver, span_of("found.test")));
	ck_assert_str_eq(home_of("192.0.2.1"), "mx1.found.test, mx1.found.test");
	/* Evicted. */
	lookup("null.test");
	lookup("itself.test");
	lookup("[192.0.2.99]");
	ck_assert_str_eq(home_of("192.0.2.1"), "unknown");
	ck_assert_str_eq(home_of("192.0.2.99"), "192.0.2.99, 192.0.2.99");
}
END_TEST

START_TEST(memory_is_bounded)
{
	struct resolver_setup setup = setup_default;
	setup.cache_entries = 100;
	setup.pending_max = 50;
	resolver_start(setup, dns_server_address(server));
	static struct asker askers[40];
	size_t before = 0;
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 40; i++) {
			char domain[64];
			snprintf(
				domain, sizeof(domain), i % 4 ? "d%d-%d.any.test" : "[10.%d.%d.1]", round, i);
			ask(&askers[i], domain);
		}
		run(askers, 40, 5000);
		for (int i = 0; i < 40; i++)
			ck_assert_int_eq(askers[i].heard[0], 'f');
		if (round == 20)
			before = mallinfo2().uordblks;
	}
	ck_assert_uint_lt(mallinfo2().uordblks, before + 64 * 1024);
}
END_TEST

/* The cache is bounded in bytes, too: the largest entries are five times what it has room for per entry. */
START_TEST(large_entries_make_room_for_themselves)
{
	static struct mx_host hosts[MX_HOSTS_MAX];
	static struct resolver_cache_address addresses[MX_ADDRESSES_MAX];
	for (int i = 0; i < MX_HOSTS_MAX; i++)
		snprintf(hosts[i].name, sizeof(hosts[i].name), "mx%d.example", i);
	struct resolver_cache *cache = resolver_cache_new(100);
	size_t found = 0;
	for (int i = 0; i < 200; i++) {
		char name[24];
		snprintf(name, sizeof(name), "domain%d", i);
		for (int j = 0; j < MX_ADDRESSES_MAX; j++) {
			char text[32];
			snprintf(text, sizeof(text), "10.%d.%d.1", i, j);
			addresses[j] = (struct resolver_cache_address){address_of(text), (uint8_t)(j / 2)};
		}
		const struct resolver_cache_put put = {
			.name = span_of(name),
			.answer = {.status = MX_FOUND, .hosts = hosts, .host_count = MX_HOSTS_MAX},
			.addresses = addresses,
			.address_count = MX_ADDRESSES_MAX,
			.expires_ms = 1000,
			.keep = true,
		};
		ck_assert_ptr_nonnull(resolver_cache_put(cache, &put));
		resolver_cache_sweep(cache);
	}
	for (int i = 0; i < 200; i++) {
		char name[24];
		snprintf(name, sizeof(name), "domain%d", i);
		found += resolver_cache_find(cache, span_of(name), 999) != NULL;
	}
	ck_assert_uint_lt(
		found * (MX_HOSTS_MAX * sizeof(hosts[0]) + MX_ADDRESSES_MAX * sizeof(addresses[0].address)),
		100 * RESOLVER_CACHE_BYTES_PER_ENTRY);
	ck_assert_uint_gt(found, 20);
	ck_assert_ptr_nonnull(resolver_cache_find(cache, span_of("domain199"), 999));
	ck_assert_ptr_null(resolver_cache_find(cache, span_of("domain199"), 1000));
	/* 200 addresses are remembered: the newest three domains' and a few more. */
	struct span host;
	struct sockaddr_storage newest = address_of("10.199.63.1"), old = address_of("10.195.0.1");
	ck_assert_ptr_nonnull(resolver_cache_by_address(cache, &newest, &host));
	ck_assert(span_equal(host, span_of("mx31.example")));
	ck_assert_ptr_null(resolver_cache_by_address(cache, &old, &host));
	resolver_cache_free(cache);
}
END_TEST

/* As many lookups as there may be, of a server that is silent: the loop must not notice. */
START_TEST(thousands_under_way_do_not_hold_up_the_loop)
{
	struct resolver_setup setup = setup_default;
	setup.pending_max = resolver_defaults.pending_max;
	setup.cache_entries = 10000;
	setup.timeout_ms = 500;
	/* A socket that nobody reads from. */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	char address[32];
	snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(at.sin_port));
	resolver_start(setup, address);
	static struct asker asker;
	for (uint32_t i = 0; i < setup.pending_max; i++) {
		char domain[32];
		snprintf(domain, sizeof(domain), "d%u.test", i);
		ask(&asker, domain);
		/* A session asks for one at a time. */
		if (i % 50 == 0)
			event_base_loop(base, EVLOOP_NONBLOCK);
	}
	run(NULL, 0, 1500);
	ck_assert_uint_eq(counts().timed_out, setup.pending_max);
	close(fd);
}
END_TEST

int main(void)
{
	dns_server_isolate();
	records_complete();
	Suite *suite = suite_create("resolver");
	TCase *answering = tcase_create("answering");
	tcase_set_timeout(answering, 60);
	tcase_add_checked_fixture(answering, start_default, stop);
	tcase_add_loop_test(answering, domains_are_answered, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(answering, names_longer_than_any_are_unknown_and_not_kept);
	tcase_add_test(answering, a_hundred_hosts_come_by_tcp_and_are_cut);
	tcase_add_test(answering, a_hundred_addresses_are_cut);
	tcase_add_test(answering, two_seconds_are_all_it_takes);
	tcase_add_test(answering, a_flood_of_lies_does_not_hold_up_the_loop);
	tcase_add_test(answering, questions_for_one_domain_share_a_lookup);
	tcase_add_test(answering, who_is_gone_hears_nothing);
	tcase_add_test(answering, freeing_ends_what_is_under_way);
	tcase_add_test(answering, answers_are_kept_for_their_time);
	suite_add_tcase(suite, answering);
	TCase *limited = tcase_create("limited");
	tcase_set_timeout(limited, 60);
	tcase_add_checked_fixture(limited, start, stop);
	tcase_add_test(limited, a_dead_server_is_noticed_at_once);
	tcase_add_test(limited, servers_that_are_none_are_refused);
	tcase_add_test(limited, more_than_can_be_under_way_are_refused);
	tcase_add_test(limited, no_answer_is_kept_for_negative_ttl);
	tcase_add_test(limited, ttl_has_a_ceiling);
	tcase_add_test(limited, the_least_recently_used_goes);
	tcase_add_test(limited, entries_outlive_the_turn_in_which_they_are_evicted);
	tcase_add_test(limited, addresses_lead_to_hosts);
	tcase_add_test(limited, memory_is_bounded);
	tcase_add_test(limited, large_entries_make_room_for_themselves);
	tcase_add_test(limited, thousands_under_way_do_not_hold_up_the_loop);
	suite_add_tcase(suite, limited);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
