/* Beginnings for which there is no memory, at each allocation in turn: told, with nothing left behind. */
#include <check.h>
#include <dirent.h>
#include <event2/event.h>
#include <unistd.h>

#include "admin.h"
#include "failmalloc.h"
#include "listener.h"
#include "resolver.h"
#include "suite.h"
#include "worker_scene.h"

/* More allocations than any of them makes. */
#define TRIES_MAX 2000

static const struct origdst_finder finders[] = {{"listener", AF_INET, served_find_listener}, {0}};
static const struct stats_layout layout = {.blocks = 1, .rows = {8, 8, 8, 8}};
static struct policy_state state;
static struct stats stats;
static bool reached; /* the allocation that was to fail */

static void start(void)
{
	struct err err;
	stats_format(&stats, calloc(1, stats_size(&layout)), &layout, 0);
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
}

static void stop(void)
{
	policy_state_done(&state);
	free(stats.memory);
}

static bool worker_begins(long nth, struct err *err)
{
	int listeners[2] = {listener_open(0, err), listener_open(0, err)};
	ck_assert(listeners[0] >= 0 && listeners[1] >= 0);
	const struct policy *policy = served_policy();
	const struct worker_setup setup = {
		.listeners = listeners,
		.listener_count = 2,
		.policy = policy,
		.finders = finders,
		.block = stats_block(&stats, 0),
		.state = &state,
		.resolve = true,
		.dns_servers = "127.0.0.1:9",
	};
	failmalloc_at(nth);
	struct worker *worker = worker_start(&setup, err);
	reached = failmalloc_end();
	worker_stop(worker);
	policy_unref(policy);
	return worker;
}

static bool resolver_begins(long nth, struct err *err)
{
	struct resolver_setup setup = resolver_defaults;
	setup.base = event_base_new();
	setup.servers = "127.0.0.1:9,[::1]:9";
	failmalloc_at(nth);
	struct resolver *resolver = resolver_new(&setup, err);
	reached = failmalloc_end();
	resolver_free(resolver);
	event_base_free(setup.base);
	return resolver;
}

static bool admin_begins(long nth, struct err *err)
{
	struct event_base *base = event_base_new();
	const struct admin_setup setup = {
		.base = base,
		.listener = listener_open(0, err),
		.stats = &stats,
		.state = &state,
	};
	ck_assert_int_ge(setup.listener, 0);
	failmalloc_at(nth);
	struct admin *admin = admin_new(&setup, err);
	reached = failmalloc_end();
	admin_free(admin);
	event_base_free(base);
	return admin;
}

static bool (*const beginnings[])(long nth, struct err *err) = {worker_begins, resolver_begins, admin_begins};

static unsigned descriptors(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

START_TEST(each_allocation_may_fail)
{
	struct err err = {""};
	ck_assert_msg(beginnings[_i](TRIES_MAX, &err), "%s", err.text);
	unsigned before = descriptors(), failed = 0;
	reached = true;
	for (long nth = 1; nth < TRIES_MAX && reached; nth++) {
		err.text[0] = '\0';
		bool begins = beginnings[_i](nth, &err);
		failed += !begins;
		ck_assert_msg(begins || err.text[0], "allocation %ld failed without a word", nth);
		ck_assert_msg(descriptors() == before, "allocation %ld left %u descriptors in place of %u",
			nth, descriptors(), before);
	}
	ck_assert(!reached);
#ifdef FAILMALLOC
	ck_assert_uint_gt(failed, 2);
#endif
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("starved");
	TCase *cases = tcase_create("starved");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, start, stop);
	tcase_add_loop_test(cases, each_allocation_may_fail, 0, sizeof(beginnings) / sizeof(beginnings[0]));
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
