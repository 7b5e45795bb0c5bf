#include "mail.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mail_text.h"
#include "suite.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* The options of a command line, and the mail of them. */
static struct mail mail_of(int argc, char **argv)
{
	struct gen_options options;
	struct mail mail;
	struct err err = {""};
	ck_assert_msg(gen_options_read(&options, argc, argv, &err) == 0, "%s", err.text);
	ck_assert_msg(mail_make(&mail, &options, &err) == 0, "%s", err.text);
	gen_options_done(&options);
	return mail;
}

#define MAIL_OF(...) mail_of((int)ROWS(((char *[]){"gen", __VA_ARGS__})), (char *[]){"gen", __VA_ARGS__})

static const unsigned sizes[] = {0, 1, 2, 3, 77, 78, 79, 80, 155, 156, 157, 1024, 60000, 100000};

/* The body behind the header fields' end; a text of SMTP's from end to end. */
START_TEST(bodies_have_the_size_asked_for)
{
	char size[16];
	snprintf(size, sizeof(size), "%u", sizes[_i]);
	struct mail mail = MAIL_OF("--body-size", size);
	ck_assert_uint_ge(mail.text.len, 2);
	ck_assert_mem_eq(mail.text.data, "\r\n", 2);
	/* One octet has no room for a CRLF. */
	ck_assert_uint_eq(mail.text.len - 2, sizes[_i] == 1 ? 3 : sizes[_i]);
	size_t column = 0;
	for (size_t i = 0; i < mail.text.len; i++) {
		char c = mail.text.data[i];
		ck_assert_msg(
			(c == '\n') == (i > 0 && mail.text.data[i - 1] == '\r'), "a line end at %zu", i);
		column = c == '\n' ? 0 : column + 1;
		ck_assert_uint_le(column, 77);
	}
	ck_assert_uint_eq(column, 0);
	ck_assert(!mail.eight_bit);
	mail_done(&mail);
}
END_TEST

static const struct {
	const char *text, *stuffed;
} dots[] = {
	{"", ""},
	{".\r\n", "..\r\n"},
	{"a\r\n.\r\n", "a\r\n..\r\n"},
	{"a.\r\nb.c\r\n", "a.\r\nb.c\r\n"},
	{"..\r\n...\r\n", "...\r\n....\r\n"},
	{"a\r\n.b\r\n..c\r\n", "a\r\n..b\r\n...c\r\n"},
};

START_TEST(dots_are_stuffed)
{
	char to[64];
	size_t len = mail_text_stuff(span_of(dots[_i].text), NULL);
	ck_assert_uint_eq(len, strlen(dots[_i].stuffed));
	ck_assert_uint_eq(mail_text_stuff(span_of(dots[_i].text), to), len);
	ck_assert_mem_eq(to, dots[_i].stuffed, len);
}
END_TEST

/* Behind header fields that end with a line end it is the beginning of a line, too. */
START_TEST(a_file_is_the_message)
{
	char path[] = "/tmp/mxmirage-test-mail-XXXXXX";
	int fd = mkstemp(path);
	const char *content = "Subject: a\n\n.dot\r\nlast, \xc3\xa4";
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	close(fd);
	struct mail mail = MAIL_OF("--body-file", path, "--header", "X-Test: 1");
	unlink(path);
	ck_assert(
		span_equal(mail.text, span_of("X-Test: 1\r\nSubject: a\r\n\r\n.dot\r\nlast, \xc3\xa4\r\n")));
	ck_assert(span_equal(
		mail.stuffed, span_of("X-Test: 1\r\nSubject: a\r\n\r\n..dot\r\nlast, \xc3\xa4\r\n")));
	ck_assert(mail.eight_bit && mail.whole);
	struct mail_item item;
	char header[MAIL_HEADER_MAX];
	mail_pick(&mail, 1, &item);
	ck_assert_uint_eq(mail_put_header(&mail, &item, span_of(""), header), 0);
	mail_done(&mail);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
	char *argv[] = {"gen", "--body-file", "/nonexistent/message.eml"};
	struct gen_options options;
	struct mail mail;
	struct err err = {""};
	ck_assert_int_eq(gen_options_read(&options, 3, argv, &err), 0);
	ck_assert_int_eq(mail_make(&mail, &options, &err), -ENOENT);
	ck_assert_str_eq(err.text, "--body-file /nonexistent/message.eml: No such file or directory");
	gen_options_done(&options);
}
END_TEST

START_TEST(the_same_seed_makes_the_same_messages)
{
	struct mail one = MAIL_OF("--seed", "1"), again = MAIL_OF("--seed", "1"),
		    two = MAIL_OF("--seed", "2");
	unsigned differ = 0;
	for (uint64_t number = 0; number < 200; number++) {
		struct mail_item a, b, c;
		char a_header[MAIL_HEADER_MAX], b_header[MAIL_HEADER_MAX];
		mail_pick(&one, number, &a);
		mail_pick(&again, number, &b);
		mail_pick(&two, number, &c);
		size_t len = mail_put_header(&one, &a, span_of("now"), a_header);
		ck_assert_uint_eq(mail_put_header(&again, &b, span_of("now"), b_header), len);
		ck_assert_mem_eq(a_header, b_header, len);
		differ += a.user != c.user;
	}
	ck_assert_uint_eq(differ, 200);
	mail_done(&one);
	mail_done(&again);
	mail_done(&two);
}
END_TEST

START_TEST(recipients_of_one_message_differ)
{
	struct mail mail = MAIL_OF("--seed", "1");
	struct mail_item item;
	uint64_t users[50];
	mail_pick(&mail, 7, &item);
	users[0] = item.user;
	for (uint64_t i = 1; i < ROWS(users); i++) {
		mail_pick_recipient(&mail, i, &item);
		users[i] = item.user;
		for (uint64_t j = 0; j < i; j++)
			ck_assert(users[i] != users[j]);
	}
	mail_done(&mail);
}
END_TEST

START_TEST(header_and_envelope_agree)
{
	struct mail mail = MAIL_OF("--domain", "one.example", "--domain-suffix", "", "--tenant", "acme");
	struct mail_item item;
	char header[MAIL_HEADER_MAX + 1], sender[MAIL_ADDRESS_MAX + 1], recipient[MAIL_ADDRESS_MAX + 1],
		line[2 * MAIL_ADDRESS_MAX + 64];
	mail_pick(&mail, 3, &item);
	sender[mail_put_sender(&item, sender)] = '\0';
	recipient[mail_put_recipient(&item, recipient)] = '\0';
	header[mail_put_header(&mail, &item, span_of("Mon, 5 Jan 2026 10:00:00 +0000"), header)] = '\0';
	ck_assert_str_eq(sender, "noreply-acme@one.example");
	snprintf(line, sizeof(line), "user-%llu@one.example", (unsigned long long)item.user);
	ck_assert_str_eq(recipient, line);
	snprintf(line, sizeof(line), "From: <%s>\r\nTo: <%s>\r\nSubject: ", sender, recipient);
	ck_assert_msg(strncmp(header, line, strlen(line)) == 0, "%s", header);
	ck_assert_ptr_nonnull(strstr(header, "\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\nMessage-ID: <"));
	ck_assert_ptr_nonnull(strstr(header, "\r\nX-Tenant: acme\r\n"));
	ck_assert_str_eq(header + strlen(header) - 2, "\r\n");
	mail_done(&mail);
}
END_TEST

START_TEST(a_tenants_domain_is_its_return_path)
{
	struct mail mail = MAIL_OF("--tenant", "news.example");
	struct mail_item item;
	char sender[MAIL_ADDRESS_MAX + 1];
	mail_pick(&mail, 3, &item);
	sender[mail_put_sender(&item, sender)] = '\0';
	ck_assert_str_eq(sender, "noreply@news.example");
	mail_done(&mail);
}
END_TEST

/* The longest names there may be still fit. */
START_TEST(the_longest_names_fit)
{
	char domain[MIX_NAME_MAX + 1], tenant[65];
	memset(domain, 'd', MIX_NAME_MAX);
	domain[MIX_NAME_MAX] = '\0';
	memset(tenant, 't', 64);
	tenant[64] = '\0';
	struct mail mail = MAIL_OF("--domain", domain, "--domain-suffix", "", "--tenant", tenant);
	struct mail_item item;
	char header[MAIL_HEADER_MAX], address[MAIL_ADDRESS_MAX];
	mail_pick(&mail, UINT64_MAX, &item);
	item.user = UINT64_MAX;
	ck_assert_uint_le(mail_put_sender(&item, address), sizeof(address));
	ck_assert_uint_le(mail_put_recipient(&item, address), sizeof(address));
	ck_assert_uint_le(mail_put_header(&mail, &item, span_of("Mon, 5 Jan 2026 10:00:00 +0000"), header),
		sizeof(header));
	mail_done(&mail);
}
END_TEST

START_TEST(dates_are_rfc_5322)
{
	struct mail_date date = mail_date_of(1767607200);
	ck_assert_uint_eq(date.len, strlen(date.chars));
	ck_assert_str_eq(date.chars, "Mon, 5 Jan 2026 10:00:00 +0000");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mail");
	TCase *tcase = tcase_create("mail");
	tcase_add_loop_test(tcase, bodies_have_the_size_asked_for, 0, ROWS(sizes));
	tcase_add_loop_test(tcase, dots_are_stuffed, 0, ROWS(dots));
	tcase_add_test(tcase, a_file_is_the_message);
	tcase_add_test(tcase, a_missing_file_is_named);
	tcase_add_test(tcase, the_same_seed_makes_the_same_messages);
	tcase_add_test(tcase, recipients_of_one_message_differ);
	tcase_add_test(tcase, header_and_envelope_agree);
	tcase_add_test(tcase, a_tenants_domain_is_its_return_path);
	tcase_add_test(tcase, the_longest_names_fit);
	tcase_add_test(tcase, dates_are_rfc_5322);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
