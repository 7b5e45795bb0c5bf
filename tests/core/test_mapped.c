#include "mapped.h"

#include <check.h>
#include <stdlib.h>

#include "suite.h"

/* As it is written, and how it is shown; NULL: it is none. */
static const struct {
	const char *text, *shown;
	size_t len;
} addresses[] = {
	{"192.0.2.1", "192.0.2.1", 4},
	{"::ffff:192.0.2.1", "192.0.2.1", 4},
	{"::FFFF:c000:201", "192.0.2.1", 4},
	{"2001:DB8:0::1", "2001:db8::1", 16},
	{"::192.0.2.1", "::192.0.2.1", 16},
	{"0.0.0.0", "0.0.0.0", 4},
	{"::", "::", 16},
	{"192.0.2", NULL, 0},
	{"192.0.2.256", NULL, 0},
	{"2001:db8::1/64", NULL, 0},
	{"[2001:db8::1]", NULL, 0},
	{"mx.example", NULL, 0},
	{"", NULL, 0},
};

START_TEST(both_families_have_one_form)
{
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];
	ck_assert_int_eq(mapped_read(addresses[_i].text, &address), addresses[_i].shown != NULL);
	if (!addresses[_i].shown)
		return;
	struct span bytes = mapped_bytes(&address);
	ck_assert_uint_eq(bytes.len, addresses[_i].len);
	ck_assert_str_eq(mapped_text(&address, text), addresses[_i].shown);
	if (bytes.len != 4)
		return;
	struct in6_addr again = mapped_v4(bytes.data);
	ck_assert(IN6_ARE_ADDR_EQUAL(&again, &address));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mapped");
	TCase *tcase = tcase_create("mapped");
	tcase_add_loop_test(tcase, both_families_have_one_form, 0, sizeof(addresses) / sizeof(addresses[0]));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
