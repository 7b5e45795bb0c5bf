/* The resolver against a name server that lies, stalls and breaks. */
#include "resolver.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver_lookup.h"
#include "resolver_scene.h"
#include "resolver_zone.h"
#include "suite.h"

static const struct {
	const char *domain, *heard;
} answers[] = {
	{"found.test", "found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		       " at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2"},
	{"FOUND.Test", "found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		       " at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2"},
	{"itself.test", "found 0 itself.test at 192.0.2.10 2001:db8::10"},
	{"null.test", "null"},
	{"half-null.test", "found 10 mx1.found.test at 192.0.2.1 2001:db8::1"},
	{"no-such.test", "no domain"},
	{"mx2.found.test", "found 0 mx2.found.test at 2001:db8::2"},
	{"nowhere-to-be.test", "found 10 no-such-host.test"},
	{"barren.test", "found 10 no-such-host.test"},
	/* CNAMEs of the domain and of a host; their loops. */
	{"alias.test", "found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		       " at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2"},
	{"alias-host.test", "found 10 alias-mx.test at 192.0.2.2 192.0.2.3"},
	{"dangling.test", "no domain"},
	{"chain8.test", "found 0 chain8.test at 192.0.2.60"},
	{"chain19.test", "unknown"},
	{"loop.test", "unknown"},
	{"loop-host.test", "found 10 loop.test 10 mx2.found.test at 2001:db8::2, partial"},
	/* Names. */
	{"numeric.test", "found 10 192.0.2.77 20 mx0.found.test at 192.0.2.77 192.0.2.2 192.0.2.3"},
	{"names.test", "found 20 mx0.found.test at 192.0.2.2 192.0.2.3, partial"},
	{"no-names.test", "unknown"},
	{"long.test", "found 10 " NAME_253 " at 192.0.2.20"},
	{NAME_253, "found 0 " NAME_253 " at 192.0.2.20"},
	{"x" NAME_253, "unknown"},
	{"x.onion", "no domain"},
	{"", "unknown"},
	{".", "unknown"},
	{"a..b", "unknown"},
	{"a b.test", "unknown"},
	{"b\xc3\xbc"
	 "cher.test",
		"unknown"},
	{"a\\.b.test", "unknown"},
	/* Address literals are not DNS' business. */
	{"[192.0.2.99]", "found 0 192.0.2.99 at 192.0.2.99"},
	{"[IPv6:2001:DB8::99]", "found 0 2001:db8::99 at 2001:db8::99"},
	{"[192.0.2.256]", "unknown"},
	{"[]", "unknown"},
	/* A server that is broken, or lies. */
	{"servfail.test", "unknown"},
	{"refused.test", "unknown"},
	{"one-fails.test", "found 10 mx0.found.test 20 servfail-mx.test at 192.0.2.2 192.0.2.3, partial"},
	{"all-fail.test", "unknown"},
	{"lies-first.test", "found 0 lies-first.test at 192.0.2.31"},
	{"garbage.test", "unknown"},
	{"half.test", "unknown"},
	{"pointers.test", "unknown"},
	{"truncated.test", "unknown"},
};

START_TEST(domains_are_answered)
{
	ck_assert_str_eq(scene_lookup(answers[_i].domain), answers[_i].heard);
	ck_assert_uint_eq(scene_count(STATS_DNS_TIMED_OUT) + scene_count(STATS_DNS_REFUSED), 0);
}
END_TEST

START_TEST(names_longer_than_any_are_unknown_and_not_kept)
{
	char name[1000];
	memset(name, 'a', sizeof(name));
	name[999] = '\0';
	ck_assert_str_eq(scene_lookup(name), "unknown");
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of(name)));
	/* Nor is one mistaken for another that begins alike. */
	name[255] = '\0';
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of(name)));
}
END_TEST

START_TEST(a_hundred_hosts_come_by_tcp_and_are_cut)
{
	scene_lookup("many.test");
	ck_assert_uint_gt(dns_server_tcp_count(scene.server), 0);
	struct resolver_entry *entry = resolver_cached(scene.resolver, span_of("many.test"));
	ck_assert_ptr_nonnull(entry);
	ck_assert_uint_eq(entry->answer.host_count, MX_HOSTS_MAX);
	ck_assert_uint_eq(entry->answer.address_count, MX_HOSTS_MAX);
	ck_assert(entry->answer.partial);
	/* The preferred ones: the last of the list. */
	ck_assert_str_eq(entry->answer.hosts[0].name, "mx99.many.test");
	ck_assert_str_eq(entry->answer.hosts[31].name, "mx68.many.test");
	/* MX once more by TCP, and two questions a host. */
	ck_assert_uint_eq(dns_server_udp_count(scene.server), 1 + 2 * MX_HOSTS_MAX);
}
END_TEST

START_TEST(a_hundred_addresses_are_cut)
{
	scene_lookup("many-host.test");
	struct resolver_entry *entry = resolver_cached(scene.resolver, span_of("many-host.test"));
	ck_assert_ptr_nonnull(entry);
	ck_assert_uint_eq(entry->answer.address_count, MX_ADDRESSES_MAX);
	ck_assert(entry->answer.partial);
}
END_TEST

/*
 * After 2 s by a clock that counts in steps of 4 ms. All at once, so that the test lasts for 2 s, and none
 * must hold up another.
 */
static const struct {
	const char *domain, *heard;
	unsigned after_ms, before_ms;
	bool timed_out;
} timely[] = {
	{"silent.test", "unknown", 1990, 3500, true},
	{"slower.test", "unknown", 1990, 3500, true},
	{"wrong-id.test", "unknown", 1990, 3500, true},
	{"wrong-question.test", "unknown", 1990, 3500, true},
	{"noise.test", "unknown", 1990, 3500, true},
	{"one-silent.test", "unknown", 1990, 3500, true},
	/* 1.5 s for MX leave time for the addresses; 0.3 s and 1.9 s are too long together. */
	{"slow.test", "found 0 slow.test at 192.0.2.40", 1490, 2000, false},
	{"slow-mx.test", "unknown", 1990, 3500, true},
	{"found.test",
		"found 10 mx1.found.test 20 mx0.found.test 20 mx2.found.test"
		" at 192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2",
		0, 1400, false},
};
#define TIMELY (sizeof(timely) / sizeof(timely[0]))

START_TEST(two_seconds_are_all_it_takes)
{
	static struct asker askers[TIMELY];
	uint64_t timed_out = 0;
	for (size_t i = 0; i < TIMELY; i++) {
		scene_ask(&askers[i], timely[i].domain);
		timed_out += timely[i].timed_out;
	}
	scene_run(askers, TIMELY, 8000);
	for (size_t i = 0; i < TIMELY; i++) {
		ck_assert_str_eq(askers[i].heard, timely[i].heard);
		ck_assert_msg(
			askers[i].after_ms >= timely[i].after_ms && askers[i].after_ms < timely[i].before_ms,
			"%s after %u ms", timely[i].domain, askers[i].after_ms);
	}
	ck_assert_uint_eq(scene_count(STATS_DNS_TIMED_OUT), timed_out);
	/* What comes later finds nobody, and the answer stands. */
	scene_run(NULL, 0, 2500);
	for (size_t i = 0; i < TIMELY; i++)
		ck_assert_int_eq(askers[i].answers, 1);
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("silent.test")));
}
END_TEST

START_TEST(a_flood_of_lies_does_not_hold_up_the_loop)
{
	ck_assert_str_eq(scene_lookup("flood.test"), "found 0 flood.test at 192.0.2.32");
}
END_TEST

START_TEST(a_dead_server_is_noticed_at_once)
{
	/* The test's own port, where nobody listens any more. */
	char address[32];
	struct dns_server *dead = dns_server_start(resolver_zone_records(), resolver_zone_rules);
	snprintf(address, sizeof(address), "%s", dns_server_address(dead));
	dns_server_stop(dead);
	scene_resolver_start(scene_setup, address);
	static struct asker asker;
	scene_ask(&asker, "found.test");
	scene_run(&asker, 1, 5000);
	ck_assert_str_eq(asker.heard, "unknown");
	ck_assert_uint_lt(asker.after_ms, 1900);
	ck_assert_uint_eq(scene_count(STATS_DNS_TIMED_OUT), 0);
}
END_TEST

START_TEST(servers_that_are_none_are_refused)
{
	struct err err = {""};
	struct resolver_setup setup = scene_setup;
	setup.base = scene.base;
	setup.servers = "no address";
	ck_assert_ptr_null(resolver_new(&setup, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "\"no address\""));
	setup.servers = NULL;
	setup.pending_max = 100000;
	ck_assert_ptr_null(resolver_new(&setup, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "pending_max"));
}
END_TEST

static bool window_is_full(void)
{
	return dns_server_udp_count(scene.server) >= 1 + RESOLVER_LOOKUP_WINDOW;
}

START_TEST(few_questions_of_a_lookup_are_under_way_at_a_time)
{
	/* None is asked again meanwhile. */
	struct resolver_setup setup = scene_setup;
	setup.timeout_ms = 60000;
	scene_resolver_start(setup, dns_server_address(scene.server));
	static struct asker asker;
	scene_ask(&asker, "window.test");
	ck_assert(scene_comes_to(window_is_full));
	scene_run(NULL, 0, 300);
	ck_assert_uint_eq(dns_server_udp_count(scene.server), 1 + RESOLVER_LOOKUP_WINDOW);
}
END_TEST

START_TEST(questions_for_one_domain_share_a_lookup)
{
	static struct asker askers[3];
	scene_ask(&askers[0], "itself.test");
	scene_ask(&askers[1], "ITSELF.test");
	scene_ask(&askers[2], "itself.test");
	scene_run(askers, 3, 5000);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(askers[i].heard, "found 0 itself.test at 192.0.2.10 2001:db8::10");
	ck_assert_uint_eq(scene_count(STATS_DNS_LOOKUPS), 1);
	ck_assert_uint_eq(dns_server_udp_count(scene.server), 3);
}
END_TEST

static bool null_is_kept(void)
{
	return resolver_cached(scene.resolver, span_of("null.test")) != NULL;
}

START_TEST(who_is_gone_hears_nothing)
{
	static struct asker askers[2];
	scene_ask(&askers[0], "itself.test");
	scene_ask(&askers[1], "itself.test");
	resolver_forget(askers[0].question);
	scene_run(&askers[1], 1, 5000);
	ck_assert_int_eq(askers[0].answers, 0);
	ck_assert_int_eq(askers[1].answers, 1);
	/* The last one goes, the answer is kept all the same. */
	scene_ask(&askers[0], "null.test");
	resolver_forget(askers[0].question);
	ck_assert(scene_comes_to(null_is_kept));
	ck_assert_int_eq(askers[0].answers, 0);
}
END_TEST

START_TEST(freeing_ends_what_is_under_way)
{
	static struct asker askers[4];
	scene_ask(&askers[0], "silent.test");
	scene_ask(&askers[1], "slow-mx.test");
	scene_run(NULL, 0, 400); /* the second is at its addresses */
	scene_ask(&askers[2], "itself.test");
	scene_ask(&askers[3], "[192.0.2.99]");
	resolver_free(scene.resolver);
	scene.resolver = NULL;
	scene_run(NULL, 0, 100);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(askers[i].answers, 0);
}
END_TEST

START_TEST(more_than_can_be_under_way_are_refused)
{
	struct resolver_setup setup = scene_setup;
	setup.pending_max = 2;
	scene_resolver_start(setup, dns_server_address(scene.server));
	static struct asker askers[4];
	scene_ask(&askers[0], "late.test");
	scene_ask(&askers[1], "itself.test");
	scene_ask(&askers[2], "found.test");
	scene_ask(&askers[3], "null.test");
	scene_run(askers, 4, 5000);
	ck_assert_str_eq(askers[1].heard, "found 0 itself.test at 192.0.2.10 2001:db8::10");
	ck_assert_str_eq(askers[2].heard, "unknown");
	ck_assert_str_eq(askers[3].heard, "unknown");
	ck_assert_uint_le(askers[3].after_ms, askers[0].after_ms);
	ck_assert_ptr_ne(askers[2].entry, askers[3].entry);
	ck_assert_uint_eq(scene_count(STATS_DNS_REFUSED), 2);
	/* A refusal is no answer: it is not kept. */
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("null.test")));
	ck_assert_str_eq(scene_lookup("null.test"), "null");
}
END_TEST

static bool all_timed_out(void)
{
	return scene_count(STATS_DNS_TIMED_OUT) == resolver_defaults.pending_max;
}

/* As many lookups as there may be, of a server that is silent: the loop must not notice. */
START_TEST(thousands_under_way_do_not_hold_up_the_loop)
{
	struct resolver_setup setup = scene_setup;
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
	scene_resolver_start(setup, address);
	static struct asker asker;
	for (uint32_t i = 0; i < setup.pending_max; i++) {
		char domain[32];
		snprintf(domain, sizeof(domain), "d%u.test", i);
		scene_ask(&asker, domain);
		/* A session asks for one at a time. */
		if (i % 50 == 0)
			event_base_loop(scene.base, EVLOOP_NONBLOCK);
	}
	ck_assert(scene_comes_to(all_timed_out));
	close(fd);
}
END_TEST

int main(void)
{
	dns_server_isolate();
	Suite *suite = suite_create("resolver");
	TCase *answering = tcase_create("answering");
	tcase_set_timeout(answering, 60);
	tcase_add_checked_fixture(answering, scene_start_default, scene_stop);
	tcase_add_loop_test(answering, domains_are_answered, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(answering, names_longer_than_any_are_unknown_and_not_kept);
	tcase_add_test(answering, a_hundred_hosts_come_by_tcp_and_are_cut);
	tcase_add_test(answering, a_hundred_addresses_are_cut);
	tcase_add_test(answering, two_seconds_are_all_it_takes);
	tcase_add_test(answering, a_flood_of_lies_does_not_hold_up_the_loop);
	tcase_add_test(answering, questions_for_one_domain_share_a_lookup);
	tcase_add_test(answering, who_is_gone_hears_nothing);
	tcase_add_test(answering, freeing_ends_what_is_under_way);
	suite_add_tcase(suite, answering);
	TCase *limited = tcase_create("limited");
	tcase_set_timeout(limited, 60);
	tcase_add_checked_fixture(limited, scene_start, scene_stop);
	tcase_add_test(limited, a_dead_server_is_noticed_at_once);
	tcase_add_test(limited, servers_that_are_none_are_refused);
	tcase_add_test(limited, few_questions_of_a_lookup_are_under_way_at_a_time);
	tcase_add_test(limited, more_than_can_be_under_way_are_refused);
	tcase_add_test(limited, thousands_under_way_do_not_hold_up_the_loop);
	suite_add_tcase(suite, limited);
	return suite_run(suite);
}
