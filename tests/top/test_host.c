#include "host.h"

#include <check.h>
#include <errno.h>

#include "suite.h"
#include "top/fake_host.h"

static struct fake_host fake;

static void set_up(void)
{
	fake_host_init(&fake);
}

static void tear_down(void)
{
	fake_host_done(&fake);
}

START_TEST(test_read)
{
	char text[8];
	fake_host_file(&fake, "/etc/one", "word \n\n");
	ck_assert_int_eq(host_read(&fake.host, "/etc/one", text, sizeof(text)), 4);
	ck_assert_str_eq(text, "word");
	fake_host_file(&fake, "/etc/one", "more than fits");
	ck_assert_int_eq(host_read(&fake.host, "/etc/one", text, sizeof(text)), 7);
	ck_assert_str_eq(text, "more th");
	fake_host_file(&fake, "/etc/one", "");
	ck_assert_int_eq(host_read(&fake.host, "/etc/one", text, sizeof(text)), 0);
	ck_assert_int_eq(host_read(&fake.host, "/etc/two", text, sizeof(text)), -ENOENT);
	ck_assert_int_eq(host_read(&fake.host, "/etc", text, sizeof(text)), -EISDIR);
	ck_assert(host_exists(&fake.host, "/etc/one") && !host_exists(&fake.host, "/etc/two"));
}
END_TEST

START_TEST(test_sysctl)
{
	uint64_t values[3];
	char text[32];
	fake_host_sysctl(&fake, "net.ipv4.tcp_rmem", "4096\t131072\t6291456");
	ck_assert_int_eq(host_sysctl(&fake.host, "net.ipv4.tcp_rmem", values, 3), 3);
	ck_assert(values[0] == 4096 && values[1] == 131072 && values[2] == 6291456);
	ck_assert_int_eq(host_sysctl(&fake.host, "net.ipv4.tcp_rmem", values, 1), 1);
	ck_assert_int_eq(host_sysctl_text(&fake.host, "net.ipv4.tcp_rmem", text, sizeof(text)), 19);
	ck_assert_str_eq(text, "4096 131072 6291456");
	fake_host_sysctl(&fake, "fs.file-max", "9223372036854775807");
	ck_assert_int_eq(host_sysctl(&fake.host, "fs.file-max", values, 1), 1);
	ck_assert_uint_eq(values[0], INT64_MAX);
	fake_host_sysctl(&fake, "kernel.x", "words");
	ck_assert_int_eq(host_sysctl(&fake.host, "kernel.x", values, 1), -EBADMSG);
	ck_assert_int_eq(host_sysctl(&fake.host, "kernel.y", values, 1), -ENOENT);
}
END_TEST

START_TEST(test_reserved)
{
	static const struct {
		const char *list;
		uint16_t first, last;
		bool reserved;
	} cases[] = {
		{"", 25, 25, false},
		{"25", 25, 25, true},
		{"24,26", 25, 25, false},
		{"4025-4032", 4025, 4032, true},
		{"4025-4031", 4025, 4032, false},
		{"4026-4032", 4025, 4032, false},
		{"4025-4028,4029-4032", 4025, 4032, true},
		{"80,4000-5000,8080", 4025, 4032, true},
		{"65535", 65535, 65535, true},
		{"junk", 25, 25, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(host_ports_reserved(cases[i].list, cases[i].first, cases[i].last) ==
				      cases[i].reserved,
			"\"%s\"", cases[i].list);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host");
	TCase *tcase = tcase_create("host");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_read);
	tcase_add_test(tcase, test_sysctl);
	tcase_add_test(tcase, test_reserved);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
