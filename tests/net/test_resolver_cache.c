/* How long answers are kept, which go first, and what is remembered of addresses. */
#include "resolver_cache.h"

#include <check.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>

#include "mapped.h"
#include "resolver_scene.h"
#include "suite.h"

START_TEST(answers_are_kept_for_their_time)
{
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("short.test")));
	scene_lookup("short.test");
	scene_lookup("itself.test");
	scene_lookup("soon.test"); /* a TTL of 0, raised to ttl_min_s */
	unsigned asked = dns_server_udp_count(scene.server);
	struct resolver_entry *entry = resolver_cached(scene.resolver, span_of("SHORT.Test"));
	ck_assert_ptr_nonnull(entry);
	ck_assert_ptr_eq(entry, resolver_cached(scene.resolver, span_of("short.test")));
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("soon.test")));
	ck_assert_uint_eq(scene_count(STATS_DNS_CACHED), 3);
	/* The least TTL of all records counts. */
	scene_run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("short.test")));
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("soon.test")));
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("itself.test")));
	ck_assert_uint_eq(dns_server_udp_count(scene.server), asked);
	entry->owner = 1; /* the old entry's: heard() sees a new one */
	scene_lookup("short.test");
	ck_assert_uint_eq(dns_server_udp_count(scene.server), asked + 3);
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("short.test")));
}
END_TEST

START_TEST(no_answer_is_kept_for_negative_ttl)
{
	struct resolver_setup setup = scene_setup;
	setup.negative_ttl_s = 1;
	scene_resolver_start(setup, dns_server_address(scene.server));
	scene_lookup("servfail.test");
	scene_lookup("no-such.test");
	/* Found, but not all of it: worth another try as early. */
	scene_lookup("one-fails.test");
	scene_lookup("itself.test");
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("servfail.test")));
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("no-such.test")));
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("one-fails.test")));
	scene_run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("servfail.test")));
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("no-such.test")));
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("one-fails.test")));
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("itself.test")));
}
END_TEST

START_TEST(ttl_has_a_ceiling)
{
	struct resolver_setup setup = scene_setup;
	setup.ttl_max_s = 1;
	scene_resolver_start(setup, dns_server_address(scene.server));
	scene_lookup("itself.test");
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("itself.test")));
	scene_run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("itself.test")));
}
END_TEST

START_TEST(the_least_recently_used_goes)
{
	struct resolver_setup setup = scene_setup;
	setup.cache_entries = 2;
	scene_resolver_start(setup, dns_server_address(scene.server));
	scene_lookup("found.test");
	scene_lookup("itself.test");
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("found.test")));
	scene_lookup("null.test");
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("found.test")));
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("null.test")));
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("itself.test")));
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

static bool all_had_their_turn(void)
{
	return turn.count == TURN;
}

START_TEST(entries_outlive_the_turn_in_which_they_are_evicted)
{
	struct resolver_setup setup = scene_setup;
	setup.cache_entries = 1;
	scene_resolver_start(setup, dns_server_address(scene.server));
	turn.count = 0;
	for (int i = 1; i <= TURN; i++) {
		char literal[32];
		snprintf(literal, sizeof(literal), "[192.0.2.%d]", i);
		ck_assert_ptr_nonnull(resolver_ask(scene.resolver, span_of(literal), heard_in_turn, NULL));
	}
	ck_assert(scene_comes_to(all_had_their_turn));
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("[192.0.2.1]")));
	ck_assert_ptr_nonnull(resolver_cached(scene.resolver, span_of("[192.0.2.20]")));
}
END_TEST

static struct in6_addr address_of(const char *text)
{
	struct in6_addr address;
	ck_assert(mapped_read(text, &address));
	return address;
}

/* "domain's first host, host" */
static const char *home_of(const char *text)
{
	static char home[600];
	struct in6_addr address = address_of(text);
	struct span host;
	struct resolver_entry *entry = resolver_by_address(scene.resolver, &address, &host);
	if (!entry)
		return "unknown";
	snprintf(home, sizeof(home), "%s, %.*s", entry->answer.hosts[0].name, (int)host.len, host.data);
	return home;
}

START_TEST(addresses_lead_to_hosts)
{
	struct resolver_setup setup = scene_setup;
	setup.cache_entries = 3;
	setup.ttl_max_s = 1;
	scene_resolver_start(setup, dns_server_address(scene.server));
	ck_assert_str_eq(home_of("192.0.2.2"), "unknown");
	scene_lookup("found.test");
	ck_assert_str_eq(home_of("192.0.2.1"), "mx1.found.test, mx1.found.test");
	ck_assert_str_eq(home_of("::ffff:192.0.2.1"), "mx1.found.test, mx1.found.test");
	ck_assert_str_eq(home_of("2001:db8::2"), "mx1.found.test, mx2.found.test");
	ck_assert_str_eq(home_of("192.0.2.9"), "unknown");
	/* Last seen as another domain's. */
	scene_lookup("alias-host.test");
	ck_assert_str_eq(home_of("192.0.2.2"), "alias-mx.test, alias-mx.test");
	ck_assert_str_eq(home_of("192.0.2.1"), "mx1.found.test, mx1.found.test");
	/* Past its time it is still the best that is known. */
	scene_run(NULL, 0, 1100);
	ck_assert_ptr_null(resolver_cached(scene.resolver, span_of("found.test")));
	ck_assert_str_eq(home_of("192.0.2.1"), "mx1.found.test, mx1.found.test");
	/* Evicted. */
	scene_lookup("null.test");
	scene_lookup("itself.test");
	scene_lookup("[192.0.2.99]");
	ck_assert_str_eq(home_of("192.0.2.1"), "unknown");
	ck_assert_str_eq(home_of("192.0.2.99"), "192.0.2.99, 192.0.2.99");
}
END_TEST

START_TEST(memory_is_bounded)
{
	struct resolver_setup setup = scene_setup;
	setup.cache_entries = 100;
	setup.pending_max = 50;
	scene_resolver_start(setup, dns_server_address(scene.server));
	static struct asker askers[40];
	size_t before = 0;
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 40; i++) {
			char domain[64];
			snprintf(
				domain, sizeof(domain), i % 4 ? "d%d-%d.any.test" : "[10.%d.%d.1]", round, i);
			scene_ask(&askers[i], domain);
		}
		scene_run(askers, 40, 5000);
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
	struct in6_addr newest = address_of("10.199.63.1"), old = address_of("10.195.0.1");
	ck_assert_ptr_nonnull(resolver_cache_by_address(cache, &newest, &host));
	ck_assert(span_equal(host, span_of("mx31.example")));
	ck_assert_ptr_null(resolver_cache_by_address(cache, &old, &host));
	resolver_cache_free(cache);
}
END_TEST

int main(void)
{
	dns_server_isolate();
	Suite *suite = suite_create("resolver_cache");
	TCase *keeping = tcase_create("keeping");
	tcase_set_timeout(keeping, 60);
	tcase_add_checked_fixture(keeping, scene_start_default, scene_stop);
	tcase_add_test(keeping, answers_are_kept_for_their_time);
	suite_add_tcase(suite, keeping);
	TCase *limited = tcase_create("limited");
	tcase_set_timeout(limited, 60);
	tcase_add_checked_fixture(limited, scene_start, scene_stop);
	tcase_add_test(limited, no_answer_is_kept_for_negative_ttl);
	tcase_add_test(limited, ttl_has_a_ceiling);
	tcase_add_test(limited, the_least_recently_used_goes);
	tcase_add_test(limited, entries_outlive_the_turn_in_which_they_are_evicted);
	tcase_add_test(limited, addresses_lead_to_hosts);
	tcase_add_test(limited, memory_is_bounded);
	tcase_add_test(limited, large_entries_make_room_for_themselves);
	suite_add_tcase(suite, limited);
	return suite_run(suite);
}
