#include "smtp_text.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "suite.h"

/* A path and what is left behind it; domain NULL where the path is refused. */
static const struct {
	const char *text;
	const char *local, *domain, *mailbox, *rest;
} paths[] = {
	{"<ann@example.com>", "ann", "example.com", "ann@example.com", ""},
	{"<ann@example.com> SIZE=1", "ann", "example.com", "ann@example.com", " SIZE=1"},
	{"<>", "", "", "", ""},
	{"<postmaster>", "postmaster", "", "postmaster", ""},
	{"<@a.example,@b.example:ann@example.com>", "ann", "example.com", "ann@example.com", ""},
	{"<\"a b\\\"c@d\"@example.com>", "\"a b\\\"c@d\"", "example.com", "\"a b\\\"c@d\"@example.com", ""},
	{"<@a.example,@b.example:postmaster>", "postmaster", "", "postmaster", ""},
	{"<ann@[192.0.2.1]>", "ann", "[192.0.2.1]", "ann@[192.0.2.1]", ""},
	{"<ann@[ipv6:2001:db8::1]>", "ann", "[ipv6:2001:db8::1]", "ann@[ipv6:2001:db8::1]", ""},
	{"<a!#$%&'*+-/=?^_`{|}~b@x>", "a!#$%&'*+-/=?^_`{|}~b", "x", "a!#$%&'*+-/=?^_`{|}~b@x", ""},
	{"<\xc3\xbc@\xc3\xbc.example>", "\xc3\xbc", "\xc3\xbc.example", "\xc3\xbc@\xc3\xbc.example", ""},
	{.text = ""},
	{.text = "<"},
	{.text = "ann@example.com"},
	{.text = "<ann@example.com"},
	{.text = "<ann@>"},
	{.text = "<@example.com>"},
	{.text = "<@a.example:>"},
	{.text = "<@a.example,ann@example.com>"},
	{.text = "<@a.example,"},
	{.text = "<ann@example.com@example.com>"},
	{.text = "<.ann@example.com>"},
	{.text = "<ann.@example.com>"},
	{.text = "<an n@example.com>"},
	{.text = "<ann@exa mple.com>"},
	{.text = "<ann@example.com.>"},
	{.text = "<ann@-example.com>"},
	{.text = "<ann@example-.com>"},
	{.text = "<ann@exam_ple.com>"},
	{.text = "<\"ann@example.com>"},
	{.text = "<\"ann\\"},
	{.text = "<ann@[192.0.2.1>"},
	{.text = "<ann@[]>"},
	{.text = "<ann@[2001:db8::1]>"},
	{.text = "<ann@[IPv6:192.0.2.1]>"},
	{.text = "<ann@[IPv6:2001:db8:0000:0000:0000:0000:0000:0001:0000:0000:0000]>"},
	/* A label of 64. */
	{.text = "<a@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.example>"},
};

static void assert_span(struct span got, const char *wanted)
{
	ck_assert_msg(
		span_equal(got, span_of(wanted)), "`%.*s`, expected `%s`", (int)got.len, got.data, wanted);
}

/* A copy of exactly that size, so that the address sanitizer sees a read past it. */
static struct span exact_copy(const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	return (struct span){copy, len};
}

START_TEST(paths_come_apart)
{
	struct span text = exact_copy(paths[_i].text), rest = text;
	struct smtp_path path;
	int rc = smtp_text_path(&rest, &path);
	if (paths[_i].domain) {
		ck_assert_msg(rc == 0, "`%s` is refused", paths[_i].text);
		assert_span(path.local, paths[_i].local);
		assert_span(path.domain, paths[_i].domain);
		assert_span(path.mailbox, paths[_i].mailbox);
		/* Also an empty domain lies in the mailbox, which callers move as a whole. */
		ck_assert(path.domain.data >= path.mailbox.data);
		assert_span(rest, paths[_i].rest);
	} else {
		ck_assert_msg(rc == -EINVAL, "`%s` is accepted", paths[_i].text);
		ck_assert_ptr_eq(rest.data, text.data);
	}
	free((char *)text.data);
}
END_TEST

START_TEST(a_domain_has_at_most_255_octets)
{
	for (int extra = 0; extra < 2; extra++) {
		char text[300] = "<a@";
		for (int i = 0; i < 127; i++)
			strcat(text, "x.");
		strcat(text, extra ? "xx>" : "x>");
		struct span rest = span_of(text);
		struct smtp_path path;
		ck_assert_int_eq(smtp_text_path(&rest, &path), extra ? -EINVAL : 0);
	}
}
END_TEST

static const struct {
	const char *text;
	int rc;
	uint64_t value;
} numbers[] = {
	{"0", 0, 0},
	{"007", 0, 7},
	{"18446744073709551615", 0, UINT64_MAX},
	{"18446744073709551616", -ERANGE, 0},
	{"99999999999999999999", -ERANGE, 0},
	{"340282366920938463463374607431768211456", -ERANGE, 0},
	{"", -EINVAL, 0},
	{"-1", -EINVAL, 0},
	{"+1", -EINVAL, 0},
	{"1x", -EINVAL, 0},
	{"0x1", -EINVAL, 0},
};

START_TEST(numbers_do_not_overflow)
{
	uint64_t value;
	int rc = smtp_text_number(span_of(numbers[_i].text), &value);
	ck_assert_int_eq(rc, numbers[_i].rc);
	if (!rc)
		ck_assert_uint_eq(value, numbers[_i].value);
}
END_TEST

START_TEST(parameters_come_one_by_one)
{
	struct span rest = span_of(" SIZE=10  SMTPUTF8 X-A=b ");
	struct smtp_param param;
	ck_assert_int_eq(smtp_text_param(&rest, &param), 1);
	assert_span(param.key, "SIZE");
	assert_span(param.value, "10");
	ck_assert(param.has_value);
	ck_assert_int_eq(smtp_text_param(&rest, &param), 1);
	assert_span(param.key, "SMTPUTF8");
	assert_span(param.value, "");
	ck_assert(!param.has_value);
	ck_assert_int_eq(smtp_text_param(&rest, &param), 1);
	assert_span(param.key, "X-A");
	ck_assert_int_eq(smtp_text_param(&rest, &param), 0);
	ck_assert_uint_eq(rest.len, 0);
}
END_TEST

static const char *const bad_params[] = {
	"SIZE=1", " =", " =1", " SIZE=", " A=b=c", " -A", " A\x01", " A=\x7f", " <>", " \xc3\xbc=1"};

START_TEST(bad_parameters_are_refused)
{
	struct span rest = span_of(bad_params[_i]);
	struct smtp_param param;
	ck_assert_int_eq(smtp_text_param(&rest, &param), -EINVAL);
}
END_TEST

static const struct {
	const char *text;
	enum smtp_charset charset;
} charsets[] = {
	{"", SMTP_CHARSET_ASCII},
	{"ann", SMTP_CHARSET_ASCII},
	{"j\xc3\xbcrgen", SMTP_CHARSET_UTF8},
	{"\xe2\x82\xac", SMTP_CHARSET_UTF8},
	{"\xf0\x9f\x93\xa7", SMTP_CHARSET_UTF8},
	{"\xf4\x8f\xbf\xbf", SMTP_CHARSET_UTF8},
	{"\xff", SMTP_CHARSET_BROKEN},
	{"\x80", SMTP_CHARSET_BROKEN},
	{"\xc3", SMTP_CHARSET_BROKEN},
	{"\xc3\x28", SMTP_CHARSET_BROKEN},
	{"\xc0\xaf", SMTP_CHARSET_BROKEN},         /* overlong */
	{"\xe0\x80\xaf", SMTP_CHARSET_BROKEN},     /* overlong */
	{"\xed\xa0\x80", SMTP_CHARSET_BROKEN},     /* a surrogate */
	{"\xf4\x90\x80\x80", SMTP_CHARSET_BROKEN}, /* past U+10FFFF */
	{"\xf0\x9f\x93", SMTP_CHARSET_BROKEN},
	{"\xf0\x9f\x93x", SMTP_CHARSET_BROKEN},
};

START_TEST(charsets_are_told_apart)
{
	struct span text = exact_copy(charsets[_i].text);
	ck_assert_int_eq(smtp_text_charset(text), charsets[_i].charset);
	free((char *)text.data);
}
END_TEST

static const struct {
	unsigned code;
	const char *enhanced, *text, *wire;
} replies[] = {
	{250, "2.0.0", "Ok", "250 2.0.0 Ok\r\n"},
	{354, "", "Go", "354 Go\r\n"},
	{250, "", "", "250 \r\n"},
	{451, "4.7.1", "one\ntwo\nthree", "451-4.7.1 one\r\n451-4.7.1 two\r\n451 4.7.1 three\r\n"},
	{550, "", "one\n", "550-one\r\n550 \r\n"},
};

START_TEST(replies_are_written)
{
	char data[2 * SMTP_REPLY_MAX];
	struct smtp_out out = {data, 0, sizeof(data)};
	struct smtp_reply reply = {
		replies[_i].code, span_of(replies[_i].enhanced), span_of(replies[_i].text)};
	smtp_text_reply(&reply, &out);
	assert_span((struct span){out.data, out.len}, replies[_i].wire);
}
END_TEST

/* Whatever the lengths of two lines, what comes out fits and is well formed to the last line. */
START_TEST(long_replies_are_cut)
{
	char text[2 * SMTP_REPLY_MAX];
	char *data = malloc(SMTP_REPLY_MAX);
	ck_assert_ptr_nonnull(data);
	for (size_t first = SMTP_REPLY_MAX - 60; first < SMTP_REPLY_MAX + 20; first++) {
		memset(text, 'x', sizeof(text));
		text[first] = '\n';
		struct smtp_out out = {data, 0, SMTP_REPLY_MAX};
		struct smtp_reply reply = {550, span_of("5.7.1"), {text, sizeof(text)}};
		smtp_text_reply(&reply, &out);
		ck_assert_uint_le(out.len, SMTP_REPLY_MAX);
		ck_assert_uint_ge(out.len, SMTP_REPLY_MAX - 12);
		ck_assert_int_eq(memcmp(data + out.len - 2, "\r\n", 2), 0);
		const char *end = memchr(data, '\n', out.len);
		bool two_lines = end != data + out.len - 1;
		ck_assert_int_eq(data[3], two_lines ? '-' : ' ');
		if (two_lines)
			ck_assert_int_eq(memcmp(end + 1, "550 5.7.1 ", 10), 0);
	}
	free(data);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

int main(void)
{
	Suite *suite = suite_create("smtp_text");
	TCase *tcase = tcase_create("text");
	tcase_add_loop_test(tcase, paths_come_apart, 0, COUNT(paths));
	tcase_add_test(tcase, a_domain_has_at_most_255_octets);
	tcase_add_loop_test(tcase, numbers_do_not_overflow, 0, COUNT(numbers));
	tcase_add_test(tcase, parameters_come_one_by_one);
	tcase_add_loop_test(tcase, bad_parameters_are_refused, 0, COUNT(bad_params));
	tcase_add_loop_test(tcase, charsets_are_told_apart, 0, COUNT(charsets));
	tcase_add_loop_test(tcase, replies_are_written, 0, COUNT(replies));
	tcase_add_test(tcase, long_replies_are_cut);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
