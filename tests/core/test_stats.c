#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stats.h"
#include "suite.h"

static const struct stats_layout layout = {.blocks = 2, .rows = {100, 50, 20, 10}};

/* A region in memory that a forked child shares. */
static void *region_new(const struct stats_layout *of)
{
	void *memory = mmap(NULL, stats_size(of), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

static struct stats stats_new(void)
{
	struct stats stats;
	stats_format(&stats, region_new(&layout), &layout, 1000);
	return stats;
}

static void stats_drop(struct stats *stats)
{
	munmap(stats->memory, stats_size(&stats->layout));
}

START_TEST(sums_over_blocks)
{
	struct stats stats = stats_new();
	stats_add(stats_block(&stats, 0), STATS_MESSAGES_ACCEPTED, 3);
	stats_add(stats_block(&stats, 1), STATS_MESSAGES_ACCEPTED, 4);
	ck_assert_uint_eq(stats_sum(&stats, STATS_MESSAGES_ACCEPTED), 7);
	ck_assert_uint_eq(stats_sum(&stats, STATS_MESSAGES_TEMPFAIL), 0);
	stats_drop(&stats);
}
END_TEST

START_TEST(same_key_same_row_and_merged_over_blocks)
{
	struct stats stats = stats_new();
	for (uint32_t i = 0; i < 2; i++) {
		struct stats_block *block = stats_block(&stats, i);
		uint32_t row = stats_row(block, STATS_DOMAINS, span_of("gmail.com"));
		ck_assert_uint_ne(row, STATS_OTHER);
		ck_assert_uint_eq(stats_row(block, STATS_DOMAINS, span_of("gmail.com")), row);
		stats_row_add(block, STATS_DOMAINS, row, STATS_ROW_ACCEPTED, 5);
		uint32_t rare = stats_row(block, STATS_DOMAINS, span_of(i ? "b.example" : "a.example"));
		stats_row_add(block, STATS_DOMAINS, rare, STATS_ROW_TEMPFAIL, 1);
	}
	struct stats_row rows[16];
	ck_assert_uint_le(stats_rows_max(&stats, STATS_DOMAINS), 16);
	ck_assert_uint_eq(stats_rows(&stats, STATS_DOMAINS, rows, 16), 4);
	ck_assert_uint_eq(rows[0].key.len, 0);
	ck_assert(span_is(rows[1].key, "gmail.com"));
	ck_assert_uint_eq(rows[1].fields[STATS_ROW_ACCEPTED], 10);
	ck_assert(span_is(rows[2].key, "a.example"));
	ck_assert(span_is(rows[3].key, "b.example"));
	ck_assert_uint_eq(rows[3].fields[STATS_ROW_TEMPFAIL], 1);
	stats_drop(&stats);
}
END_TEST

/* A hundred times more keys than rows: those that found no room are in `other`, and nothing is lost. */
START_TEST(a_full_table_counts_in_other)
{
	struct stats stats = stats_new();
	struct stats_block *block = stats_block(&stats, 0);
	const unsigned keys = 10000;
	for (unsigned i = 0; i < keys; i++) {
		char key[40];
		snprintf(key, sizeof(key), "domain-%u.example", i);
		stats_row_add(block, STATS_DOMAINS, stats_row(block, STATS_DOMAINS, span_of(key)),
			STATS_ROW_ACCEPTED, 1);
	}
	size_t max = stats_rows_max(&stats, STATS_DOMAINS);
	struct stats_row *rows = calloc(max, sizeof(*rows));
	size_t count = stats_rows(&stats, STATS_DOMAINS, rows, max);
	uint64_t sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += rows[i].fields[STATS_ROW_ACCEPTED];
	ck_assert_uint_eq(count, layout.rows[STATS_DOMAINS] + 1);
	ck_assert_uint_eq(rows[0].fields[STATS_ROW_ACCEPTED], keys - layout.rows[STATS_DOMAINS]);
	ck_assert_uint_eq(sum, keys);
	free(rows);
	stats_drop(&stats);
}
END_TEST

START_TEST(long_and_empty_keys_go_to_other)
{
	struct stats stats = stats_new();
	struct stats_block *block = stats_block(&stats, 0);
	char key[STATS_KEY_MAX + 1];
	memset(key, 'a', sizeof(key));
	ck_assert_uint_eq(stats_row(block, STATS_DOMAINS, (struct span){key, sizeof(key)}), STATS_OTHER);
	ck_assert_uint_eq(stats_row(block, STATS_DOMAINS, (struct span){key, 0}), STATS_OTHER);
	ck_assert_uint_ne(stats_row(block, STATS_DOMAINS, (struct span){key, STATS_KEY_MAX}), STATS_OTHER);
	/* Addresses are bytes, and may hold any. */
	ck_assert_uint_ne(stats_row(block, STATS_SOURCES, (struct span){"\0\0\0\0", 4}), STATS_OTHER);
	stats_drop(&stats);
}
END_TEST

/* Ten times over: a writer killed at some instruction leaves a region that adds up and goes on. */
/* A writer makes rows while a reader makes room for those that it saw: the rest is for the next time. */
START_TEST(no_more_rows_than_there_is_room_for)
{
	struct stats stats = stats_new();
	struct stats_block *block = stats_block(&stats, 0);
	struct stats_row rows[8] = {0};
	static const char *const keys[] = {"a.example", "b.example", "c.example", "d.example"};
	for (int i = 0; i < 2; i++)
		stats_row_add(block, STATS_DOMAINS, stats_row(block, STATS_DOMAINS, span_of(keys[i])),
			STATS_ROW_ACCEPTED, 1);
	size_t max = stats_rows_max(&stats, STATS_DOMAINS);
	ck_assert_uint_le(max, 8);
	for (int i = 2; i < 4; i++)
		stats_row_add(block, STATS_DOMAINS, stats_row(block, STATS_DOMAINS, span_of(keys[i])),
			STATS_ROW_ACCEPTED, 1);
	ck_assert_uint_le(stats_rows(&stats, STATS_DOMAINS, rows, max), max);
	rows[3] = (struct stats_row){0};
	ck_assert_uint_eq(stats_rows(&stats, STATS_DOMAINS, rows, 3), 3);
	ck_assert_ptr_null(rows[3].key.data);
	stats_drop(&stats);
}
END_TEST

START_TEST(survives_the_death_of_its_writer)
{
	struct stats stats = stats_new();
	uint64_t before = 0;
	for (int round = 0; round < 10; round++) {
		int pipe_fds[2];
		ck_assert_int_eq(pipe(pipe_fds), 0);
		pid_t child = suite_fork();
		if (child == 0) {
			struct stats_block *block = stats_block(&stats, 0);
			for (unsigned i = 0;; i++) {
				char key[40];
				snprintf(key, sizeof(key), "d%u.example", i % 90);
				uint32_t row = stats_row(block, STATS_DOMAINS, span_of(key));
				stats_row_add(block, STATS_DOMAINS, row, STATS_ROW_ACCEPTED, 1);
				stats_add(block, STATS_RECIPIENTS_ACCEPTED, 1);
				if (i == 1000 && write(pipe_fds[1], "x", 1) != 1)
					_exit(1);
			}
		}
		char x;
		ck_assert_int_eq(read(pipe_fds[0], &x, 1), 1);
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		close(pipe_fds[0]);
		close(pipe_fds[1]);

		struct stats again;
		ck_assert(stats_attach(&again, stats.memory, stats_size(&layout)));
		ck_assert(stats_is_sound(&again));
		size_t max = stats_rows_max(&again, STATS_DOMAINS);
		struct stats_row *rows = calloc(max, sizeof(*rows));
		size_t count = stats_rows(&again, STATS_DOMAINS, rows, max);
		uint64_t sum = 0, total = stats_sum(&again, STATS_RECIPIENTS_ACCEPTED);
		for (size_t i = 0; i < count; i++)
			sum += rows[i].fields[STATS_ROW_ACCEPTED];
		free(rows);
		/* At most one count a death may stand in the row and not yet in the sum. */
		ck_assert_uint_ge(sum, total);
		ck_assert_uint_le(sum - total, (uint64_t)round + 1);
		ck_assert_uint_gt(total, before + 1000);
		ck_assert_uint_le(count, 91);
		before = total;
	}
	stats_drop(&stats);
}
END_TEST

START_TEST(attach_refuses_what_is_none)
{
	struct stats stats = stats_new(), again;
	size_t size = stats_size(&layout);
	ck_assert(stats_attach(&again, stats.memory, size));
	ck_assert_mem_eq(&again.layout, &layout, sizeof(layout));
	ck_assert_uint_eq(stats_since(&again), 1000);
	stats_begin_again(&stats, 2000);
	ck_assert_uint_eq(stats_since(&again), 2000);
	ck_assert(!stats_attach(&again, stats.memory, size - 4096));
	ck_assert(!stats_attach(&again, stats.memory, 10));
	/* Of a damaged file: sizes that no computing with them comes to an end. */
	struct stats_layout wild = {.blocks = 2, .rows = {0x7ffffffe, 50, 20}};
	struct stats damaged;
	stats_format(&damaged, region_new(&layout), &layout, 1000);
	memcpy((char *)damaged.memory + 12, &wild, sizeof(wild));
	ck_assert(!stats_attach(&again, damaged.memory, size));
	munmap(damaged.memory, size);
	memset(stats.memory, 0, 8);
	ck_assert(!stats_attach(&again, stats.memory, size));
	stats_drop(&stats);
}
END_TEST

/* Whatever word of a block is damaged: it is told, or it is a counter or a key's text and leads nowhere. */
START_TEST(a_damaged_block_is_not_sound_or_does_no_harm)
{
	struct stats stats = stats_new();
	size_t size = stats_size(&layout);
	for (int i = 0; i < 20; i++) {
		char key[32];
		int len = snprintf(key, sizeof(key), "d%d.example", i);
		stats_row(stats_block(&stats, 1), STATS_DOMAINS, (struct span){key, (size_t)len});
	}
	ck_assert(stats_is_sound(&stats));
	char *block = (char *)stats_block(&stats, 1), *end = (char *)stats.memory + size;
	unsigned told = 0;
	for (char *at = block; at + 4 <= end; at += 4) {
		const uint32_t wild = 0xfffffff0;
		uint32_t before;
		memcpy(&before, at, sizeof(before));
		memcpy(at, &wild, sizeof(wild));
		struct stats again;
		ck_assert(stats_attach(&again, stats.memory, size));
		if (stats_is_sound(&again)) {
			struct stats_row rows[256];
			stats_row(stats_block(&again, 1), STATS_DOMAINS, span_of("d7.example"));
			stats_row(stats_block(&again, 1), STATS_DOMAINS, span_of("d7.example"));
			ck_assert_uint_le(stats_rows(&again, STATS_DOMAINS, rows, 256), 256);
		} else {
			told++;
		}
		memcpy(at, &before, sizeof(before));
	}
	/* At the least each table's eight figures and each slot. */
	ck_assert_uint_gt(told, 4 * 8 + 4 * 16);
	memset(block, 0, 4096);
	ck_assert(!stats_is_sound(&stats));
	stats_drop(&stats);
}
END_TEST

START_TEST(a_new_writer_closes_what_the_old_one_had_open)
{
	struct stats stats = stats_new();
	struct stats_block *block = stats_block(&stats, 0);
	stats_add(block, STATS_CONNECTIONS, 10);
	stats_add(block, STATS_CONNECTIONS_CLOSED, 4);
	stats_block_begin(block);
	ck_assert_uint_eq(stats_sum(&stats, STATS_CONNECTIONS_CLOSED), 10);
	stats_drop(&stats);
}
END_TEST

START_TEST(a_reset_keeps_open_connections_and_rows)
{
	struct stats stats = stats_new();
	struct stats_block *block = stats_block(&stats, 0);
	stats_add(block, STATS_CONNECTIONS, 10);
	stats_add(block, STATS_CONNECTIONS_CLOSED, 4);
	stats_add(block, STATS_MESSAGES_ACCEPTED, 9);
	uint32_t row = stats_row(block, STATS_DOMAINS, span_of("gmail.com"));
	stats_row_add(block, STATS_DOMAINS, row, STATS_ROW_ACCEPTED, 9);
	struct stats_kernel kernel = {0};
	kernel.packets[RULESET_DIVERTED] = 40;
	stats_kernel_write(&stats, &kernel);
	stats_block_reset(block);
	stats_kernel_reset(&stats);
	struct stats_row rows[4];
	ck_assert_uint_eq(stats_sum(&stats, STATS_CONNECTIONS), 6);
	ck_assert_uint_eq(stats_sum(&stats, STATS_CONNECTIONS_CLOSED), 0);
	ck_assert_uint_eq(stats_sum(&stats, STATS_MESSAGES_ACCEPTED), 0);
	ck_assert_uint_eq(stats_rows(&stats, STATS_DOMAINS, rows, 4), 1);
	stats_kernel_read(&stats, &kernel);
	ck_assert_uint_eq(kernel.packets[RULESET_DIVERTED], 0);
	kernel.packets[RULESET_DIVERTED] = 43;
	stats_kernel_write(&stats, &kernel);
	stats_kernel_read(&stats, &kernel);
	ck_assert_uint_eq(kernel.packets[RULESET_DIVERTED], 3);
	stats_row_add(block, STATS_DOMAINS, row, STATS_ROW_ACCEPTED, 1);
	ck_assert_uint_eq(stats_rows(&stats, STATS_DOMAINS, rows, 4), 2);
	stats_drop(&stats);
}
END_TEST

START_TEST(kernel_counts_go_on_over_a_new_table)
{
	struct stats stats = stats_new();
	struct stats_kernel kernel = {.armed = true, .repairs = 2}, read;
	kernel.packets[RULESET_DIVERTED] = 40;
	stats_kernel_write(&stats, &kernel);
	stats_kernel_restart(&stats);
	kernel.packets[RULESET_DIVERTED] = 2;
	stats_kernel_write(&stats, &kernel);
	stats_kernel_read(&stats, &read);
	ck_assert_uint_eq(read.packets[RULESET_DIVERTED], 42);
	ck_assert(read.armed);
	ck_assert(!read.owner);
	ck_assert_uint_eq(read.repairs, 2);
	stats_drop(&stats);
}
END_TEST

/* A daemon that does not divert reads no counters of the kernel, and must not lose those that stand. */
START_TEST(the_next_writer_goes_on_with_the_kernel_counts)
{
	struct stats stats = stats_new();
	struct stats_kernel kernel = {.repairs = 2}, next, read;
	kernel.packets[RULESET_DIVERTED] = 40;
	stats_kernel_write(&stats, &kernel);
	stats_kernel_restart(&stats);
	kernel.packets[RULESET_DIVERTED] = 2;
	kernel.bytes[RULESET_EXCLUDED] = 7;
	stats_kernel_write(&stats, &kernel);
	stats_kernel_last(&stats, &next);
	ck_assert_uint_eq(next.packets[RULESET_DIVERTED], 2);
	ck_assert_uint_eq(next.repairs, 2);
	stats_kernel_write(&stats, &next);
	stats_kernel_read(&stats, &read);
	ck_assert_uint_eq(read.packets[RULESET_DIVERTED], 42);
	ck_assert_uint_eq(read.bytes[RULESET_EXCLUDED], 7);
	stats_drop(&stats);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats");
	TCase *tcase = tcase_create("stats");
	tcase_add_test(tcase, sums_over_blocks);
	tcase_add_test(tcase, same_key_same_row_and_merged_over_blocks);
	tcase_add_test(tcase, a_full_table_counts_in_other);
	tcase_add_test(tcase, long_and_empty_keys_go_to_other);
	tcase_add_test(tcase, no_more_rows_than_there_is_room_for);
	tcase_add_test(tcase, survives_the_death_of_its_writer);
	tcase_add_test(tcase, attach_refuses_what_is_none);
	tcase_add_test(tcase, a_damaged_block_is_not_sound_or_does_no_harm);
	tcase_add_test(tcase, a_new_writer_closes_what_the_old_one_had_open);
	tcase_add_test(tcase, a_reset_keeps_open_connections_and_rows);
	tcase_add_test(tcase, kernel_counts_go_on_over_a_new_table);
	tcase_add_test(tcase, the_next_writer_goes_on_with_the_kernel_counts);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
