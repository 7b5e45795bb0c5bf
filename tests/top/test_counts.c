/* The counts' file: what it keeps from one run to the next, and who may have it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counts.h"
#include "suite.h"

static char directory[64], file[128];
static struct conf conf;
static struct err err;

static void setup(void)
{
	snprintf(directory, sizeof(directory), "/tmp/mxmirage-test-counts-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(file, sizeof(file), "%s/run/counts", directory);
	conf = (struct conf){.listen = {.workers = 2},
		.counts = {.file = file, .domains = 32, .destinations = 16, .sources = 16}};
}

static void teardown(void)
{
	unlink(file);
	char run[128];
	snprintf(run, sizeof(run), "%s/run", directory);
	rmdir(run);
	rmdir(directory);
}

static struct counts open_counts(void)
{
	struct counts counts;
	ck_assert_msg(counts_open(&counts, &conf, &err) == 0, "%s", err.text);
	return counts;
}

START_TEST(what_was_counted_is_there_in_the_next_run)
{
	struct counts counts = open_counts();
	stats_add(stats_block(&counts.stats, 1), STATS_MESSAGES_ACCEPTED, 5);
	uint64_t since = stats_since(&counts.stats);
	ck_assert_uint_gt(since, 0);
	counts_close(&counts);
	counts = open_counts();
	ck_assert_uint_eq(stats_sum(&counts.stats, STATS_MESSAGES_ACCEPTED), 5);
	ck_assert_uint_eq(stats_since(&counts.stats), since);
	counts_close(&counts);
}
END_TEST

START_TEST(the_other_process_sees_the_same)
{
	struct counts counts = open_counts(), adopted;
	ck_assert_int_eq(counts_adopt(&adopted, fcntl(counts.fd, F_DUPFD_CLOEXEC, 0), &err), 0);
	stats_add(stats_block(&adopted.stats, 0), STATS_CONNECTIONS, 3);
	ck_assert_uint_eq(stats_sum(&counts.stats, STATS_CONNECTIONS), 3);
	counts_close(&adopted);
	counts_close(&counts);
}
END_TEST

START_TEST(fewer_workers_keep_the_counts_and_other_sizes_begin_anew)
{
	struct counts counts = open_counts();
	stats_add(stats_block(&counts.stats, 1), STATS_CONNECTIONS, 1);
	counts_close(&counts);
	conf.listen.workers = 1;
	counts = open_counts();
	ck_assert_uint_eq(stats_sum(&counts.stats, STATS_CONNECTIONS), 1);
	/* The worker that had it open is gone, and no other one takes its block. */
	ck_assert_uint_eq(stats_sum(&counts.stats, STATS_CONNECTIONS_CLOSED), 1);
	counts_close(&counts);
	conf.counts.domains = 64;
	counts = open_counts();
	ck_assert_uint_eq(stats_sum(&counts.stats, STATS_CONNECTIONS), 0);
	counts_close(&counts);
}
END_TEST

START_TEST(a_damaged_file_begins_anew)
{
	counts_close(&(struct counts[]){open_counts()}[0]);
	FILE *damage = fopen(file, "r+");
	ck_assert_ptr_nonnull(damage);
	fputs("not a region of counts", damage);
	fclose(damage);
	struct counts counts = open_counts();
	ck_assert_uint_eq(stats_sum(&counts.stats, STATS_CONNECTIONS), 0);
	counts_close(&counts);
}
END_TEST

/* What a power cut may leave of a file on a disk: the header is there, the tables are not. */
START_TEST(a_file_without_its_tables_begins_anew)
{
	struct counts counts = open_counts();
	stats_add(stats_block(&counts.stats, 0), STATS_MESSAGES_ACCEPTED, 5);
	memset(stats_block(&counts.stats, 1), 0, 4096);
	counts_close(&counts);
	counts = open_counts();
	struct stats_block *block = stats_block(&counts.stats, 1);
	ck_assert_uint_ne(stats_row(block, STATS_DOMAINS, span_of("gmail.com")), STATS_OTHER);
	ck_assert_uint_eq(stats_sum(&counts.stats, STATS_MESSAGES_ACCEPTED), 0);
	counts_close(&counts);
}
END_TEST

/* A counter that finds no room later would kill the process: space is set aside at the start. */
START_TEST(its_room_is_set_aside)
{
	struct counts counts = open_counts();
	struct stat st;
	ck_assert_int_eq(fstat(counts.fd, &st), 0);
	ck_assert_int_ge(st.st_blocks * 512, st.st_size);
	ck_assert_uint_eq((size_t)st.st_size, stats_size(&counts.stats.layout));
	counts_close(&counts);
}
END_TEST

START_TEST(a_second_instance_is_refused_by_name)
{
	struct counts counts = open_counts(), second;
	ck_assert_int_eq(counts_open(&second, &conf, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, file));
	ck_assert_ptr_nonnull(strstr(err.text, "another mxmirage is running"));
	counts_close(&counts);
}
END_TEST

START_TEST(a_link_in_its_place_is_refused)
{
	char target[160], run[128];
	snprintf(run, sizeof(run), "%s/run", directory);
	ck_assert_int_eq(mkdir(run, 0755), 0);
	snprintf(target, sizeof(target), "%s/elsewhere", directory);
	ck_assert_int_eq(symlink(target, file), 0);
	struct counts counts;
	ck_assert_int_eq(counts_open(&counts, &conf, &err), -ELOOP);
	ck_assert_int_ne(access(target, F_OK), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("counts");
	TCase *tcase = tcase_create("counts");
	tcase_set_timeout(tcase, 20);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_was_counted_is_there_in_the_next_run);
	tcase_add_test(tcase, the_other_process_sees_the_same);
	tcase_add_test(tcase, fewer_workers_keep_the_counts_and_other_sizes_begin_anew);
	tcase_add_test(tcase, a_damaged_file_begins_anew);
	tcase_add_test(tcase, a_file_without_its_tables_begins_anew);
	tcase_add_test(tcase, its_room_is_set_aside);
	tcase_add_test(tcase, a_second_instance_is_refused_by_name);
	tcase_add_test(tcase, a_link_in_its_place_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
