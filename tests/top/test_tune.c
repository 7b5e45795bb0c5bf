#include "tune.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "suite.h"
#include "top/fake_host.h"

static struct tune_row rows[TUNE_ROWS_MAX];
static size_t count;

static const struct tune_row *row(const struct fake_host *fake, uint64_t connections, const char *key)
{
	struct tune_need need = {connections, 4025, 4032};
	count = tune_rows(&fake->host, &need, rows);
	ck_assert_uint_le(count, TUNE_ROWS_MAX);
	const struct tune_row *found = tune_find(rows, count, key);
	ck_assert_msg(found != NULL, "no row %s", key);
	return found;
}

/* What the host has, how many connections, and what comes of it. */
static const struct {
	const char *key, *has;
	uint64_t connections;
	enum tune_state state;
	const char *wants;
} cases[] = {
	{"net.core.somaxconn", "128", 20000, TUNE_SHORT, "4096"},
	{"net.core.somaxconn", "4096", 20000, TUNE_OK, "4096"},
	{"net.core.somaxconn", "65535", 20000, TUNE_OK, "4096"},
	{"net.core.somaxconn", "4096", 10000000, TUNE_SHORT, "65535"},
	{"net.core.somaxconn", NULL, 20000, TUNE_UNKNOWN, "4096"},
	{"fs.file-max", "100000", 20000, TUNE_SHORT, "250000"},
	{"fs.file-max", "9223372036854775807", 20000, TUNE_OK, "250000"},
	{"fs.file-max", "250000", 1000000, TUNE_SHORT, "3010000"},
	{"fs.nr_open", "1048576", 20000, TUNE_OK, "1048576"},
	{"fs.nr_open", "1048576", 2000000, TUNE_SHORT, "2010112"},
	{"net.ipv4.tcp_tw_reuse", "2", 20000, TUNE_SHORT, "1"},
	{"net.ipv4.tcp_tw_reuse", "1", 20000, TUNE_OK, "1"},
	{"net.ipv4.tcp_max_tw_buckets", "65536", 5000, TUNE_OK, "65536"},
	{"net.ipv4.tcp_max_tw_buckets", "65536", 20000, TUNE_SHORT, "240640"},
	{"net.netfilter.nf_conntrack_tcp_timeout_time_wait", "120", 20000, TUNE_SHORT, "30"},
	{"net.netfilter.nf_conntrack_tcp_timeout_time_wait", "10", 20000, TUNE_OK, "30"},
	/* 2 x (20000 + 2001 x 30) = 160060, in steps of 65536 */
	{"net.netfilter.nf_conntrack_max", "65536", 20000, TUNE_SHORT, "196608"},
	{"net.netfilter.nf_conntrack_max", "196608", 20000, TUNE_OK, "196608"},
	{"net.netfilter.nf_conntrack_buckets", "65536", 20000, TUNE_SHORT, "98304"},
	{"net.ipv4.tcp_rmem", "4096\t131072\t6291456", 20000, TUNE_OK, "4096 131072 6291456"},
	{"net.ipv4.tcp_rmem", "4096\t16384\t6291456", 20000, TUNE_SHORT, "4096 131072 6291456"},
	{"net.ipv4.tcp_wmem", "4096\t16384\t65536", 20000, TUNE_SHORT, "4096 16384 4194304"},
	{"net.ipv4.ip_local_port_range", "32768\t60999", 20000, TUNE_SHORT, "10000 65535"},
	{"net.ipv4.ip_local_port_range", "32768\t60999", 1000, TUNE_OK, "10000 65535"},
	{"net.ipv4.ip_local_port_range", "5000\t63000", 20000, TUNE_OK, "10000 65535"},
	{"net.ipv4.ip_local_port_range", "nonsense", 20000, TUNE_UNKNOWN, "10000 65535"},
	{"listen.ports", NULL, 516095, TUNE_OK, "8"},
	{"listen.ports", NULL, 516096, TUNE_SHORT, "9"},
};

START_TEST(test_a_setting)
{
	struct fake_host fake;
	fake_host_init(&fake);
	if (cases[_i].has)
		fake_host_sysctl(&fake, cases[_i].key, cases[_i].has);
	const struct tune_row *found = row(&fake, cases[_i].connections, cases[_i].key);
	ck_assert_msg(found->state == cases[_i].state, "%s = %s for %lu: state %d", cases[_i].key,
		cases[_i].has, (unsigned long)cases[_i].connections, found->state);
	ck_assert_str_eq(found->wants, cases[_i].wants);
	ck_assert_int_gt(strlen(found->reason), 20);
	fake_host_done(&fake);
}
END_TEST

/* The listeners against the ephemeral range and what is reserved of it. */
static const struct {
	uint16_t first, last;
	const char *range, *reserved;
	const char *wants_range, *wants_reserved;
	enum tune_state state; /* of the reserved ports */
} overlaps[] = {
	{4025, 4032, "32768 60999", "", "10000 65535", "4025-4032", TUNE_OK},
	/* A range that is large enough stays, and with it the overlap. */
	{4025, 4032, "4000 65535", "", "10000 65535", "4025-4032", TUNE_SHORT},
	{4025, 4032, "4000 65535", "4025-4032", "10000 65535", "4025-4032", TUNE_OK},
	{4025, 4032, "4000 65535", "4020-4030,4031-4040", "10000 65535", "4025-4032", TUNE_OK},
	{4025, 4032, "4000 65535", "4080", "10000 65535", "4080,4025-4032", TUNE_SHORT},
	{4025, 4032, "4032 65535", "4025-4031", "10000 65535", "4025-4031,4025-4032", TUNE_SHORT},
	{4025, 4032, "4033 65535", "", "10000 65535", "4025-4032", TUNE_OK},
	/* Listeners a little above the range's usual beginning push it up; far above they lie inside. */
	{12000, 12007, "32768 60999", "", "12008 65535", "12000-12007", TUNE_OK},
	{30000, 30007, "32768 60999", "", "10000 65535", "30000-30007", TUNE_SHORT},
};

START_TEST(test_overlap)
{
	struct fake_host fake;
	fake_host_init(&fake);
	fake_host_sysctl(&fake, "net.ipv4.ip_local_port_range", overlaps[_i].range);
	fake_host_sysctl(&fake, "net.ipv4.ip_local_reserved_ports", overlaps[_i].reserved);
	struct tune_need need = {20000, overlaps[_i].first, overlaps[_i].last};
	count = tune_rows(&fake.host, &need, rows);
	ck_assert_str_eq(
		tune_find(rows, count, "net.ipv4.ip_local_port_range")->wants, overlaps[_i].wants_range);
	const struct tune_row *reserved = tune_find(rows, count, "net.ipv4.ip_local_reserved_ports");
	ck_assert_str_eq(reserved->wants, overlaps[_i].wants_reserved);
	ck_assert_msg(reserved->state == overlaps[_i].state, "%s, reserved \"%s\": state %d",
		overlaps[_i].range, overlaps[_i].reserved, reserved->state);
	fake_host_done(&fake);
}
END_TEST

START_TEST(test_conntrack_entries)
{
	ck_assert_uint_eq(tune_conntrack_entries(20000, 30), 2 * (20000 + 2001 * 30));
	ck_assert_uint_eq(tune_conntrack_entries(20000, 120), 2 * (20000 + 2001 * 120));
	ck_assert_uint_eq(tune_conntrack_entries(1, 0), 2);
	ck_assert_uint_gt(tune_conntrack_entries(TUNE_CONNECTIONS_MAX, 120), TUNE_CONNECTIONS_MAX);
}
END_TEST

START_TEST(test_files)
{
	struct fake_host fake;
	fake_host_init(&fake);
	struct rlimit limit;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	const struct tune_row *found = row(&fake, 20000, "RLIMIT_NOFILE");
	ck_assert(!found->sysctl);
	ck_assert_str_eq(found->wants, "30720");
	ck_assert(found->state == (limit.rlim_max >= 30720 ? TUNE_OK : TUNE_SHORT));
	ck_assert_int_eq(row(&fake, TUNE_CONNECTIONS_MAX, "RLIMIT_NOFILE")->state, TUNE_SHORT);
	fake_host_done(&fake);
}
END_TEST

static char *print(const struct fake_host *fake, uint64_t connections)
{
	struct tune_need need = {connections, 4025, 4032};
	count = tune_rows(&fake->host, &need, rows);
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(to);
	tune_print_sysctl(rows, count, &need, to);
	fclose(to);
	return text;
}

START_TEST(test_sysctl_file)
{
	struct fake_host fake;
	fake_host_init(&fake);
	fake_host_sysctl(&fake, "net.core.somaxconn", "128");
	fake_host_sysctl(&fake, "fs.file-max", "9223372036854775807");
	char *text = print(&fake, 20000);
	ck_assert_ptr_nonnull(strstr(text, "20,000 connections"));
	ck_assert_ptr_nonnull(strstr(text, "\n# now: 128\nnet.core.somaxconn = 4096\n"));
	/* What is better already is left out; what cannot be read is not. */
	ck_assert_ptr_null(strstr(text, "file-max"));
	ck_assert_ptr_nonnull(strstr(text, "# now: not readable\nnet.core.netdev_max_backlog = 10000\n"));
	/* Lines that a person can read, each a comment, a value or empty. */
	for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		ck_assert_int_le(strlen(line), 100);
		ck_assert_msg(line[0] == '#' || strstr(line, " = "), "%s", line);
	}
	free(text);
	fake_host_done(&fake);
}
END_TEST

/* A host that took the file over has nothing left to do. */
START_TEST(test_what_it_asks_for_is_enough)
{
	static const uint64_t sizes[] = {1, 1000, 20000, 250000, 1000000, TUNE_CONNECTIONS_MAX};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fake_host fake;
		fake_host_init(&fake);
		char *text = print(&fake, sizes[i]);
		for (char *save, *line = strtok_r(text, "\n", &save); line;
			line = strtok_r(NULL, "\n", &save)) {
			char *equals = strstr(line, " = ");
			if (line[0] == '#' || !equals)
				continue;
			*equals = '\0';
			fake_host_sysctl(&fake, line, equals + 3);
		}
		free(text);
		struct tune_need need = {sizes[i], 4025, 4032};
		count = tune_rows(&fake.host, &need, rows);
		for (size_t k = 0; k < count; k++)
			if (rows[k].sysctl)
				ck_assert_msg(rows[k].state == TUNE_OK, "%s = %s, wanted %s", rows[k].key,
					rows[k].has, rows[k].wants);
		fake_host_done(&fake);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tune");
	TCase *tcase = tcase_create("tune");
	tcase_add_loop_test(tcase, test_a_setting, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tcase, test_overlap, 0, sizeof(overlaps) / sizeof(overlaps[0]));
	tcase_add_test(tcase, test_conntrack_entries);
	tcase_add_test(tcase, test_files);
	tcase_add_test(tcase, test_sysctl_file);
	tcase_add_test(tcase, test_what_it_asks_for_is_enough);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
