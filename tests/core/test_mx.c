#include "mx.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "mapped.h"
#include "suite.h"

#define HOSTS 8

static struct mx_host hosts[MX_HOSTS_MAX];

/* Hosts in the order given, as a resolver would have sorted them. */
static struct mx_answer answer_of(const char *const *names, size_t max)
{
	struct mx_answer answer = {.status = MX_FOUND, .hosts = hosts};
	for (; answer.host_count < max && names[answer.host_count]; answer.host_count++)
		snprintf(
			hosts[answer.host_count].name, sizeof(hosts[0].name), "%s", names[answer.host_count]);
	return answer;
}

static const struct {
	const char *names[HOSTS];
	const char *site;
} sites[] = {
	{{"mx.example.com"}, "mx.example.com"},
	{{"localhost"}, "localhost"},
	{{NULL}, ""},
	{{"mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mta7.am0.yahoodns.net"},
		"(mta5|mta6|mta7).am0.yahoodns.net"},
	/* A host with fewer labels makes the ones to the left optional. */
	{{"gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com", "alt2.gmail-smtp-in.l.google.com",
		 "alt3.gmail-smtp-in.l.google.com", "alt4.gmail-smtp-in.l.google.com"},
		"(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"},
	{{"example.com", "mx.example.com"}, "mx?.example.com"},
	{{"example.com", "a.b.example.com"}, "a?.b?.example.com"},
	/* Labels are told apart one by one, and in the order of the hosts. */
	{{"example-com.mail.protection.outlook.com", "mx-biz.mail.am0.yahoodns.net"},
		"(example-com|mx-biz).mail.(protection|am0).(outlook|yahoodns).(com|net)"},
	{{"mx-biz.mail.am0.yahoodns.net", "example-com.mail.protection.outlook.com"},
		"(mx-biz|example-com).mail.(am0|protection).(yahoodns|outlook).(net|com)"},
	{{"a.x.net", "b.x.net", "a.y.net", "b.y.net"}, "(a|b).(x|y).net"},
	/* An address literal. */
	{{"192.0.2.1"}, "192.0.2.1"},
	{{"2001:db8::1"}, "2001:db8::1"},
};

START_TEST(hosts_fold_into_a_site)
{
	struct mx_answer answer = answer_of(sites[_i].names, HOSTS);
	char site[256];
	size_t len = mx_site_name(&answer, site, sizeof(site));
	ck_assert_str_eq(site, sites[_i].site);
	ck_assert_uint_eq(len, strlen(site));
}
END_TEST

START_TEST(a_site_is_cut_to_any_size)
{
	struct mx_answer answer = answer_of(sites[4].names, HOSTS);
	size_t whole = strlen(sites[4].site);
	char none = 'x';
	ck_assert_uint_eq(mx_site_name(&answer, &none, 0), 0);
	ck_assert_int_eq(none, 'x');
	for (size_t size = 1; size <= whole + 2; size++) {
		/* A block of the exact size, so that the address sanitizer sees a write past it. */
		char *site = malloc(size);
		size_t fits = size - 1 < whole ? size - 1 : whole;
		ck_assert_uint_eq(mx_site_name(&answer, site, size), fits);
		ck_assert_uint_eq(strlen(site), fits);
		ck_assert_int_eq(strncmp(site, sites[4].site, fits), 0);
		free(site);
	}
}
END_TEST

START_TEST(as_many_hosts_and_labels_as_there_can_be)
{
	struct mx_answer answer = {.status = MX_FOUND, .hosts = hosts, .host_count = MX_HOSTS_MAX};
	for (int host = 0; host < MX_HOSTS_MAX; host++) {
		for (int label = 0; label < 127; label++)
			snprintf(hosts[host].name + label * 2, 3, "%c.", 'a' + host % 26);
		hosts[host].name[253] = '\0';
	}
	static char site[65536];
	size_t len = mx_site_name(&answer, site, sizeof(site));
	/* "(a|b|…|z)" 127 times, with dots between. */
	ck_assert_uint_eq(len, 127 * 53 + 126);
	ck_assert_int_eq(strncmp(site, "(a|b|c|", 7), 0);
}
END_TEST

static struct in6_addr address_of(const char *text)
{
	struct in6_addr address;
	ck_assert_msg(mapped_read(text, &address), "%s", text);
	return address;
}

static const struct {
	const char *address;
	bool has;
} belongs[] = {
	{"192.0.2.1", true},
	{"::ffff:192.0.2.1", true},
	{"198.51.100.7", true}, /* written as v4-mapped in the answer */
	{"2001:db8::1", true},
	{"192.0.2.2", false},
	{"::192.0.2.1", false},
	{"2001:db8::2", false},
	{"::", false},
};

START_TEST(addresses_belong_whatever_their_form)
{
	struct in6_addr addresses[] = {
		address_of("192.0.2.1"), address_of("2001:db8::1"), address_of("::ffff:198.51.100.7")};
	const struct mx_answer answer = {.status = MX_FOUND, .addresses = addresses, .address_count = 3};
	struct in6_addr address = address_of(belongs[_i].address);
	ck_assert_int_eq(mx_has_address(&answer, &address), belongs[_i].has);
	const struct mx_answer none = {.status = MX_NULL};
	ck_assert(!mx_has_address(&none, &address));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mx");
	TCase *tcase = tcase_create("mx");
	tcase_add_loop_test(tcase, hosts_fold_into_a_site, 0, sizeof(sites) / sizeof(sites[0]));
	tcase_add_test(tcase, a_site_is_cut_to_any_size);
	tcase_add_test(tcase, as_many_hosts_and_labels_as_there_can_be);
	tcase_add_loop_test(
		tcase, addresses_belong_whatever_their_form, 0, sizeof(belongs) / sizeof(belongs[0]));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
