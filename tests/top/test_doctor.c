/* The checks one by one, each on a machine that is laid out for it. What needs a kernel is in tests/e2e. */
#include "doctor.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "top/fake_host.h"

static struct fake_host fake;
static struct conf conf;
static struct doctor *doctor;

static void set_up(void)
{
	fake_host_init(&fake);
	conf = (struct conf){.file = "/etc/mxmirage/mxmirage.toml",
		.divert = {.ports = {25}, .port_count = 1},
		.listen = {.port_first = 4025, .port_last = 4032}};
	doctor = calloc(1, sizeof(*doctor));
	ck_assert_ptr_nonnull(doctor);
	doctor->host = fake.host;
	doctor->conf = &conf;
	doctor->need = (struct tune_need){20000, 4025, 4032};
	doctor->check = "test";
}

static void tear_down(void)
{
	doctor_done(doctor);
	free(doctor);
	fake_host_done(&fake);
}

static void run(void (*check)(struct doctor *doctor))
{
	doctor_done(doctor);
	doctor->finding_room = 0;
	doctor->row_count = tune_rows(&doctor->host, &doctor->need, doctor->rows);
	check(doctor);
	ck_assert(!doctor->broken);
}

/* The first finding with this word in it. */
static const struct doctor_finding *finding(const char *word)
{
	for (size_t i = 0; i < doctor->finding_count; i++)
		if (strstr(doctor->findings[i].found, word))
			return &doctor->findings[i];
	ck_abort_msg("no finding with \"%s\" among %zu (%s)", word, doctor->finding_count,
		doctor->finding_count ? doctor->findings[0].found : "");
	return NULL;
}

static void assert_state(const char *word, enum doctor_state state, const char *remedy)
{
	const struct doctor_finding *found = finding(word);
	ck_assert_msg(found->state == state, "%s: state %d", found->found, found->state);
	ck_assert_msg(!remedy == !found->remedy && (!remedy || strstr(found->remedy, remedy)),
		"%s: remedy %s", found->found, found->remedy ? found->remedy : "none");
}

static void small_conntrack(const char *max, const char *time_wait, const char *count)
{
	fake_host_sysctl(&fake, "net.netfilter.nf_conntrack_max", max);
	fake_host_sysctl(&fake, "net.netfilter.nf_conntrack_buckets", "98304");
	fake_host_sysctl(&fake, "net.netfilter.nf_conntrack_tcp_timeout_time_wait", time_wait);
	fake_host_sysctl(&fake, "net.netfilter.nf_conntrack_count", count);
	run(doctor_conntrack);
}

START_TEST(test_conntrack)
{
	run(doctor_conntrack);
	assert_state("not loaded", DOCTOR_UNKNOWN, "modprobe nf_conntrack");
	small_conntrack("65536", "120", "10");
	assert_state("room for 65,536 connections, 10 in use now", DOCTOR_WARN, "nf_conntrack_max=196608");
	/* Here a shorter time alone mends it. */
	small_conntrack("262144", "120", "10");
	assert_state("room for 262,144", DOCTOR_WARN, "time_wait=30`");
	small_conntrack("262144", "30", "10");
	assert_state("room for 262,144", DOCTOR_OK, NULL);
	small_conntrack("262144", "30", "240000");
	assert_state("full to nine tenths", DOCTOR_FAIL, "conntrack -L");
}
END_TEST

START_TEST(test_ephemeral)
{
	run(doctor_ephemeral);
	ck_assert_int_eq(doctor->findings[0].state, DOCTOR_UNKNOWN);
	fake_host_sysctl(&fake, "net.ipv4.ip_local_port_range", "1024\t65535");
	fake_host_sysctl(&fake, "net.ipv4.ip_local_reserved_ports", "");
	run(doctor_ephemeral);
	assert_state("lie among the ephemeral ports 1024-65535", DOCTOR_WARN,
		"ip_local_reserved_ports=4025-4032`");
	fake_host_sysctl(&fake, "net.ipv4.ip_local_reserved_ports", "4000-4100");
	run(doctor_ephemeral);
	assert_state("reserved among", DOCTOR_OK, NULL);
	fake_host_sysctl(&fake, "net.ipv4.ip_local_port_range", "32768\t60999");
	run(doctor_ephemeral);
	assert_state("outside of", DOCTOR_OK, NULL);
	assert_state("too little", DOCTOR_WARN, "10000 65535");
}
END_TEST

START_TEST(test_backlog_and_files)
{
	fake_host_sysctl(&fake, "net.core.somaxconn", "128");
	fake_host_sysctl(&fake, "net.ipv4.tcp_max_syn_backlog", "8192");
	run(doctor_backlog);
	assert_state("somaxconn is 128, too little", DOCTOR_WARN, "`sysctl -w net.core.somaxconn=\"4096\"`");
	assert_state("tcp_max_syn_backlog is 8192", DOCTOR_OK, NULL);
	fake_host_sysctl(&fake, "fs.file-max", "1000");
	run(doctor_files);
	assert_state("fs.file-max is 1000", DOCTOR_WARN, "250000");
	assert_state("fs.nr_open is not readable", DOCTOR_UNKNOWN, NULL);
}
END_TEST

#define UNIT  "/lib/systemd/system/nftables.service"
#define WANTS "/etc/systemd/system/sysinit.target.wants/nftables.service"

START_TEST(test_managers)
{
	run(doctor_managers);
	ck_assert_uint_eq(doctor->finding_count, 1);
	assert_state("no other program", DOCTOR_OK, NULL);
	fake_host_file(&fake, UNIT, "[Unit]");
	run(doctor_managers);
	assert_state("nftables.service is installed", DOCTOR_OK, NULL);
	fake_host_file(&fake, WANTS, "[Unit]");
	run(doctor_managers);
	assert_state("nftables.service is enabled", DOCTOR_WARN, "disable --now nftables");
	fake_host_file(&fake, "/usr/lib/systemd/system/firewalld.service", "[Unit]");
	fake_host_file(&fake, "/usr/lib/systemd/system/ufw.service", "[Unit]");
	fake_host_file(&fake, "/etc/systemd/system/multi-user.target.wants/firewalld.service", "[Unit]");
	run(doctor_managers);
	assert_state("firewalld.service is enabled", DOCTOR_OK, NULL);
	/* ufw is neither at work nor a danger: nothing is to be said of it. */
	ck_assert_uint_eq(doctor->finding_count, 2);
	/* The owner is what a flush stops at. */
	doctor->guard = (struct guard_state){.armed = true, .owner = true};
	run(doctor_managers);
	assert_state("nftables.service is enabled", DOCTOR_OK, NULL);
}
END_TEST

START_TEST(test_rules_file)
{
	static const struct {
		const char *text;
		bool flushes;
	} cases[] = {
		{"#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}", true},
		{"flush  ruleset", true},
		{"\t flush\truleset inet", true},
		{"table inet a { }\n flush ruleset", true},
		{"# flush ruleset\n#flush ruleset", false},
		{"flush table inet filter", false},
		{"table inet filter { comment \"flush ruleset\"; }", false},
		{"", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_host_file(&fake, "/etc/nftables.conf", cases[i].text);
		run(doctor_managers);
		if (cases[i].flushes)
			assert_state("/etc/nftables.conf", DOCTOR_WARN, "by name");
		else
			ck_assert_msg(doctor->finding_count == 1, "%s", cases[i].text);
	}
}
END_TEST

START_TEST(test_old_iptables)
{
	run(doctor_iptables);
	assert_state("no tables of old iptables", DOCTOR_OK, NULL);
	fake_host_file(&fake, "/proc/net/ip_tables_names", "");
	run(doctor_iptables);
	assert_state("no tables of old iptables", DOCTOR_OK, NULL);
	fake_host_file(&fake, "/proc/net/ip_tables_names", "filter\nmangle");
	run(doctor_iptables);
	assert_state("filter mangle, not nat", DOCTOR_OK, NULL);
	fake_host_file(&fake, "/proc/net/ip6_tables_names", "filter\nnat");
	run(doctor_iptables);
	assert_state("filter nat; what its nat", DOCTOR_WARN, "`ip6tables-legacy -t nat -S`");
}
END_TEST

static struct survey_nat *a_nat_rule(void)
{
	doctor->survey.nat_count = 1;
	doctor->survey.nats[0] = (struct survey_nat){.family = "ip",
		.table = "nat",
		.chain = "OUTPUT",
		.base = "OUTPUT",
		.handle = 7,
		.priority = -100,
		.from_port = 25,
		.to_port = 2525,
		.words = "tcp dport 25 dnat to 192.0.2.9:2525"};
	return &doctor->survey.nats[0];
}

START_TEST(test_nat)
{
	run(doctor_nat);
	assert_state("no foreign rule", DOCTOR_OK, NULL);
	struct survey_nat *nat = a_nat_rule();
	run(doctor_nat);
	assert_state("the divert at -199 comes before it", DOCTOR_WARN,
		"`nft delete rule ip nat OUTPUT handle 7`");
	nat->priority = -199;
	run(doctor_nat);
	assert_state("may come before the divert", DOCTOR_FAIL, "handle 7");
	nat->priority = -100;
	nat->iptables = true;
	run(doctor_nat);
	assert_state("handle 7", DOCTOR_WARN, "`iptables -t nat -S OUTPUT`");
	nat->owner = 4711;
	run(doctor_nat);
	assert_state("handle 7", DOCTOR_WARN, "netlink address 4711");
	nat->from_port = 0;
	run(doctor_nat);
	assert_state("sends other ports' connections to a diverted port", DOCTOR_WARN, "4711");
	/* Names that others chose do not write to a terminal. */
	strcpy(nat->words, "oifname \"\033[2J\"");
	run(doctor_nat);
	ck_assert_ptr_null(strchr(doctor->findings[0].found, '\033'));
}
END_TEST

START_TEST(test_guard)
{
	run(doctor_guard);
	assert_state("not armed", DOCTOR_WARN, "mxmirage guard arm");
	ck_assert_int_eq(doctor_exit_code(doctor), EXIT_CODE_OK);
	doctor->guard = (struct guard_state){.armed = true};
	run(doctor_guard);
	assert_state("nobody owns it", DOCTOR_WARN, "start mxmirage");
	doctor->guard = (struct guard_state){.walled = true};
	run(doctor_guard);
	assert_state("static wall, which diverts nothing, but nobody owns it", DOCTOR_WARN, "start mxmirage");
	doctor->guard = (struct guard_state){.armed = true, .owner = true, .persist = true, .walled = true};
	run(doctor_guard);
	assert_state("it stays when its owner is killed; the static wall stands beside it", DOCTOR_OK, NULL);
	doctor->verify_code = err_set(&doctor->verify_err, -EPROTO, "rule 3 is missing");
	run(doctor_guard);
	assert_state("rule 3 is missing", DOCTOR_FAIL, "reload");
	ck_assert_int_eq(doctor_exit_code(doctor), EXIT_CODE_LEAK);
}
END_TEST

static void say_ok(struct doctor *to)
{
	doctor_say(to, DOCTOR_OK, "fine");
	doctor_say(to, DOCTOR_WARN, "to look at");
	doctor_say(to, DOCTOR_UNKNOWN, "not known");
}

static void say_denied(struct doctor *to)
{
	struct err err = {"denied"};
	say_ok(to);
	doctor_unknown(to, -EPERM, &err);
}

static void say_fail(struct doctor *to)
{
	say_denied(to);
	doctor_say(to, DOCTOR_FAIL, "broken");
}

static void say_leak(struct doctor *to)
{
	say_fail(to);
	doctor_say(to, DOCTOR_FAIL, "open");
	doctor_leak(to);
}

START_TEST(test_exit_code)
{
	static const struct {
		void (*say)(struct doctor *doctor);
		enum exit_code code;
	} cases[] = {
		{say_ok, EXIT_CODE_OK},
		{say_denied, EXIT_CODE_PRIVILEGE},
		{say_fail, EXIT_CODE_FALSE},
		{say_leak, EXIT_CODE_LEAK},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(cases[i].say);
		ck_assert_int_eq(doctor_exit_code(doctor), cases[i].code);
	}
}
END_TEST

START_TEST(test_output)
{
	doctor->check = "files";
	run(say_fail);
	doctor_remedy(doctor, "mend it");
	json_t *all = doctor_json(doctor);
	ck_assert_ptr_nonnull(all);
	ck_assert_int_eq(json_integer_value(json_object_get(all, "fail")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(all, "unknown")), 2);
	const json_t *last = json_array_get(json_object_get(all, "findings"), 4);
	ck_assert_str_eq(json_string_value(json_object_get(last, "check")), "files");
	ck_assert_str_eq(json_string_value(json_object_get(last, "state")), "fail");
	ck_assert_str_eq(json_string_value(json_object_get(last, "remedy")), "mend it");
	ck_assert(
		json_is_null(json_object_get(json_array_get(json_object_get(all, "findings"), 0), "remedy")));
	json_decref(all);
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	doctor_print(doctor, to);
	fclose(to);
	ck_assert_ptr_nonnull(strstr(text, "fail     files       broken\n                     → mend it\n"));
	ck_assert_ptr_nonnull(strstr(text, "\n1 ok, 1 to look at, 1 failed, 2 unknown\n"));
	free(text);
}
END_TEST

START_TEST(test_trust)
{
	run(doctor_trust);
	assert_state("no trust store", DOCTOR_WARN, "ca-certificates");
	fake_host_file(&fake, "/etc/ssl/certs/ca-certificates.crt", "x");
	run(doctor_trust);
	assert_state("trust store /etc/ssl", DOCTOR_OK, NULL);
}
END_TEST

START_TEST(test_dns_without_a_server)
{
	run(doctor_dns);
	assert_state("no name server", DOCTOR_FAIL, "nameserver ADDRESS");
	fake_host_file(&fake, "/etc/resolv.conf", "# nameserver 192.0.2.1\nsearch example.com\n");
	run(doctor_dns);
	assert_state("no name server", DOCTOR_FAIL, "nameserver ADDRESS");
	conf.answer.mode = CONF_ANSWER_SINK;
	run(doctor_dns);
	assert_state("not needed", DOCTOR_OK, NULL);
}
END_TEST

START_TEST(test_ipv6)
{
	run(doctor_ipv6);
	assert_state("the kernel has no IPv6", DOCTOR_OK, NULL);
	fake_host_sysctl(&fake, "net.ipv6.conf.all.disable_ipv6", "1");
	run(doctor_ipv6);
	assert_state("IPv6 is off", DOCTOR_OK, NULL);
	fake_host_sysctl(&fake, "net.ipv6.conf.all.disable_ipv6", "0");
	run(doctor_ipv6);
	assert_state("will guard it", DOCTOR_OK, NULL);
	doctor->guard.armed = true;
	run(doctor_ipv6);
	assert_state("guarded by the same rules", DOCTOR_OK, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doctor");
	TCase *tcase = tcase_create("doctor");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_conntrack);
	tcase_add_test(tcase, test_ephemeral);
	tcase_add_test(tcase, test_backlog_and_files);
	tcase_add_test(tcase, test_managers);
	tcase_add_test(tcase, test_rules_file);
	tcase_add_test(tcase, test_old_iptables);
	tcase_add_test(tcase, test_nat);
	tcase_add_test(tcase, test_guard);
	tcase_add_test(tcase, test_exit_code);
	tcase_add_test(tcase, test_output);
	tcase_add_test(tcase, test_trust);
	tcase_add_test(tcase, test_dns_without_a_server);
	tcase_add_test(tcase, test_ipv6);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
