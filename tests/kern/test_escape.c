#include "escape.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "escape_scene.h"
#include "netns.h"
#include "suite.h"

START_TEST(test_probe_changes_nothing)
{
	netns_fresh();
	shell("nft add table inet other");
	char *before = shell_output("nft list ruleset");
	struct ruleset_observation observation = observation_of(true);
	char *after = shell_output("nft list ruleset");
	ck_assert_str_eq(before, after);
	/* The best that there is: what it named can be loaded, what is better cannot. */
	struct ruleset *rules = rules_default();
	ck_assert_int_eq(ruleset_observe(rules, &observation, NULL), 0);
	struct guard *guard = guard_new(-1, NULL);
	ck_assert_int_eq(guard_arm(guard, rules, NULL), 0);
	ruleset_free(rules);
	if (observation.output > RULESET_BY_NFT_QUEUE) {
		rules = rules_default();
		observation.output--;
		ck_assert_int_eq(ruleset_observe(rules, &observation, NULL), 0);
		ck_assert_int_lt(guard_arm(guard, rules, NULL), 0);
		ruleset_free(rules);
	}
	guard_free(guard);
	free(before);
	free(after);
}
END_TEST

/* nft lists what was printed, and the guard finds what it loaded; with each means that this kernel has. */
START_TEST(test_rules_are_as_printed)
{
	struct ruleset_observation observation = observation_of(true);
	if (_i < (int)observation.output || _i == RULESET_BY_COUNTERS)
		return;
	observation.output = _i;
	struct scene scene = {0};
	/* In a table of the inet family the kernel does not load it by itself. */
	if (_i == RULESET_BY_XT_QUEUE)
		shell_status("modprobe -q xt_NFQUEUE");
	netns_fresh();
	shell("ip link add out type veth peer name docker");
	scene_arm(&scene, &observation);
	char *listed = nft_list(), *printed = rules_text(scene.rules);
	assert_same_text(listed, printed);
	struct err err = {""};
	ck_assert_msg(guard_verify(scene.guard, scene.rules, &err) == 0, "%s", err.text);
	free(listed);
	free(printed);
	ruleset_free(scene.rules);
	guard_free(scene.guard);
}
END_TEST

/* A thousand connections a second that the divert does not see: all are refused, shown, and named. */
START_TEST(test_untracked_connects)
{
	static const struct connects connects[] = {
		{STRANGER4, 3000, 1000, ECONNREFUSED, 0}, {STRANGER6, 1000, 1000, ECONNREFUSED, 0}};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	for (size_t i = 0; i < sizeof(connects) / sizeof(connects[0]); i++) {
		struct sightings seen = {.scene = &scene};
		uint64_t start = now_ms();
		seen.sender = sender_start(act_connect, &connects[i], 0);
		watch(&seen, connects[i].count);
		uint64_t lasted = now_ms() - start;
		sender_end(seen.sender);
		ck_assert_uint_eq(seen.events, connects[i].count);
		ck_assert_uint_eq(escape_lost(scene.escape), 0);
		printf("%u connects in %llu ms, %u named\n", seen.events, (unsigned long long)lasted,
			seen.named);
		ck_assert_int_eq(seen.last.path, ESCAPE_OUTPUT);
		ck_assert_uint_eq(seen.last.uid, SENDER_UID);
		ck_assert_uint_eq(seen.last.gid, SENDER_UID);
		ck_assert_str_eq(seen.last.out_device, "out");
		assert_ends(&seen.last, i == 0 ? HOST4 : HOST6, connects[i].address);
		if (seen.last.waits)
			assert_named(&seen);
	}
	scene_end(&scene);
}
END_TEST

/* Logged instead of queued: every one is shown with its user; its process is there or gone. */
START_TEST(test_untracked_connects_logged)
{
	static const struct connects connects = {STRANGER4, 1000, 1000, ECONNREFUSED, 0};
	struct ruleset_observation observation = observation_of(false);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	struct sightings seen = {.scene = &scene};
	seen.sender = sender_start(act_connect, &connects, 0);
	watch(&seen, connects.count);
	sender_end(seen.sender);
	ck_assert_uint_eq(seen.events, connects.count);
	ck_assert_uint_eq(escape_lost(scene.escape), 0);
	ck_assert_uint_eq(seen.last.uid, SENDER_UID);
	ck_assert(!seen.last.waits);
	scene_end(&scene);
}
END_TEST

static uint64_t rejected(struct scene *scene)
{
	struct guard_counts counts;
	struct err err = {""};
	ck_assert_msg(guard_counts(scene->guard, RULESET_OWNED, &counts, &err) == 0, "%s", err.text);
	return counts.counters[RULESET_REJECTED_OUTPUT].packets;
}

static const struct connects few = {STRANGER4, 20, 1000, ECONNREFUSED, 0};

static void assert_few_refused(struct scene *scene)
{
	uint64_t before = rejected(scene);
	sender_end(sender_start(act_connect, &few, 0));
	ck_assert_uint_eq(rejected(scene), before + few.count);
}

START_TEST(test_nobody_listens)
{
	struct ruleset_observation observation = observation_of(true);
	struct scene scene = {0};
	netns_fresh();
	internet_make(&scene.world);
	scene.arrived = internet_arrived(&scene.world);
	scene_arm(&scene, &observation);
	shell(NOTRACK("output"));
	assert_few_refused(&scene);
	scene_end(&scene);
}
END_TEST

/* It ends with packets that wait for its word. */
START_TEST(test_listener_is_killed)
{
	static const struct connects connects = {.address = STRANGER4, .count = 500};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene = {0};
	netns_fresh();
	internet_make(&scene.world);
	scene.arrived = internet_arrived(&scene.world);
	scene_arm(&scene, &observation);
	shell(NOTRACK("output"));
	int ready[2];
	ck_assert_int_eq(pipe(ready), 0);
	pid_t listener = suite_fork();
	if (listener == 0) {
		alarm(120 * test_slowness());
		scene_listen(&scene, &observation);
		must(write(ready[1], "", 1) == 1, "%s", strerror(errno));
		pause();
	}
	char byte;
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	pid_t sender = sender_start(act_try, &connects, 0);
	char *waiting = NULL;
	for (int i = 0; i < 100 && !waiting; i++) {
		usleep(20 * 1000 * test_slowness());
		waiting = shell_output(
			"awk '$1 == 2525 && $3 == 500 { print }' /proc/net/netfilter/nfnetlink_queue");
		if (observation.output == RULESET_BY_LOG || *waiting)
			break;
		free(waiting);
		waiting = NULL;
	}
	ck_assert_msg(waiting != NULL, "the packets do not wait for the listener");
	free(waiting);
	sender_kill(listener);
	ck_assert_uint_eq(internet_arrived(&scene.world), scene.arrived);
	sender_kill(sender);
	assert_few_refused(&scene);
	scene_end(&scene);
}
END_TEST

/* It does not keep up: what finds no room is lost to its eyes, and stopped like the rest. */
START_TEST(test_overflow)
{
	const struct syns syns = {40000 / test_slowness(), 0, false};
	struct ruleset_observation observation = observation_of(true);
	struct scene scene;
	scene_make(&scene, &observation);
	shell(NOTRACK("output"));
	for (int i = 0; i < 3; i++)
		sender_end(sender_start(act_raw, &syns, 0));
	ck_assert_uint_eq(internet_arrived(&scene.world), scene.arrived);
	struct sightings seen = {.scene = &scene};
	watch_what_came(&seen);
	if (seen.last.waits) {
		ck_assert_uint_eq(seen.events, 1024);
		ck_assert_uint_gt(escape_lost(scene.escape), 0);
		ck_assert_uint_eq(rejected(&scene) + escape_lost(scene.escape), 3 * syns.count);
	} else {
		ck_assert_uint_eq(rejected(&scene), 3 * syns.count);
	}
	escape_free(scene.escape);
	scene.escape = NULL;
	assert_few_refused(&scene);
	scene_end(&scene);
}
END_TEST

/* Another program listens under the number. */
START_TEST(test_number_is_taken)
{
	struct ruleset_observation observation = observation_of(true);
	netns_fresh();
	struct err err = {""};
	struct escape *first = escape_new(&observation, &err);
	ck_assert_msg(first != NULL, "%s", err.text);
	ck_assert_ptr_null(escape_new(&observation, &err));
	ck_assert_msg(strstr(err.text, "another program"), "%s", err.text);
	escape_free(first);
	first = escape_new(&observation, &err);
	ck_assert_msg(first != NULL, "%s", err.text);
	escape_free(first);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("escape");
	TCase *cases = tcase_create("escape");
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, test_probe_changes_nothing);
	tcase_add_loop_test(cases, test_rules_are_as_printed, 0, RULESET_MEANS);
	tcase_add_test(cases, test_untracked_connects);
	tcase_add_test(cases, test_untracked_connects_logged);
	tcase_add_test(cases, test_nobody_listens);
	tcase_add_test(cases, test_listener_is_killed);
	tcase_add_test(cases, test_overflow);
	tcase_add_test(cases, test_number_is_taken);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
