#include "canary_range.h"

#include <arpa/inet.h>
#include <check.h>

#include "conf_block.h"
#include "suite.h"

/* What is excluded, what is the host's own, and the first canary's address. */
static const struct {
	uint8_t family;
	const char *exclude[3], *own[2], *first;
} rows[] = {
	{AF_INET, {0}, {0}, "198.51.100.1"},
	{AF_INET6, {0}, {0}, "2001:db8:25::1"},
	/* A part of a range, and more than a range, both rule it out; others do not. */
	{AF_INET, {"198.51.100.128/26"}, {0}, "203.0.113.1"},
	{AF_INET, {"198.51.100.255"}, {0}, "203.0.113.1"},
	{AF_INET, {"198.48.0.0/12"}, {0}, "203.0.113.1"},
	{AF_INET, {"198.51.101.0/24", "10.0.0.0/8", "198.51.99.0/24"}, {0}, "198.51.100.1"},
	{AF_INET, {"198.51.100.0/24", "203.0.112.0/23"}, {0}, "192.0.2.1"},
	{AF_INET, {"198.51.100.0/24", "203.0.113.7", "192.0.0.0/8"}, {0}, NULL},
	{AF_INET6, {"2001:db8:25::19"}, {0}, "2001:db8:2525::1"},
	{AF_INET6, {"2001:db8:25:1::/64"}, {0}, "2001:db8:25::1"},
	{AF_INET6, {"2001:db8::/32"}, {0}, NULL},
	/* What belongs to the host is not diverted. */
	{AF_INET, {0}, {"198.51.100.77", "203.0.113.1"}, "192.0.2.1"},
	{AF_INET, {0}, {"2001:db8:25::1"}, "198.51.100.1"},
	{AF_INET6, {0}, {"2001:db8:25::ffff"}, "2001:db8:2525::1"},
};

START_TEST(range_is_outside_of_what_is_left_alone)
{
	struct conf_block blocks[3];
	struct address own[2] = {{0}};
	struct conf conf = {.divert.exclude = blocks};
	struct err err;
	size_t own_count = 0;
	for (size_t i = 0; i < 3 && rows[_i].exclude[i]; i++)
		ck_assert_int_eq(
			conf_block_parse(rows[_i].exclude[i], &blocks[conf.divert.exclude_count++], &err), 0);
	for (; own_count < 2 && rows[_i].own[own_count]; own_count++) {
		own[own_count].family = rows[_i].own[own_count][4] == ':' ? AF_INET6 : AF_INET;
		ck_assert_int_eq(
			inet_pton(own[own_count].family, rows[_i].own[own_count], own[own_count].bytes), 1);
	}
	struct canary_range range = canary_range_choose(rows[_i].family, &conf, own, own_count);
	if (!rows[_i].first) {
		ck_assert_uint_eq(range.block.family, 0);
		return;
	}
	char text[ADDRESS_TEXT_MAX];
	struct address first = canary_range_address(&range, 0);
	address_format(&first, text);
	ck_assert_str_eq(text, rows[_i].first);
}
END_TEST

START_TEST(addresses_are_all_different)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct conf conf = {0};
	for (size_t f = 0; f < 2; f++) {
		struct canary_range range = canary_range_choose(families[f], &conf, NULL, 0);
		struct address source = canary_range_source(&range);
		for (size_t i = 0; i < CANARY_RANGE_SIZE; i++) {
			struct address one = canary_range_address(&range, i);
			ck_assert(!address_equal(&one, &source));
			for (size_t j = 0; j < i; j++) {
				struct address other = canary_range_address(&range, j);
				ck_assert(!address_equal(&one, &other));
			}
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("canary_range");
	TCase *tcase = tcase_create("canary_range");
	tcase_add_loop_test(tcase, range_is_outside_of_what_is_left_alone, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tcase, addresses_are_all_different);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
