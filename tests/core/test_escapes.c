#include "escapes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "suite.h"

static struct escapes *table;

static void setup(void)
{
	table = calloc(1, escapes_size());
	ck_assert_ptr_nonnull(table);
}

static void teardown(void)
{
	free(table);
}

static struct escape_record record_of(const char *program, uint8_t last)
{
	struct escape_record record = {.path = ESCAPE_OUTPUT,
		.uid = 33,
		.gid = 34,
		.pid = 7,
		.family = AF_INET,
		.port = 25,
		.destination = {198, 51, 100, last},
		.source = {192, 0, 2, 1},
		.device = "out"};
	snprintf(record.program, sizeof(record.program), "%s", program);
	return record;
}

static int add(const struct escape_record *record, uint64_t now_s, bool expect_new)
{
	bool is_new;
	int index = escapes_add(table, record, now_s, &is_new);
	ck_assert_int_eq(is_new, expect_new);
	return index;
}

START_TEST(test_rows)
{
	struct escape_record first = record_of("kumod", 1), second = record_of("nc", 1), rows[ESCAPES_ROWS];
	ck_assert_uint_eq(escapes_list(table, rows), 0);
	int row = add(&first, 100, true);
	add(&second, 101, true);
	/* A later process of the same program is the same sender; of one that was not found nothing is forgotten. */
	second.pid = 8;
	ck_assert_int_ne(add(&second, 110, false), row);
	second.pid = 0;
	add(&second, 120, false);
	ck_assert_uint_eq(escapes_list(table, rows), 2);
	ck_assert_str_eq(rows[0].program, "nc");
	ck_assert_uint_eq(rows[0].packets, 3);
	ck_assert_uint_eq(rows[0].first_s, 101);
	ck_assert_uint_eq(rows[0].last_s, 120);
	ck_assert_uint_eq(rows[0].pid, 8);
	ck_assert_uint_eq(rows[0].uid, 33);
	ck_assert_uint_eq(rows[0].gid, 34);
	ck_assert_mem_eq(rows[0].destination, second.destination, 16);
	ck_assert_str_eq(rows[1].program, "kumod");
	ck_assert_uint_eq(rows[1].packets, 1);

	/* Each part of what a sender is makes another one. */
	struct escape_record others[] = {first, first, first, first, first};
	others[0].path = ESCAPE_EGRESS;
	others[1].uid = 0;
	others[2].port = 2525;
	strcpy(others[3].in_device, "docker0");
	strcpy(others[4].device, "tun0");
	for (size_t i = 0; i < 5; i++)
		add(&others[i], 130, true);
	ck_assert_uint_eq(escapes_list(table, rows), 7);

	escapes_reset(table);
	ck_assert_uint_eq(escapes_list(table, rows), 0);
	first.pid = 0;
	row = add(&first, 140, true);
	escapes_get(table, row, &rows[0]);
	ck_assert_uint_eq(rows[0].packets, 1);
	ck_assert_uint_eq(rows[0].first_s, 140);
	ck_assert_uint_eq(rows[0].pid, 0);
}
END_TEST

/* One sender with all destinations there are, then as many senders as there are rows. */
START_TEST(test_bounds)
{
	struct escape_record rows[ESCAPES_ROWS], rest = {.path = ESCAPE_PATHS};
	for (unsigned i = 0; i < 1000; i++) {
		struct escape_record record = record_of("flood", (uint8_t)i);
		add(&record, 100, i <= ESCAPES_PER_SENDER);
	}
	ck_assert_uint_eq(escapes_list(table, rows), ESCAPES_PER_SENDER + 1);
	for (size_t i = 0; i <= ESCAPES_PER_SENDER; i++)
		if (rows[i].family == 0)
			rest = rows[i];
	ck_assert_uint_eq(rest.path, ESCAPE_OUTPUT);
	ck_assert_uint_gt(rest.packets, 900);
	ck_assert_str_eq(rest.program, "flood");

	unsigned without_row = 0;
	for (unsigned i = 0; i < 1000; i++) {
		char name[16];
		snprintf(name, sizeof(name), "other%u", i);
		struct escape_record record = record_of(name, 1);
		bool is_new;
		without_row += escapes_add(table, &record, 100, &is_new) < 0;
	}
	ck_assert_uint_eq(escapes_list(table, rows), ESCAPES_ROWS);
	ck_assert_uint_eq(without_row, 1000 - (ESCAPES_ROWS - ESCAPES_PER_SENDER - 1));
	ck_assert_uint_eq(escapes_other(table), without_row);
	/* Who has a row keeps it. */
	struct escape_record first = record_of("flood", 1);
	ck_assert_int_ge(add(&first, 200, false), 0);
	escapes_reset(table);
	ck_assert_uint_eq(escapes_other(table), 0);
}
END_TEST

START_TEST(test_names_are_made_printable)
{
	struct escape_record record = record_of("a\"b\\c\x1b[2J\n\xff", 1), shown;
	memset(record.cgroup, 'x', sizeof(record.cgroup));
	int row = add(&record, 100, true);
	escapes_get(table, row, &shown);
	ck_assert_str_eq(shown.program, "a?b?c?[2J??");
	ck_assert_uint_eq(strlen(shown.cgroup), ESCAPE_CGROUP_MAX - 1);
	ck_assert_int_eq(add(&record, 100, false), row);
}
END_TEST

/* A file of counts that something else wrote. */
START_TEST(test_any_memory)
{
	struct escape_record rows[ESCAPES_ROWS], record = record_of("x", 1);
	memset((void *)table, 0xff, escapes_size());
	size_t count = escapes_list(table, rows);
	ck_assert_uint_eq(count, ESCAPES_ROWS);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_lt(rows[i].path, ESCAPE_PATHS);
		ck_assert_uint_lt(strlen(rows[i].program), ESCAPE_PROGRAM_MAX);
	}
	bool is_new;
	ck_assert_int_eq(escapes_add(table, &record, 1, &is_new), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("escapes");
	TCase *tcase = tcase_create("escapes");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_rows);
	tcase_add_test(tcase, test_bounds);
	tcase_add_test(tcase, test_names_are_made_printable);
	tcase_add_test(tcase, test_any_memory);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
