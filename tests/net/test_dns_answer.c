#include "dns_answer.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define LABEL_63 "aaaaaaaaabbbbbbbbbccccccccceeeeeeeeefffffffffggggggggghhhhhhhhh"

static const struct {
	const char *name, *folded;
} names[] = {
	{"mx.example", "mx.example"},
	{"MX-1_a.Example", "mx-1_a.example"},
	{"localhost", "localhost"},
	{"192.0.2.1", "192.0.2.1"},
	{LABEL_63, LABEL_63},
	{LABEL_63 "." LABEL_63 "." LABEL_63 "."
		  "a234567890123456789012345678901234567890123456789012345678901",
		LABEL_63 "." LABEL_63 "." LABEL_63 "."
			 "a234567890123456789012345678901234567890123456789012345678901"},
	{LABEL_63 "." LABEL_63 "." LABEL_63 "."
		  "a2345678901234567890123456789012345678901234567890123456789012",
		NULL},
	{"a" LABEL_63, NULL},
	{"", NULL},
	{".", NULL},
	{"mx.example.", NULL},
	{".mx.example", NULL},
	{"mx..example", NULL},
	{"mx example", NULL},
	{"mx\r\nexample", NULL},
	{"mx\\.example", NULL},
	{"*.example", NULL},
	{"m\xc3\xbcx.example", NULL},
	{"mx.example/x", NULL},
	{"mx:25", NULL},
	{"[192.0.2.1]", NULL},
};

START_TEST(names_are_folded_or_refused)
{
	char folded[DNS_NAME_MAX + 1];
	int len = dns_name_fold(span_of(names[_i].name), folded);
	if (!names[_i].folded) {
		ck_assert_int_eq(len, -EINVAL);
		return;
	}
	ck_assert_int_eq(len, (int)strlen(names[_i].folded));
	ck_assert_str_eq(folded, names[_i].folded);
}
END_TEST

START_TEST(names_with_a_nul_are_refused)
{
	char folded[DNS_NAME_MAX + 1];
	ck_assert_int_eq(dns_name_fold((struct span){"a\0b.example", 11}, folded), -EINVAL);
}
END_TEST

/*
 * A record as the tables write it: rdata of MX is "preference name", of others an address, a name, or
 * "hex:…".
 */
struct row {
	const char *owner;
	int class, type;
	uint32_t ttl;
	const char *data;
};

static struct {
	uint8_t bytes[65536];
	size_t len;
} message;

static void put(unsigned value, int bytes)
{
	for (int i = bytes; i-- > 0;)
		message.bytes[message.len++] = (uint8_t)(value >> 8 * i);
}

static void put_name(const char *name)
{
	for (size_t len; *name && strcmp(name, ".") != 0; name += len + (name[len] == '.')) {
		len = strcspn(name, ".");
		put((unsigned)len, 1);
		memcpy(message.bytes + message.len, name, len);
		message.len += len;
	}
	put(0, 1);
}

static void put_data(const struct row *row)
{
	char *rest;
	if (strncmp(row->data, "hex:", 4) == 0) {
		for (const char *at = row->data + 4; *at; at += 2) {
			unsigned byte;
			ck_assert_int_eq(sscanf(at, "%2x", &byte), 1);
			put(byte, 1);
		}
	} else if (row->type == ns_t_mx) {
		put((unsigned)strtoul(row->data, &rest, 10), 2);
		put_name(rest + 1);
	} else if (row->type == ns_t_cname) {
		put_name(row->data);
	} else {
		int family = row->type == ns_t_a ? AF_INET : AF_INET6;
		ck_assert_int_eq(inet_pton(family, row->data, message.bytes + message.len), 1);
		message.len += family == AF_INET ? 4 : 16;
	}
}

static void put_row(const struct row *row)
{
	put_name(row->owner);
	put((unsigned)row->type, 2);
	put((unsigned)row->class, 2);
	put(row->ttl, 4);
	size_t len_at = message.len;
	put(0, 2);
	put_data(row);
	size_t end = message.len;
	message.len = len_at;
	put((unsigned)(end - len_at - 2), 2);
	message.len = end;
	unsigned count = (unsigned)(message.bytes[6] << 8 | message.bytes[7]) + 1;
	message.bytes[6] = (uint8_t)(count >> 8);
	message.bytes[7] = (uint8_t)count;
}

static void put_question(const char *name, int type)
{
	message.len = 0;
	put(0x1234, 2);
	put(0x8180, 2);
	put(1, 2);
	put(0, 2);
	put(0, 4);
	put_name(name);
	put((unsigned)type, 2);
	put(ns_c_in, 2);
}

static struct span message_span(void)
{
	return (struct span){(const char *)message.bytes, message.len};
}

/* What the message says, in words. */
static const char *describe(struct span in, ns_type type)
{
	static char text[65536];
	struct dns_answer answer;
	struct dns_record record;
	size_t len = 0;
	if (dns_answer_open(&answer, in, type) < 0)
		return "malformed";
	int more;
	while ((more = dns_answer_next(&answer, &record)) > 0) {
		char address[INET6_ADDRSTRLEN];
		if (type == ns_t_mx)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%u %s, ", record.preference,
				record.host[0] ? record.host : "(root)");
		else
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s, ",
				inet_ntop(type == ns_t_a ? AF_INET : AF_INET6, record.address, address,
					sizeof(address)));
	}
	if (more < 0)
		return "malformed record";
	snprintf(text + len, sizeof(text) - len, "%u%s%s", answer.ttl, answer.nonsense ? " nonsense" : "",
		answer.cut ? " cut" : "");
	return text;
}

#define ROWS 6
#define IN   ns_c_in

static const struct {
	ns_type type; /* of the question, for www.example */
	struct row rows[ROWS];
	const char *says;
} answers[] = {
	{ns_t_a, {{NULL}}, "4294967295"},
	{ns_t_a,
		{{"www.example", IN, ns_t_a, 300, "192.0.2.1"}, {"WWW.Example", IN, ns_t_a, 60, "192.0.2.2"}},
		"192.0.2.1, 192.0.2.2, 60"},
	{ns_t_aaaa,
		{{"www.example", IN, ns_t_aaaa, 300, "2001:db8::1"},
			{"www.example", IN, ns_t_a, 1, "192.0.2.1"}},
		"2001:db8::1, 300"},
	{ns_t_mx,
		{{"www.example", IN, ns_t_mx, 300, "10 MX.example"}, {"www.example", IN, ns_t_mx, 9, "0 ."}},
		"10 mx.example, 0 (root), 9"},
	/* A TTL with the first bit set counts as 0 (RFC 2181 8). */
	{ns_t_a, {{"www.example", IN, ns_t_a, 0x80000000, "192.0.2.1"}}, "192.0.2.1, 0"},
	/* Records that nobody asked for. */
	{ns_t_a,
		{{"www.bank.example", IN, ns_t_a, 1, "192.0.2.66"},
			{"www.example", IN, ns_t_a, 300, "192.0.2.1"}},
		"192.0.2.1, 300"},
	{ns_t_a, {{"www.example", ns_c_chaos, ns_t_a, 1, "192.0.2.66"}}, "4294967295"},
	{ns_t_a,
		{{"www.bank.example", IN, ns_t_cname, 1, "www.example"},
			{"www.example", IN, ns_t_a, 300, "192.0.2.1"}},
		"192.0.2.1, 300"},
	/* CNAMEs, in any order; what stands beside one does not count. */
	{ns_t_a,
		{{"www.example", IN, ns_t_cname, 50, "a.example"},
			{"a.example", IN, ns_t_cname, 40, "B.example"},
			{"b.example", IN, ns_t_a, 300, "192.0.2.1"}},
		"192.0.2.1, 40"},
	{ns_t_a,
		{{"b.example", IN, ns_t_a, 300, "192.0.2.1"}, {"a.example", IN, ns_t_cname, 40, "b.example"},
			{"www.example", IN, ns_t_cname, 50, "a.example"},
			{"www.example", IN, ns_t_a, 1, "192.0.2.66"}},
		"192.0.2.1, 40"},
	{ns_t_a, {{"www.example", IN, ns_t_cname, 50, "gone.example"}}, "50"},
	{ns_t_a, {{"www.example", IN, ns_t_cname, 50, "www.example"}}, "malformed"},
	{ns_t_a,
		{{"www.example", IN, ns_t_cname, 50, "a.example"},
			{"a.example", IN, ns_t_cname, 50, "www.example"},
			{"www.example", IN, ns_t_a, 300, "192.0.2.1"}},
		"malformed"},
	{ns_t_a, {{"www.example", IN, ns_t_cname, 50, "hex:0161016200ff"}}, "malformed"},
	{ns_t_a, {{"www.example", IN, ns_t_cname, 50, "hex:"}}, "malformed"},
	/* Lengths that cannot be, and names that are none. */
	{ns_t_a,
		{{"www.example", IN, ns_t_a, 300, "hex:c0000201ff"},
			{"www.example", IN, ns_t_a, 300, "192.0.2.2"}},
		"192.0.2.2, 300 nonsense"},
	{ns_t_aaaa, {{"www.example", IN, ns_t_aaaa, 300, "hex:c0000201"}}, "4294967295 nonsense"},
	{ns_t_mx, {{"www.example", IN, ns_t_mx, 300, "hex:000a"}}, "4294967295 nonsense"},
	{ns_t_mx, {{"www.example", IN, ns_t_mx, 300, "hex:000a016100ff"}}, "4294967295 nonsense"},
	{ns_t_mx, {{"www.example", IN, ns_t_mx, 300, "hex:000a0161c0ff"}}, "4294967295 nonsense"},
	{ns_t_mx, {{"www.example", IN, ns_t_mx, 300, "10 a b.example"}}, "4294967295 nonsense"},
	/* A pointer to the question's name is fine, one to itself is not. */
	{ns_t_mx, {{"www.example", IN, ns_t_mx, 300, "hex:000ac00c"}}, "10 www.example, 300"},
	{ns_t_mx, {{".", IN, ns_t_mx, 300, "hex:000a01"}}, "4294967295"},
};

START_TEST(answers_say_what_they_may)
{
	put_question("www.example", (int)answers[_i].type);
	for (int i = 0; i < ROWS && answers[_i].rows[i].owner; i++)
		put_row(&answers[_i].rows[i]);
	ck_assert_str_eq(describe(message_span(), answers[_i].type), answers[_i].says);
}
END_TEST

START_TEST(an_endless_answer_is_cut)
{
	put_question("www.example", ns_t_a);
	const struct row row = {"www.example", IN, ns_t_a, 300, "192.0.2.1"};
	for (int i = 0; i < 2 * DNS_RECORDS_MAX; i++)
		put_row(&row);
	const char *says = describe(message_span(), ns_t_a);
	ck_assert_uint_eq(strlen(says), DNS_RECORDS_MAX * strlen("192.0.2.1, ") + strlen("300 cut"));
}
END_TEST

static void put_whole(void)
{
	static const struct row rows[] = {
		{"www.example", IN, ns_t_cname, 50, "a.example"},
		{"a.example", IN, ns_t_mx, 300, "10 mx.example"},
		{"a.example", IN, ns_t_mx, 300, "20 mx2.example"},
	};
	put_question("www.example", ns_t_mx);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put_row(&rows[i]);
}

START_TEST(questions_that_are_not_one_are_malformed)
{
	put_whole();
	message.bytes[5] = 0;
	ck_assert_str_eq(describe(message_span(), ns_t_mx), "malformed");
	put_whole();
	message.bytes[5] = 2;
	ck_assert_str_eq(describe(message_span(), ns_t_mx), "malformed");
}
END_TEST

/* In a block of the exact size, so that the address sanitizer sees a read past it. */
static const char *describe_block(size_t len)
{
	char *block = malloc(len ? len : 1);
	memcpy(block, message.bytes, len);
	const char *says = describe((struct span){block, len}, ns_t_mx);
	free(block);
	return says;
}

START_TEST(what_is_cut_short_is_malformed)
{
	put_whole();
	ck_assert_str_eq(describe_block(message.len), "10 mx.example, 20 mx2.example, 50");
	for (size_t len = 0; len < message.len; len++)
		ck_assert_str_eq(describe_block(len), "malformed");
}
END_TEST

/* Whatever the bytes, hosts are names that may stand in a reply. */
START_TEST(noise_gives_no_name_that_is_none)
{
	uint64_t noise = 1;
	for (int i = 0; i < 50000; i++) {
		put_whole();
		for (int flips = 1 + i % 4; flips > 0; flips--) {
			noise = noise * 6364136223846793005u + 1442695040888963407u;
			message.bytes[12 + (noise >> 33) % (message.len - 12)] = (uint8_t)(noise >> 56);
		}
		for (const char *c = describe_block(message.len); *c; c++)
			ck_assert_msg(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_. ,()", *c) != NULL,
				"byte 0x%02x", *c);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_answer");
	TCase *tcase = tcase_create("dns_answer");
	tcase_add_loop_test(tcase, names_are_folded_or_refused, 0, sizeof(names) / sizeof(names[0]));
	tcase_add_test(tcase, names_with_a_nul_are_refused);
	tcase_add_loop_test(tcase, answers_say_what_they_may, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(tcase, an_endless_answer_is_cut);
	tcase_add_test(tcase, questions_that_are_not_one_are_malformed);
	tcase_add_test(tcase, what_is_cut_short_is_malformed);
	tcase_add_test(tcase, noise_gives_no_name_that_is_none);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
