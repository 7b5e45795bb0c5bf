#include "conf_block.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static const struct {
	const char *text;
	const char *printed;
} good[] = {
	{"192.0.2.0/24", "192.0.2.0/24"},
	{"192.0.2.1", "192.0.2.1"},
	{"192.0.2.1/32", "192.0.2.1"},
	{"0.0.0.0", "0.0.0.0"},
	{"128.0.0.0/1", "128.0.0.0/1"},
	{"203.0.113.254/31", "203.0.113.254/31"},
	{"2001:db8::/32", "2001:db8::/32"},
	{"2001:DB8:0:0::1", "2001:db8::1"},
	{"2001:db8::1/128", "2001:db8::1"},
	{"::", "::"},
	{"8000::/1", "8000::/1"},
	{"fe80::/10", "fe80::/10"},
	{"::192.0.2.1", "::192.0.2.1"},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"},
};

START_TEST(good_block_prints_canonically)
{
	struct conf_block block;
	struct err err = {.text = "untouched"};
	ck_assert_int_eq(conf_block_parse(good[_i].text, &block, &err), 0);
	ck_assert_str_eq(err.text, "untouched");
	char text[CONF_BLOCK_TEXT_MAX];
	conf_block_format(&block, text);
	ck_assert_str_eq(text, good[_i].printed);
	struct conf_block again;
	ck_assert_int_eq(conf_block_parse(text, &again, &err), 0);
	ck_assert_int_eq(conf_block_compare(&block, &again), 0);
}
END_TEST

static const struct {
	const char *text;
	const char *says; /* what the error must hold */
} bad[] = {
	{"192.168.1.7/24", "write \"192.168.1.0/24\" for the block or \"192.168.1.7\""},
	{"192.0.2.1/31", "write \"192.0.2.0/31\""},
	{"2001:db8::1/32", "write \"2001:db8::/32\" for the block or \"2001:db8::1\""},
	{"::ffff:192.0.2.0/120", "v4-mapped address; write \"192.0.2.0/24\""},
	{"::ffff:192.0.2.7/120", "v4-mapped address; write \"192.0.2.0/24\""},
	{"::ffff:192.0.2.1", "v4-mapped address; write \"192.0.2.1\""},
	{"::ffff:c000:201", "v4-mapped address; write \"192.0.2.1\""},
	{"::ffff:0:0/96", "every IPv4 address"},
	{"0.0.0.0/0", "every IPv4 address: it would switch the protection off"},
	{"192.0.2.1/0", "every IPv4 address"},
	{"::/0", "every IPv6 address: it would switch the protection off"},
	{"192.0.2.0/33", "a number from 1 to 32"},
	{"2001:db8::/129", "a number from 1 to 128"},
	{"192.0.2.0/", "bad prefix length"},
	{"192.0.2.0/-1", "bad prefix length"},
	{"192.0.2.0/+24", "bad prefix length"},
	{"192.0.2.0/24 ", "bad prefix length"},
	{"192.0.2.0/0024", "bad prefix length"},
	{"192.0.2.0/24/24", "bad prefix length"},
	{"192.0.2.0/255.255.255.0", "bad prefix length"},
	{"", "not an address or block"},
	{"/24", "not an address or block"},
	{"192.0.2", "not an address or block"},
	{"192.0.2.256", "not an address or block"},
	{"192.0.02.1", "not an address or block"},
	{" 192.0.2.1", "not an address or block"},
	{"mx.example.com", "names are not resolved"},
	{"fe80::1%eth0", "not an address or block"},
	{"[2001:db8::1]", "not an address or block"},
	{"2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:1", "not an address or block"},
};

START_TEST(bad_block_is_refused_with_remedy)
{
	struct conf_block block = {.prefix = 99};
	struct err err = {.text = ""};
	ck_assert_int_eq(conf_block_parse(bad[_i].text, &block, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, bad[_i].says), "%s", err.text);
	ck_assert_int_eq(block.prefix, 99);
}
END_TEST

#define MERGE_MAX 8

static const struct {
	const char *in[MERGE_MAX];
	const char *out[MERGE_MAX];
} merges[] = {
	{{NULL}, {NULL}},
	{{"192.0.2.0/24"}, {"192.0.2.0/24"}},
	{{"192.0.2.1", "192.0.2.1", "192.0.2.1"}, {"192.0.2.1"}},
	{{"192.0.2.77", "192.0.2.0/24", "192.0.2.0/25"}, {"192.0.2.0/24"}},
	{{"2001:db8::/32", "203.0.113.0/24", "192.0.2.0/24"},
		{"192.0.2.0/24", "203.0.113.0/24", "2001:db8::/32"}},
	/* Halves become the whole, as far as it goes; neighbours that are no halves stay. */
	{{"192.0.2.128/25", "192.0.2.0/25"}, {"192.0.2.0/24"}},
	{{"192.0.2.0/26", "192.0.2.64/26", "192.0.2.128/25"}, {"192.0.2.0/24"}},
	{{"192.0.2.1", "192.0.2.2"}, {"192.0.2.1", "192.0.2.2"}},
	{{"192.0.2.1", "192.0.2.0/25", "192.0.2.128/25", "192.0.2.200"}, {"192.0.2.0/24"}},
	{{"2001:db8:8000::/33", "2001:db8::/33"}, {"2001:db8::/32"}},
	{{"0.0.0.0/1", "128.0.0.0/1"}, {"0.0.0.0/0"}},
	{{"8000::/1", "4000::/2", "::/2"}, {"::/0"}},
	/* The same bytes in the two families are not the same addresses. */
	{{"128.0.0.0/1", "::/1"}, {"128.0.0.0/1", "::/1"}},
};

START_TEST(merge_leaves_the_fewest)
{
	struct conf_block blocks[MERGE_MAX];
	size_t count = 0;
	for (; merges[_i].in[count]; count++)
		ck_assert_int_eq(conf_block_parse(merges[_i].in[count], &blocks[count], NULL), 0);
	count = conf_block_merge(blocks, count);
	for (size_t i = 0; i < count; i++) {
		char text[CONF_BLOCK_TEXT_MAX];
		conf_block_format(&blocks[i], text);
		ck_assert_ptr_nonnull(merges[_i].out[i]);
		ck_assert_str_eq(text, merges[_i].out[i]);
	}
	ck_assert_ptr_null(merges[_i].out[count]);
}
END_TEST

static bool covers(const struct conf_block *blocks, size_t count, uint8_t low)
{
	for (size_t i = 0; i < count; i++) {
		unsigned span = 1u << (32 - blocks[i].prefix);
		if (low >= blocks[i].address[3] && low < blocks[i].address[3] + span)
			return true;
	}
	return false;
}

/* Random blocks within one /24: the same 256 addresses are covered before and after, in order. */
START_TEST(merge_keeps_the_addresses)
{
	srand(1);
	for (unsigned round = 0; round < 2000; round++) {
		struct conf_block before[12], after[12];
		size_t count = 1 + (unsigned)rand() % 12;
		for (size_t i = 0; i < count; i++) {
			uint8_t prefix = (uint8_t)(25 + rand() % 8);
			uint8_t low = (uint8_t)(rand() & 0xff << (32 - prefix));
			before[i] = (struct conf_block){AF_INET, prefix, {192, 0, 2, low}};
		}
		memcpy(after, before, sizeof(after));
		size_t left = conf_block_merge(after, count);
		for (unsigned low = 0; low < 256; low++)
			ck_assert_int_eq(
				covers(before, count, (uint8_t)low), covers(after, left, (uint8_t)low));
		for (size_t i = 1; i < left; i++) {
			unsigned end = after[i - 1].address[3] + (1u << (32 - after[i - 1].prefix));
			ck_assert_uint_le(end, after[i].address[3]);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conf_block");
	TCase *tcase = tcase_create("conf_block");
	tcase_add_loop_test(tcase, good_block_prints_canonically, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tcase, bad_block_is_refused_with_remedy, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(tcase, merge_leaves_the_fewest, 0, sizeof(merges) / sizeof(merges[0]));
	tcase_add_test(tcase, merge_keeps_the_addresses);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
