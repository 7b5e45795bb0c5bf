/* The tables that all workers share, under eight threads at once; for ThreadSanitizer, too. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "attempt.h"
#include "draw.h"
#include "limit.h"
#include "suite.h"

enum {
	THREADS = 8
};

#define HOUR_MS UINT64_C(3600000)

static struct limit_table *limits;
static struct attempt_table *attempts;
static pthread_barrier_t barrier;
/* What went wrong in a thread: Check's own assertions are for the main thread. */
static atomic_uint wrong;

static void note(bool is_wrong)
{
	if (is_wrong)
		atomic_fetch_add_explicit(&wrong, 1, memory_order_relaxed);
}

/* The number of a thread is its argument; the sum of what they return is returned. */
static uint64_t run_threads(void *(*work)(void *number))
{
	pthread_t threads[THREADS];
	uint64_t sum = 0;
	atomic_store(&wrong, 0);
	ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (int i = 0; i < THREADS; i++) {
		void *result;
		ck_assert_int_eq(pthread_join(threads[i], &result), 0);
		sum += (uintptr_t)result;
	}
	pthread_barrier_destroy(&barrier);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	return sum;
}

static uint64_t key_of(uint64_t sender)
{
	return draw_number(41, sender);
}

static void *connect_same(void *number)
{
	uint64_t most = 0;
	(void)number;
	for (int i = 0; i < 50000; i++) {
		uint32_t connections;
		struct limit_entry *entry = limit_connect(limits, key_of(1), 0, &connections);
		note(!entry || connections < 1 || connections > THREADS);
		most = connections > most ? connections : most;
		limit_disconnect(entry, 0);
	}
	return (void *)most;
}

START_TEST(no_connection_is_lost)
{
	limits = limit_table_new(64);
	run_threads(connect_same);
	const struct limit_entry *entry = limit_find(limits, key_of(1));
	ck_assert_ptr_nonnull((const void *)entry);
	ck_assert_uint_eq(limit_connections(entry), 0);
	ck_assert_uint_eq(limit_table_overflows(limits), 0);
	limit_table_free(limits);
}
END_TEST

/*
 * All threads bring the same new sender at once, round after round, and keep it until the last has it. If
 * a sender ever had two entries, two threads would be told the same number. A table of sixteen is full soon,
 * and all but the round's own entries are quiet then: so the later rounds take entries over.
 */
enum {
	ROUNDS = 4000
};
static atomic_uint told[ROUNDS][THREADS + 1];
static atomic_uint without_room;

static void *connect_new_together(void *number)
{
	(void)number;
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t now_ms = round * 2 * HOUR_MS;
		uint32_t connections;
		pthread_barrier_wait(&barrier);
		struct limit_entry *entry = limit_connect(limits, key_of(round), now_ms, &connections);
		if (entry)
			atomic_fetch_add(&told[round][connections], 1);
		else
			atomic_fetch_add(&without_room, 1);
		pthread_barrier_wait(&barrier);
		note(entry && limit_find(limits, key_of(round)) != entry);
		limit_disconnect(entry, now_ms);
	}
	return NULL;
}

START_TEST(a_sender_has_one_entry)
{
	static const size_t sizes[] = {1, 2 * ROUNDS};
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		limits = limit_table_new(sizes[s]);
		for (int round = 0; round < ROUNDS; round++)
			for (int i = 0; i <= THREADS; i++)
				atomic_store(&told[round][i], 0);
		atomic_store(&without_room, 0);
		run_threads(connect_new_together);
		unsigned gaps = 0, in_all = 0;
		for (int round = 0; round < ROUNDS; round++) {
			for (int i = 1; i <= THREADS; i++) {
				gaps += i > 1 && told[round][i] > told[round][i - 1];
				gaps += told[round][i] > 1;
				in_all += told[round][i];
			}
		}
		ck_assert_uint_eq(gaps, 0);
		ck_assert_uint_eq(in_all + without_room, ROUNDS * THREADS);
		ck_assert_uint_eq(limit_table_overflows(limits), without_room);
		/* Only who did not get his turn goes without, since somebody was stopped in it. */
		ck_assert_uint_le(without_room, s == 0 ? ROUNDS * THREADS / 2 : 0);
		limit_table_free(limits);
	}
}
END_TEST

/*
 * More senders than entries come and go, and time runs, so that entries change hands all the time. What a
 * thread holds stays its sender's, and its count is never below what the thread itself holds.
 */
static _Atomic uint64_t clock_ms;

static void *come_and_go(void *number)
{
	struct limit_entry *held[4] = {NULL};
	uint64_t keys[4] = {0};
	uint64_t joined = 0;
	for (uint64_t i = 0; i < 100000; i++) {
		uint64_t draw = draw_number((uintptr_t)number + 100, i);
		uint64_t now_ms = atomic_fetch_add_explicit(&clock_ms, HOUR_MS / 64, memory_order_relaxed);
		unsigned at = (unsigned)(i % 4);
		if (held[at]) {
			note(limit_find(limits, keys[at]) != held[at]);
			note(limit_connections(held[at]) < 1);
			limit_disconnect(held[at], now_ms);
		}
		keys[at] = key_of(draw_below(draw, 100));
		uint32_t connections;
		held[at] = limit_connect(limits, keys[at], now_ms, &connections);
		note(connections < 1 || connections > THREADS * 4);
		joined += held[at] != NULL;
		if (held[at])
			limit_violate(held[at], HOUR_MS / 2, now_ms);
	}
	for (unsigned at = 0; at < 4; at++)
		limit_disconnect(held[at], atomic_load(&clock_ms));
	return (void *)joined;
}

START_TEST(an_entry_in_use_is_nobody_elses)
{
	limits = limit_table_new(32);
	atomic_store(&clock_ms, 0);
	uint64_t joined = run_threads(come_and_go);
	/* Nearly all find room, 32 connections at the most in 64 entries, but while one is stopped in its turn. */
	ck_assert_uint_ge(joined, THREADS * UINT64_C(100000) / 4);
	ck_assert_uint_eq(joined + limit_table_overflows(limits), THREADS * UINT64_C(100000));
	unsigned left = 0, entries = 0;
	for (uint64_t sender = 0; sender < 100; sender++) {
		const struct limit_entry *entry = limit_find(limits, key_of(sender));
		left += limit_connections(entry);
		entries += entry != NULL;
	}
	ck_assert_uint_eq(left, 0);
	/* The table was too small for all of them, so they did change hands. */
	ck_assert_uint_gt(entries, 30);
	ck_assert_uint_le(entries, 64);
	limit_table_free(limits);
}
END_TEST

static const struct rate minutely = {100000, 60};

static void *take_and_violate(void *number)
{
	uint32_t connections;
	uint64_t taken = 0;
	(void)number;
	struct limit_entry *entry = limit_connect(limits, key_of(1), 1000, &connections);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 20000; i++) {
		taken += limit_take(entry, LIMIT_MESSAGE_RATE, minutely, 1000);
		note(limit_take(entry, LIMIT_CONNECTION_RATE, (struct rate){0, 0}, 1000) != true);
		if (i % 20 == 0)
			limit_violate(entry, HOUR_MS, 1000);
	}
	limit_disconnect(entry, 1000);
	return (void *)taken;
}

START_TEST(rates_and_violations_are_exact)
{
	limits = limit_table_new(64);
	/* 160,000 are wanted, the burst is there once for all. */
	ck_assert_uint_eq(run_threads(take_and_violate), minutely.count);
	uint32_t connections;
	struct limit_entry *entry = limit_connect(limits, key_of(1), 1000, &connections);
	ck_assert_uint_eq(connections, 1);
	ck_assert_uint_eq(limit_violations(entry, HOUR_MS, 1000), THREADS * 1000);
	ck_assert(!limit_take(entry, LIMIT_MESSAGE_RATE, minutely, 1000));
	limit_table_free(limits);
}
END_TEST

/* Each key's numbers are handed out once each; 500 keys fit, of 5000 most do not. */
enum {
	KEYS = 5000,
	TRIES = 5
};
static atomic_uint given[KEYS][THREADS * TRIES];
static uint64_t keys_in_use;

static void *try_often(void *number)
{
	uint64_t beyond = 0;
	for (int attempt = 0; attempt < TRIES; attempt++) {
		for (uint64_t i = 0; i < keys_in_use; i++) {
			uint64_t at = (i + (uintptr_t)number * 17) % keys_in_use;
			uint32_t next = attempt_next(attempts, key_of(at));
			beyond += next >= UINT32_C(0x80000000);
			if (next < THREADS * TRIES)
				atomic_fetch_add_explicit(&given[at][next], 1, memory_order_relaxed);
			else
				note(next < UINT32_C(0x80000000));
		}
	}
	return (void *)beyond;
}

START_TEST(attempts_are_handed_out_once)
{
	keys_in_use = _i;
	attempts = attempt_table_new(500);
	for (int key = 0; key < KEYS; key++)
		for (int i = 0; i < THREADS * TRIES; i++)
			atomic_store(&given[key][i], 0);
	uint64_t beyond = run_threads(try_often);
	unsigned whole = 0, none = 0;
	for (uint64_t key = 0; key < keys_in_use; key++) {
		unsigned sum = 0, repeated = 0;
		for (int i = 0; i < THREADS * TRIES; i++) {
			sum += given[key][i];
			repeated += given[key][i] > 1;
		}
		ck_assert_uint_eq(repeated, 0);
		whole += sum == THREADS * TRIES;
		none += sum == 0;
	}
	/* A key has a slot for all of its tries or for none. */
	ck_assert_uint_eq(whole + none, keys_in_use);
	ck_assert_uint_eq(beyond, none * (uint64_t)THREADS * TRIES);
	ck_assert_uint_eq(attempt_table_overflows(attempts), beyond);
	ck_assert_uint_ge(whole, 500);
	ck_assert_uint_le(whole, 1024);
	attempt_table_free(attempts);
}
END_TEST

static _Atomic uint64_t first[KEYS];

static void *see_first(void *number)
{
	for (uint64_t i = 0; i < KEYS; i++) {
		uint64_t seen = attempt_first_seen(attempts, key_of(i), 1000 + (uintptr_t)number), none = 0;
		note(seen < 1000 || seen >= 1000 + THREADS);
		if (!atomic_compare_exchange_strong(&first[i], &none, seen))
			note(none != seen);
	}
	return NULL;
}

START_TEST(all_see_the_same_first_time)
{
	attempts = attempt_table_new(KEYS);
	run_threads(see_first);
	attempt_table_free(attempts);
}
END_TEST

/* A reset in the midst of it leaves nothing counted wrong that is held. */
static void *connect_and_reset(void *number)
{
	for (int i = 0; i < 2000; i++) {
		if ((uintptr_t)number == 0) {
			limit_table_reset(limits);
			attempt_table_reset(attempts);
			continue;
		}
		uint32_t connections;
		uint64_t key = key_of((uint64_t)i % 50);
		struct limit_entry *entry = limit_connect(limits, key, 1000, &connections);
		note(!entry || connections > THREADS);
		limit_take(entry, LIMIT_MESSAGE_RATE, minutely, 1000);
		attempt_next(attempts, key);
		limit_disconnect(entry, 1000);
	}
	return NULL;
}

START_TEST(reset_takes_no_connection_away)
{
	limits = limit_table_new(256);
	attempts = attempt_table_new(256);
	run_threads(connect_and_reset);
	for (uint64_t i = 0; i < 50; i++)
		ck_assert_uint_eq(limit_connections(limit_find(limits, key_of(i))), 0);
	limit_table_free(limits);
	attempt_table_free(attempts);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("limit_threads");
	TCase *tcase = tcase_create("limit_threads");
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, no_connection_is_lost);
	tcase_add_test(tcase, a_sender_has_one_entry);
	tcase_add_test(tcase, an_entry_in_use_is_nobody_elses);
	tcase_add_test(tcase, rates_and_violations_are_exact);
	tcase_add_loop_test(tcase, attempts_are_handed_out_once, 500, 501);
	tcase_add_loop_test(tcase, attempts_are_handed_out_once, KEYS, KEYS + 1);
	tcase_add_test(tcase, all_see_the_same_first_time);
	tcase_add_test(tcase, reset_takes_no_connection_away);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
