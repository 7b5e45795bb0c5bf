#include "limit.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "draw.h"
#include "failmalloc.h"
#include "suite.h"

#define HOUR_MS UINT64_C(3600000)

static uint64_t key_of(uint64_t sender)
{
	return draw_number(11, sender);
}

/* A table, and one sender with one connection in it. */
static struct limit_table *table;
static struct limit_entry *entry;

static void setup(void)
{
	uint32_t connections;
	table = limit_table_new(1024);
	ck_assert_ptr_nonnull(table);
	entry = limit_connect(table, key_of(1), 0, &connections);
	ck_assert_ptr_nonnull(entry);
	ck_assert_uint_eq(connections, 1);
}

static void teardown(void)
{
	limit_table_free(table);
}

START_TEST(connections_are_counted)
{
	uint32_t connections;
	ck_assert_ptr_eq(limit_connect(table, key_of(1), 5, &connections), entry);
	ck_assert_uint_eq(connections, 2);
	ck_assert_uint_eq(limit_connections(entry), 2);
	struct limit_entry *other = limit_connect(table, key_of(2), 5, &connections);
	ck_assert_ptr_ne(other, entry);
	ck_assert_uint_eq(connections, 1);
	limit_disconnect(entry, 6);
	limit_disconnect(other, 6);
	ck_assert_uint_eq(limit_connections(entry), 1);
	ck_assert_uint_eq(limit_connections(other), 0);
	ck_assert_ptr_eq(limit_find(table, key_of(1)), entry);
	ck_assert_ptr_eq(limit_find(table, key_of(2)), other);
	ck_assert_ptr_null(limit_find(table, key_of(3)));
}
END_TEST

/* Whatever the key, also where its upper or lower bits are all 0 or all 1. */
START_TEST(any_key_has_an_entry)
{
	static const uint64_t keys[] = {
		0, 1, 0xffffff, 0x1000000, 0xffffffffff000000, UINT64_MAX, UINT64_C(1) << 63};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint32_t connections;
		struct limit_entry *own = limit_connect(table, keys[i], 0, &connections);
		ck_assert_ptr_nonnull(own);
		ck_assert_uint_eq(connections, 1);
		ck_assert_ptr_eq(limit_connect(table, keys[i], 0, &connections), own);
		ck_assert_uint_eq(connections, 2);
		limit_disconnect(own, 0);
		limit_disconnect(own, 0);
		ck_assert_uint_eq(limit_connections(own), 0);
	}
}
END_TEST

/* Rates whose period divides evenly, and those that leave a rest; a burst is the count, not one more. */
static const struct rate rates[] = {
	{1, 1},
	{1, 3600},
	{2, 1},
	{3, 1},
	{7, 60},
	{100, 60},
	{1000, 1},
	{10000, 3600},
	{70000, 1},
	{999983, 60},
	{1000000, 1},
	{500, 86400},
};

/* How many events come through at once; no more than one too many are tried. */
static uint32_t burst(enum limit_rate which, struct rate rate, uint64_t now_ms)
{
	uint32_t taken = 0;
	while (taken <= rate.count && limit_take(entry, which, rate, now_ms))
		taken++;
	return taken;
}

START_TEST(a_burst_is_the_count)
{
	const struct rate rate = rates[_i];
	const uint64_t now_ms = 123456789, period_ms = rate.period_s * UINT64_C(1000);
	ck_assert_uint_eq(burst(LIMIT_MESSAGE_RATE, rate, now_ms), rate.count);
	/* A refusal counts nothing: one refill lets one through. */
	for (int i = 0; i < 10; i++)
		ck_assert(!limit_take(entry, LIMIT_MESSAGE_RATE, rate, now_ms));
	uint64_t refill_ms = (period_ms + rate.count - 1) / rate.count;
	ck_assert(limit_take(entry, LIMIT_MESSAGE_RATE, rate, now_ms + refill_ms));
	/* And a whole period lets the whole count through again. */
	uint64_t later_ms = now_ms + refill_ms + period_ms;
	ck_assert_uint_eq(burst(LIMIT_MESSAGE_RATE, rate, later_ms), rate.count);
	/* The other rate is another matter. */
	ck_assert_uint_eq(burst(LIMIT_CONNECTION_RATE, rate, now_ms), rate.count);
}
END_TEST

/*
 * A sender that never has more than the count in any window of a period, in whatever pattern: it looks at
 * when it sent the count-th last one, and sends bursts and single ones at random. Where an event is worth
 * 20 ms or more, clocks that were read up to 10 ms before it do no harm.
 */
START_TEST(who_keeps_the_limit_is_never_refused)
{
	enum {
		SENT = 20000
	};
	static uint64_t times[SENT];
	const struct rate rate = rates[_i];
	if (rate.count >= SENT)
		return;
	const uint64_t period_ms = rate.period_s * UINT64_C(1000);
	const uint64_t apart_ms = period_ms / rate.count >= 20 ? 10 : 0;
	uint64_t now_ms = 1000;
	unsigned refused = 0, waited = 0;
	for (size_t i = 0; i < SENT; i++) {
		uint64_t draw = draw_number(21, i);
		if (draw_hits(draw, 100000))
			now_ms += draw_below(draw_number(22, i), 2 * period_ms / rate.count + 2);
		if (draw_hits(draw_number(23, i), 100000 / rate.count))
			now_ms += draw_below(draw_number(24, i), 2 * period_ms);
		if (i >= rate.count && now_ms < times[i - rate.count] + period_ms) {
			now_ms = times[i - rate.count] + period_ms;
			waited++;
		}
		times[i] = now_ms;
		uint64_t read_ms = now_ms - draw_below(draw_number(25, i), apart_ms + 1);
		refused += !limit_take(entry, LIMIT_MESSAGE_RATE, rate, read_ms);
	}
	ck_assert_uint_gt(waited, 0);
	ck_assert_uint_eq(refused, 0);
}
END_TEST

/* At twice the rate for a hundred periods, the rate is what gets through, and a burst at the start. */
START_TEST(who_ignores_the_limit_gets_the_rate)
{
	const struct rate rate = {100, 60};
	unsigned taken = 0;
	for (uint64_t now_ms = 0; now_ms < 100 * 60000; now_ms += 300)
		taken += limit_take(entry, LIMIT_MESSAGE_RATE, rate, now_ms);
	ck_assert_uint_ge(taken, 100 * 100 + 98);
	ck_assert_uint_le(taken, 100 * 100 + 100);
}
END_TEST

START_TEST(no_rate_is_no_limit)
{
	static const struct rate none[] = {{0, 60}, {0, 0}, {5, 0}};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		for (int event = 0; event < 1000; event++)
			ck_assert(limit_take(entry, LIMIT_CONNECTION_RATE, none[i], 7));
	/* The largest numbers that a rate can hold. */
	const struct rate large = {UINT32_MAX, UINT32_MAX};
	ck_assert(limit_take(entry, LIMIT_CONNECTION_RATE, large, 7));
	const struct rate rare = {1, UINT32_MAX};
	ck_assert(limit_take(entry, LIMIT_MESSAGE_RATE, rare, 7));
	ck_assert(!limit_take(entry, LIMIT_MESSAGE_RATE, rare, 7 + UINT32_MAX * UINT64_C(999)));
	ck_assert(limit_take(entry, LIMIT_MESSAGE_RATE, rare, 7 + UINT32_MAX * UINT64_C(1000)));
}
END_TEST

/* A worker whose clock is read a little earlier than another's. */
START_TEST(an_older_time_does_no_harm)
{
	const struct rate rate = {2, 1};
	ck_assert(limit_take(entry, LIMIT_MESSAGE_RATE, rate, 5000));
	ck_assert(limit_take(entry, LIMIT_MESSAGE_RATE, rate, 4990));
	ck_assert(!limit_take(entry, LIMIT_MESSAGE_RATE, rate, 4990));
	ck_assert_uint_eq(limit_violate(entry, 1000, 5000), 1);
	ck_assert_uint_eq(limit_violate(entry, 1000, 4990), 2);
	ck_assert_uint_eq(limit_violations(entry, 1000, 4000), 2);
}
END_TEST

START_TEST(violations_fall_evenly)
{
	const uint64_t recover_ms = 600000;
	for (uint32_t i = 1; i <= 10; i++)
		ck_assert_uint_eq(limit_violate(entry, recover_ms, 1000), i);
	for (uint64_t tenth = 0; tenth <= 10; tenth++)
		ck_assert_uint_eq(
			limit_violations(entry, recover_ms, 1000 + tenth * recover_ms / 10), 10 - tenth);
	ck_assert_uint_eq(limit_violations(entry, recover_ms, 1000 + 2 * recover_ms), 0);
	/* One stays one until it is wholly forgotten. */
	uint64_t later_ms = 1000 + 2 * recover_ms;
	ck_assert_uint_eq(limit_violate(entry, recover_ms, later_ms), 1);
	ck_assert_uint_eq(limit_violations(entry, recover_ms, later_ms + recover_ms - 3000), 1);
	ck_assert_uint_eq(limit_violations(entry, recover_ms, later_ms + recover_ms), 0);
	/* 0 is an hour. */
	ck_assert_uint_eq(limit_violate(entry, 0, 10 * HOUR_MS), 1);
	ck_assert_uint_eq(limit_violations(entry, 0, 11 * HOUR_MS - 15000), 1);
	ck_assert_uint_eq(limit_violations(entry, 0, 11 * HOUR_MS), 0);
}
END_TEST

/* Violations that come evenly: those of the last recover_ms; at any pace, up to the most that is counted. */
START_TEST(even_violations_are_those_of_the_last_while)
{
	static const uint64_t paces_ms[] = {600000, 60000, 6000, 600, 100};
	uint64_t now_ms = 0;
	for (size_t i = 0; i < sizeof(paces_ms) / sizeof(paces_ms[0]); i++) {
		uint32_t count = 0;
		for (uint64_t sent = 0; sent < 12 * HOUR_MS / paces_ms[i]; sent++)
			count = limit_violate(entry, HOUR_MS, now_ms += paces_ms[i]);
		double want = (double)HOUR_MS / (double)paces_ms[i];
		ck_assert_double_eq_tol(count, want, 1 + want / 200);
		now_ms += 2 * HOUR_MS;
	}
	/* It stops at what it can hold and does not begin anew. */
	uint32_t count = 0;
	for (int i = 0; i < 70000; i++)
		count = limit_violate(entry, HOUR_MS, now_ms);
	ck_assert_uint_ge(count, 65535);
	ck_assert_uint_le(count, 65536);
}
END_TEST

START_TEST(reset_forgets_all_but_connections)
{
	const struct rate rate = {1, 3600};
	ck_assert(limit_take(entry, LIMIT_MESSAGE_RATE, rate, 10));
	ck_assert(limit_take(entry, LIMIT_CONNECTION_RATE, rate, 10));
	ck_assert_uint_eq(limit_violate(entry, 1000, 10), 1);
	limit_table_reset(table);
	ck_assert_uint_eq(limit_connections(entry), 1);
	ck_assert_uint_eq(burst(LIMIT_MESSAGE_RATE, rate, 10), 1);
	ck_assert_uint_eq(burst(LIMIT_CONNECTION_RATE, rate, 10), 1);
	ck_assert_uint_eq(limit_violations(entry, 1000, 10), 0);
	ck_assert_ptr_eq(limit_find(table, key_of(1)), entry);
}
END_TEST

START_TEST(without_an_entry_nothing_is_limited)
{
	const struct rate rate = {1, 3600};
	for (int i = 0; i < 5; i++)
		ck_assert(limit_take(NULL, LIMIT_MESSAGE_RATE, rate, 0));
	ck_assert_uint_eq(limit_violate(NULL, 1000, 0), 0);
	ck_assert_uint_eq(limit_violations(NULL, 1000, 0), 0);
	ck_assert_uint_eq(limit_connections(NULL), 0);
	limit_disconnect(NULL, 0);
}
END_TEST

/* Sixteen entries are one window: what more there is finds no room, until an entry is quiet. */
START_TEST(a_full_table_limits_nobody_new)
{
	struct limit_table *small = limit_table_new(1);
	struct limit_entry *held[16];
	uint32_t connections;
	for (uint64_t i = 0; i < 16; i++) {
		held[i] = limit_connect(small, key_of(i), 0, &connections);
		ck_assert_ptr_nonnull(held[i]);
		for (uint64_t j = 0; j < i; j++)
			ck_assert_ptr_ne(held[i], held[j]);
	}
	/* Held, however long. */
	ck_assert_ptr_null(limit_connect(small, key_of(100), 50 * HOUR_MS, &connections));
	ck_assert_uint_eq(connections, 1);
	ck_assert_uint_eq(limit_table_overflows(small), 1);
	ck_assert_ptr_null(limit_find(small, key_of(100)));

	limit_disconnect(held[7], 50 * HOUR_MS);
	ck_assert_ptr_null(limit_connect(small, key_of(100), 51 * HOUR_MS - 1, &connections));
	ck_assert_uint_eq(limit_table_overflows(small), 2);
	/* Its own sender has it all the time. */
	ck_assert_ptr_eq(limit_connect(small, key_of(7), 51 * HOUR_MS - 1, &connections), held[7]);
	limit_disconnect(held[7], 51 * HOUR_MS - 1);

	ck_assert_ptr_eq(limit_connect(small, key_of(100), 52 * HOUR_MS - 1, &connections), held[7]);
	ck_assert_uint_eq(connections, 1);
	ck_assert_ptr_eq(limit_find(small, key_of(100)), held[7]);
	ck_assert_ptr_null(limit_find(small, key_of(7)));
	ck_assert_ptr_null(limit_connect(small, key_of(7), 60 * HOUR_MS, &connections));
	limit_table_reset(small);
	ck_assert_uint_eq(limit_table_overflows(small), 0);
	limit_table_free(small);
}
END_TEST

/* An entry is kept as long as it says more than a new one, and says nothing of the old sender then. */
START_TEST(what_is_used_up_is_kept)
{
	const struct rate daily = {500, 86400};
	struct limit_table *small = limit_table_new(1);
	struct limit_entry *held[16];
	uint32_t connections;
	for (uint64_t i = 0; i < 16; i++)
		held[i] = limit_connect(small, key_of(i), 0, &connections);
	for (uint32_t i = 0; i < daily.count; i++)
		ck_assert(limit_take(held[3], LIMIT_MESSAGE_RATE, daily, 0));
	limit_disconnect(held[3], 0);
	ck_assert_uint_eq(limit_violate(held[4], 5 * HOUR_MS, 0), 1);
	limit_disconnect(held[4], 0);

	ck_assert_ptr_null(limit_connect(small, key_of(100), 5 * HOUR_MS - 1, &connections));
	ck_assert_ptr_eq(limit_connect(small, key_of(100), 5 * HOUR_MS, &connections), held[4]);
	ck_assert_uint_eq(limit_violations(held[4], 50 * HOUR_MS, 5 * HOUR_MS), 0);
	ck_assert_ptr_null(limit_connect(small, key_of(101), 24 * HOUR_MS, &connections));
	ck_assert_ptr_eq(limit_connect(small, key_of(101), 24 * HOUR_MS + 1, &connections), held[3]);
	struct limit_entry *own = entry;
	entry = held[3];
	ck_assert_uint_eq(burst(LIMIT_MESSAGE_RATE, daily, 0), daily.count);
	entry = own;
	limit_table_free(small);
}
END_TEST

/* As many senders as it was made for, all at once, have an entry each. */
START_TEST(a_table_is_as_large_as_it_says)
{
	enum {
		SENDERS = 65536
	};
	struct limit_entry **held = calloc(SENDERS, sizeof(struct limit_entry *));
	struct limit_table *large = limit_table_new(SENDERS);
	unsigned lost = 0, shared = 0;
	for (uint64_t i = 0; i < SENDERS; i++) {
		uint32_t connections;
		held[i] = limit_connect(large, key_of(i), 0, &connections);
		shared += connections != 1;
	}
	for (uint64_t i = 0; i < SENDERS; i++)
		lost += limit_find(large, key_of(i)) != held[i];
	ck_assert_uint_eq(shared, 0);
	ck_assert_uint_eq(lost, 0);
	/* At the very end a window of sixteen is full here and there. */
	ck_assert_uint_le(limit_table_overflows(large), SENDERS / 1000);
	limit_table_free(large);
	free(held);
}
END_TEST

START_TEST(out_of_memory_is_told)
{
	limit_table_free(NULL);
#ifdef FAILMALLOC
	ck_assert_ptr_null(limit_table_new(SIZE_MAX));
	ck_assert_ptr_null(limit_table_new(SIZE_MAX / 64));
	failmalloc_at(1);
	ck_assert_ptr_null(limit_table_new(64));
	failmalloc_at(0);
#endif
}
END_TEST

int main(void)
{
	const int count = sizeof(rates) / sizeof(rates[0]);
	Suite *suite = suite_create("limit");
	TCase *tcase = tcase_create("limit");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, connections_are_counted);
	tcase_add_test(tcase, any_key_has_an_entry);
	tcase_add_loop_test(tcase, a_burst_is_the_count, 0, count);
	tcase_add_loop_test(tcase, who_keeps_the_limit_is_never_refused, 0, count);
	tcase_add_test(tcase, who_ignores_the_limit_gets_the_rate);
	tcase_add_test(tcase, no_rate_is_no_limit);
	tcase_add_test(tcase, an_older_time_does_no_harm);
	tcase_add_test(tcase, violations_fall_evenly);
	tcase_add_test(tcase, even_violations_are_those_of_the_last_while);
	tcase_add_test(tcase, reset_forgets_all_but_connections);
	tcase_add_test(tcase, without_an_entry_nothing_is_limited);
	tcase_add_test(tcase, a_full_table_limits_nobody_new);
	tcase_add_test(tcase, what_is_used_up_is_kept);
	tcase_add_test(tcase, a_table_is_as_large_as_it_says);
	tcase_add_test(tcase, out_of_memory_is_told);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
