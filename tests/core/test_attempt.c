#include "attempt.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "draw.h"
#include "failmalloc.h"
#include "suite.h"

static struct attempt_table *table;

static void setup(void)
{
	table = attempt_table_new(1000);
	ck_assert_ptr_nonnull(table);
}

static void teardown(void)
{
	attempt_table_free(table);
}

static uint64_t key_of(uint64_t recipient)
{
	return draw_number(31, recipient);
}

START_TEST(attempts_count_up)
{
	for (uint32_t attempt = 0; attempt < 5; attempt++)
		for (uint64_t recipient = 0; recipient < 1000; recipient++)
			ck_assert_uint_eq(attempt_next(table, key_of(recipient)), attempt);
	ck_assert_uint_eq(attempt_table_overflows(table), 0);
}
END_TEST

START_TEST(any_key_is_counted)
{
	static const uint64_t keys[] = {0, 2, 63, 64, UINT64_MAX, UINT64_C(1) << 63};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		ck_assert_uint_eq(attempt_next(table, keys[i]), 0);
		ck_assert_uint_eq(attempt_next(table, keys[i]), 1);
		ck_assert_uint_eq(attempt_first_seen(table, keys[i], 7 + i), 7 + i);
		ck_assert_uint_eq(attempt_first_seen(table, keys[i], 1000), 7 + i);
	}
}
END_TEST

START_TEST(first_seen_stays)
{
	ck_assert_uint_eq(attempt_first_seen(table, key_of(1), 0), 0);
	ck_assert_uint_eq(attempt_first_seen(table, key_of(1), 300), 0);
	ck_assert_uint_eq(attempt_first_seen(table, key_of(2), 300), 300);
	ck_assert_uint_eq(attempt_first_seen(table, key_of(2), 299), 300);
	/* How often and since when are apart. */
	ck_assert_uint_eq(attempt_next(table, key_of(2)), 0);
	ck_assert_uint_eq(attempt_first_seen(table, key_of(2), 400), 300);
}
END_TEST

START_TEST(reset_begins_anew)
{
	for (uint64_t i = 0; i < 100; i++) {
		attempt_next(table, key_of(i));
		attempt_first_seen(table, key_of(i), 5);
	}
	attempt_table_reset(table);
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_uint_eq(attempt_next(table, key_of(i)), 0);
		ck_assert_uint_eq(attempt_first_seen(table, key_of(i), 6), 6);
	}
}
END_TEST

/* Ten times more keys than slots: those that have one keep it, the others get numbers that nobody had. */
START_TEST(a_full_table_repeats_nothing)
{
	enum {
		KEYS = 2560
	};
	struct attempt_table *small = attempt_table_new(1);
	unsigned counted = 0, overflowed = 0, repeated = 0, lost = 0;
	uint32_t last = 0;
	for (uint64_t round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < KEYS; i++) {
			uint32_t attempt = attempt_next(small, key_of(i));
			if (attempt < UINT32_C(0x80000000)) {
				lost += attempt != round;
				counted++;
				continue;
			}
			repeated += overflowed > 0 && attempt <= last;
			last = attempt;
			overflowed++;
		}
	}
	ck_assert_uint_eq(lost, 0);
	ck_assert_uint_eq(repeated, 0);
	ck_assert_uint_eq(counted, 2 * 64);
	ck_assert_uint_eq(attempt_table_overflows(small), overflowed);
	/* Nobody is put off for ever, and those that have room are timed. */
	unsigned timed = 0;
	for (uint64_t i = 0; i < KEYS; i++) {
		uint64_t first = attempt_first_seen(small, key_of(i), 5000);
		timed += first == 5000;
		ck_assert(first == 5000 || first == 0);
	}
	ck_assert_uint_eq(timed, 64);
	attempt_table_reset(small);
	ck_assert_uint_eq(attempt_table_overflows(small), 0);
	ck_assert_uint_eq(attempt_next(small, key_of(KEYS)), 0);
	attempt_table_free(small);
}
END_TEST

START_TEST(a_table_is_as_large_as_it_says)
{
	enum {
		KEYS = 262144
	};
	struct attempt_table *large = attempt_table_new(KEYS);
	unsigned wrong = 0;
	for (uint32_t round = 0; round < 2; round++)
		for (uint64_t i = 0; i < KEYS; i++)
			wrong += attempt_next(large, key_of(i)) != round;
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(attempt_table_overflows(large), 0);
	attempt_table_free(large);
}
END_TEST

/* In kB; of memory that processes share. */
static long resident(void)
{
	char line[128];
	long kib = -1;
	FILE *from = fopen("/proc/self/status", "re");
	ck_assert_ptr_nonnull(from);
	while (fgets(line, sizeof(line), from))
		if (sscanf(line, "RssShmem: %ld", &kib) == 1)
			break;
	fclose(from);
	ck_assert_int_ge(kib, 0);
	return kib;
}

/* To look at what was never used would take all the memory that the table may ever need. */
START_TEST(a_reset_takes_no_memory_and_gives_back_what_was_used)
{
	struct attempt_table *large = attempt_table_new(1 << 20);
	long before = resident();
	ck_assert_int_eq(attempt_table_reset(large), 0);
	ck_assert_int_lt(resident() - before, 1024);
	for (uint64_t i = 0; i < 1 << 16; i++)
		attempt_next(large, key_of(i));
	ck_assert_int_gt(resident() - before, 16384);
	ck_assert_int_eq(attempt_table_reset(large), 0);
	ck_assert_int_lt(resident() - before, 1024);
	unsigned wrong = 0;
	for (uint64_t i = 0; i < 1 << 16; i++)
		wrong += attempt_next(large, key_of(i)) != 0;
	ck_assert_uint_eq(wrong, 0);
	attempt_table_free(large);
}
END_TEST

START_TEST(out_of_memory_is_told)
{
	attempt_table_free(NULL);
#ifdef FAILMALLOC
	ck_assert_ptr_null(attempt_table_new(SIZE_MAX));
	failmalloc_at(1);
	ck_assert_ptr_null(attempt_table_new(64));
	failmalloc_at(0);
#endif
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attempt");
	TCase *tcase = tcase_create("attempt");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, attempts_count_up);
	tcase_add_test(tcase, any_key_is_counted);
	tcase_add_test(tcase, first_seen_stays);
	tcase_add_test(tcase, reset_begins_anew);
	tcase_add_test(tcase, a_full_table_repeats_nothing);
	tcase_add_test(tcase, a_table_is_as_large_as_it_says);
	tcase_add_test(tcase, a_reset_takes_no_memory_and_gives_back_what_was_used);
	tcase_add_test(tcase, out_of_memory_is_told);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
