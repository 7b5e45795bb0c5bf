/* The tables at the size of a large sender's test: every key has its row, and what is read is whole. */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "stats.h"
#include "suite.h"

enum {
	DOMAINS = 250000,
	DESTINATIONS = 100000,
	SOURCES = 10000,
	BLOCKS = 2,
};

static const struct stats_layout layout = {.blocks = BLOCKS, .rows = {DOMAINS, DESTINATIONS, SOURCES, 1024}};

static struct stats stats_new(void)
{
	struct stats stats;
	void *memory =
		mmap(NULL, stats_size(&layout), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	stats_format(&stats, memory, &layout, 1000);
	return stats;
}

/* Key `n` of a table as real ones look: hosted names of differing length with a suffix; addresses of both families. */
static struct span key_of(enum stats_table_id table, uint32_t n, char room[64])
{
	if (table == STATS_DOMAINS) {
		static const struct {
			const char *before, *behind;
		} shapes[] = {{"d", ".mx-sink.wezfurlong.org"}, {"", ".example"},
			{"mail.customer-", ".example"}, {"shop", ".testingdomain.tld"}};
		int len = snprintf(room, 64, "%s%u%s", shapes[n % 4].before, n, shapes[n % 4].behind);
		return (struct span){room, (size_t)len};
	}
	uint32_t net = htonl(n);
	if (n % 2) {
		memcpy(room, &net, 4);
		return (struct span){room, 4};
	}
	memcpy(room, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	memcpy(room + (n % 4 ? 4 : 12), &net, 4);
	return (struct span){room, 16};
}

static void count_each(struct stats_block *block, enum stats_table_id table, uint32_t keys)
{
	char room[64];
	for (uint32_t n = 0; n < keys; n++) {
		uint32_t row = stats_row(block, table, key_of(table, n, room));
		stats_row_add(block, table, row, STATS_ROW_ACCEPTED, 1);
	}
}

static const uint32_t sizes[] = {
	[STATS_DOMAINS] = DOMAINS, [STATS_DESTINATIONS] = DESTINATIONS, [STATS_SOURCES] = SOURCES};

START_TEST(every_key_has_its_row)
{
	struct stats stats = stats_new();
	enum stats_table_id table = (enum stats_table_id)_i;
	/* Twice: made, then found. */
	for (int i = 0; i < BLOCKS; i++) {
		count_each(stats_block(&stats, (uint32_t)i), table, sizes[table]);
		count_each(stats_block(&stats, (uint32_t)i), table, sizes[table]);
	}
	size_t max = stats_rows_max(&stats, table);
	struct stats_row *rows = calloc(max, sizeof(*rows));
	ck_assert_ptr_nonnull(rows);
	ck_assert_uint_eq(stats_rows(&stats, table, rows, max), sizes[table] + 1);
	ck_assert_uint_eq(rows[0].key.len, 0);
	ck_assert_uint_eq(rows[0].fields[STATS_ROW_ACCEPTED], 0);
	for (uint32_t i = 1; i <= sizes[table]; i++)
		ck_assert_uint_eq(rows[i].fields[STATS_ROW_ACCEPTED], 2 * BLOCKS);
	free(rows);
	munmap(stats.memory, stats_size(&layout));
}
END_TEST

/* As many again find no room: they are in `other`, and nobody else's row has changed. */
START_TEST(what_is_too_much_is_other)
{
	struct stats stats = stats_new();
	struct stats_block *block = stats_block(&stats, 0);
	count_each(block, STATS_DOMAINS, 2 * DOMAINS);
	size_t max = stats_rows_max(&stats, STATS_DOMAINS);
	struct stats_row *rows = calloc(max, sizeof(*rows));
	ck_assert_ptr_nonnull(rows);
	size_t count = stats_rows(&stats, STATS_DOMAINS, rows, max);
	ck_assert_uint_eq(count, DOMAINS + 1);
	ck_assert_uint_eq(rows[0].fields[STATS_ROW_ACCEPTED], DOMAINS);
	for (uint32_t i = 1; i < count; i++)
		ck_assert_uint_eq(rows[i].fields[STATS_ROW_ACCEPTED], 1);
	free(rows);
	munmap(stats.memory, stats_size(&layout));
}
END_TEST

static void *write_all(void *block)
{
	count_each(block, STATS_DOMAINS, DOMAINS);
	return NULL;
}

/* Whoever reads while the table fills sees rows that are whole, each once, and never fewer than before. */
START_TEST(read_while_it_is_written)
{
	struct stats stats = stats_new();
	pthread_t writers[BLOCKS];
	for (uint32_t i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(pthread_create(&writers[i], NULL, write_all, stats_block(&stats, i)), 0);
	uint64_t seen = 0;
	for (bool complete = false; !complete;) {
		size_t max = stats_rows_max(&stats, STATS_DOMAINS);
		struct stats_row *rows = calloc(max, sizeof(*rows));
		ck_assert_ptr_nonnull(rows);
		size_t count = stats_rows(&stats, STATS_DOMAINS, rows, max);
		uint64_t sum = 0;
		for (size_t i = 0; i < count; i++) {
			ck_assert(i == 0 ? rows[i].key.len == 0 : rows[i].key.len > 8);
			ck_assert_uint_le(rows[i].fields[STATS_ROW_ACCEPTED], BLOCKS);
			sum += rows[i].fields[STATS_ROW_ACCEPTED];
		}
		ck_assert_uint_ge(sum, seen);
		ck_assert_uint_le(count, max);
		seen = sum;
		complete = sum == (uint64_t)BLOCKS * DOMAINS;
		free(rows);
	}
	for (int i = 0; i < BLOCKS; i++)
		pthread_join(writers[i], NULL);
	munmap(stats.memory, stats_size(&layout));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats_scale");
	TCase *tables = tcase_create("tables");
	tcase_set_timeout(tables, 120);
	tcase_add_loop_test(tables, every_key_has_its_row, STATS_DOMAINS, STATS_PROVIDERS);
	tcase_add_test(tables, what_is_too_much_is_other);
	tcase_add_test(tables, read_while_it_is_written);
	suite_add_tcase(suite, tables);
	return suite_run(suite);
}
