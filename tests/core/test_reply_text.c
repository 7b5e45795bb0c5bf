#include "reply_text.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define S(text)                        \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct reply_facts facts = {
	.ip = S("192.0.2.7"),
	.from = S("a@example.org"),
	.rcpt = S("b@example.com"),
	.domain = S("example.com"),
	.mx = S("mx1.example.net"),
	.id = S("x7f3"),
	.date = S("2026-08-04"),
};

static const struct {
	const char *text;
	const char *filled;
} fills[] = {
	{"", ""},
	{"No such user", "No such user"},
	{"{ip}", "192.0.2.7"},
	{"[{ip}] {from} {rcpt} {domain} {mx} {id} {date}",
		"[192.0.2.7] a@example.org b@example.com example.com mx1.example.net x7f3 2026-08-04"},
	{"{ip}{ip}", "192.0.2.7192.0.2.7"},
	{"{{ip}}", "{ip}"},
	{"{{{ip}}}", "{192.0.2.7}"},
	{"}}{{", "}{"},
	{"one\ntwo {ip}\nthree", "one\ntwo 192.0.2.7\nthree"},
	{"bo\xc3\xaete {ip}", "bo\xc3\xaete 192.0.2.7"},
};

START_TEST(placeholders_are_filled)
{
	char to[256];
	ck_assert_int_eq(reply_text_check(fills[_i].text, NULL), 0);
	size_t len = reply_text_fill(fills[_i].text, &facts, to, sizeof(to));
	ck_assert_uint_eq(len, strlen(fills[_i].filled));
	ck_assert_mem_eq(to, fills[_i].filled, len);
}
END_TEST

static const struct {
	struct span fact;
	const char *shown;
} peers[] = {
	{S("a\r\n250 ok"), "a??250 ok"},
	{S("a\0b"), "a?b"},
	{S("\x1b[2J"), "?[2J"},
	{S("\x7f\t"), "??"},
	{S("{ip}"), "{ip}"},
	{S("d\xc3\xbc@example.com"), "d\xc3\xbc@example.com"},
	{S("\xe2\x82\xac \xf0\x9f\x93\xa7"), "\xe2\x82\xac \xf0\x9f\x93\xa7"},
	/* Half a character, one too long for itself, a stray byte, what no character begins with. */
	{S("\xc3"), "?"},
	{S("\xe2\x82"), "??"},
	{S("\xc0\x80"), "??"},
	{S("\x80x"), "?x"},
	{S("\xff\xfe"), "??"},
	{S("\xed\xa0\x80"), "???"},
};

START_TEST(facts_break_nothing)
{
	char to[64];
	struct reply_facts given = {.rcpt = peers[_i].fact};
	size_t len = reply_text_fill("<{rcpt}>", &given, to, sizeof(to));
	ck_assert_uint_eq(len, strlen(peers[_i].shown) + 2);
	ck_assert_mem_eq(to + 1, peers[_i].shown, len - 2);
	ck_assert_int_eq(to[len - 1], '>');
}
END_TEST

/* Whatever the room, what comes out is the front of the whole, cut between characters. */
START_TEST(room_is_kept_to)
{
	static const char text[] = "\xe2\x82\xac{rcpt}{{x";
	struct reply_facts given = {.rcpt = S("d\xc3\xbc")};
	static const char whole[] = "\xe2\x82\xac"
				    "d\xc3\xbc{x";
	static const size_t lens[] = {0, 0, 0, 3, 4, 4, 6, 7, 8, 8};
	for (size_t size = 0; size < sizeof(lens) / sizeof(lens[0]); size++) {
		char *to = malloc(size ? size : 1);
		ck_assert_ptr_nonnull(to);
		ck_assert_uint_eq(reply_text_fill(text, &given, to, size), lens[size]);
		ck_assert_mem_eq(to, whole, lens[size]);
		free(to);
	}
}
END_TEST

static char line_400[402], line_401[403], lines_21[64], long_text[2048];

static const struct {
	const char *text;
	const char *says;
} mistakes[] = {
	{"{ipp}", "unknown placeholder {ipp} (did you mean {ip}?)"},
	{"{domian}", "unknown placeholder {domian} (did you mean {domain}?)"},
	{"{banana}",
		"unknown placeholder {banana}; there are {ip}, {from}, {rcpt}, {domain}, {mx}, {id}, {date}, "
		"and {{ for a brace"},
	{"{}", "unknown placeholder {}"},
	{"{ip", "an open brace; close the placeholder, or write {{ for a brace"},
	{"{", "an open brace"},
	{"{ip\n}", "an open brace"},
	{"{ {ip}", "an open brace"},
	{"ip}", "a closing brace without an opening one; write }} for a brace"},
	{"{{ip}", "a closing brace"},
	{"a\r\nb", "a CR would break the reply; divide lines by \\n alone"},
	{"a\tb", "control character 0x09"},
	{"a\x7f", "control character 0x7f"},
	{"\xc3", "bytes that are no UTF-8"},
	{line_401, "a line is longer than 400 bytes"},
	{lines_21, "longer than the 1600 bytes or 20 lines"},
	{long_text, "longer than the 1600 bytes or 20 lines"},
};

START_TEST(mistakes_are_told)
{
	struct err err = {.text = ""};
	memset(line_401, 'x', 401);
	memset(lines_21, '\n', 20);
	for (size_t i = 0; i < 1700; i++)
		long_text[i] = i % 300 == 299 ? '\n' : 'x';
	ck_assert_int_eq(reply_text_check(mistakes[_i].text, &err), -EINVAL);
	ck_assert_msg(strncmp(err.text, mistakes[_i].says, strlen(mistakes[_i].says)) == 0, "%s", err.text);
}
END_TEST

START_TEST(longest_line_is_taken)
{
	memset(line_400, 'x', 400);
	ck_assert_int_eq(reply_text_check(line_400, NULL), 0);
	line_400[200] = '\n';
	ck_assert_int_eq(reply_text_check(line_400, NULL), 0);
}
END_TEST

#define ROWS(table) sizeof(table) / sizeof((table)[0])

int main(void)
{
	Suite *suite = suite_create("reply_text");
	TCase *tcase = tcase_create("reply_text");
	tcase_add_loop_test(tcase, placeholders_are_filled, 0, ROWS(fills));
	tcase_add_loop_test(tcase, facts_break_nothing, 0, ROWS(peers));
	tcase_add_test(tcase, room_is_kept_to);
	tcase_add_loop_test(tcase, mistakes_are_told, 0, ROWS(mistakes));
	tcase_add_test(tcase, longest_line_is_taken);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
