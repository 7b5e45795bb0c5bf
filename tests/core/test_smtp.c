/* What a dialogue cannot show: the caller's decisions, what it is told, and independence of
 * chunking. */
#include <check.h>

#include "core/smtp_caller.h"
#include "suite.h"

_Static_assert(sizeof(struct smtp) <= 192, "20,000 idle sessions hold one each");

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HELLO        "EHLO client.example.com\r\n"
#define MAIL         "MAIL FROM:<ann@example.com>\r\n"
#define RCPT         "RCPT TO:<bob@example.net>\r\n"

static struct smtp_profile profile;
static struct smtp smtp;
static char out_data[1 << 16];
static struct smtp_out out;
static bool connected; /* a step has asked for the first decision */

static void set_up(void)
{
	profile = (struct smtp_profile){"mx.example.net", "ESMTP", smtp_limits_default};
	out = (struct smtp_out){out_data, 0, sizeof(out_data)};
	smtp_init(&smtp, &profile);
	connected = false;
}

/* Steps over the whole of text, which must be what the engine uses. */
static enum smtp_want step(const char *text)
{
	size_t used;
	enum smtp_want want = smtp_step(&smtp, span_of(text), &used, &out);
	ck_assert_uint_eq(used, strlen(text));
	return want;
}

/* Steps over text until phase is asked for, and says yes to everything before. */
static void reach(enum smtp_phase phase, const char *text)
{
	struct span in = span_of(text), nothing = {text, 0};
	for (;;) {
		size_t used;
		/* The peer waits for the banner. */
		enum smtp_want want = smtp_step(&smtp, connected ? in : nothing, &used, &out);
		connected = true;
		in = span_from(in, used);
		ck_assert_msg(want == SMTP_WANT_DECISION, "phase %d is not reached", (int)phase);
		if (smtp.phase == phase)
			break;
		smtp_decide(&smtp, NULL, &out);
	}
	ck_assert_uint_eq(in.len, 0);
	out.len = 0;
}

static unsigned decide(unsigned code, const char *enhanced, const char *text)
{
	struct smtp_reply reply = {code, span_of(enhanced), span_of(text)};
	return smtp_decide(&smtp, &reply, &out);
}

static void assert_out(const char *wanted)
{
	ck_assert_msg(out.len == strlen(wanted) && memcmp(out.data, wanted, out.len) == 0,
		"out is `%.*s`, expected `%s`", (int)out.len, out.data, wanted);
	out.len = 0;
}

/* How to come to each phase, and what a command answers once that phase was refused. */
static const struct {
	enum smtp_phase phase;
	const char *way;
	const char *next;
	const char *reply;
} refusals[] = {
	{SMTP_PHASE_CONNECT, "", HELLO, "503 5.5.1 Refused: only QUIT is left\r\n"},
	{SMTP_PHASE_HELO, HELLO, MAIL, "503 5.5.1 EHLO or HELO comes first\r\n"},
	{SMTP_PHASE_MAIL, HELLO MAIL, RCPT, "503 5.5.1 MAIL comes first\r\n"},
	{SMTP_PHASE_RCPT, HELLO MAIL RCPT, "DATA\r\n", "503 5.5.1 RCPT comes next\r\n"},
	{SMTP_PHASE_DATA, HELLO MAIL RCPT "DATA\r\n", MAIL, "503 5.5.1 RCPT, DATA or BDAT comes next\r\n"},
	{SMTP_PHASE_END_OF_DATA, HELLO MAIL RCPT "BDAT 0 LAST\r\n", RCPT, "503 5.5.1 MAIL comes first\r\n"},
};

START_TEST(a_refusal_is_passed_on_and_changes_nothing)
{
	reach(refusals[_i].phase, refusals[_i].way);
	ck_assert_uint_eq(decide(451, "4.7.1", "Not now\nand not soon"), 451);
	assert_out("451-4.7.1 Not now\r\n451 4.7.1 and not soon\r\n");
	if (refusals[_i].phase == SMTP_PHASE_END_OF_DATA)
		ck_assert_int_eq(step(""), SMTP_WANT_FORGET);
	ck_assert_int_eq(step(refusals[_i].next), SMTP_WANT_INPUT);
	assert_out(refusals[_i].reply);
	ck_assert_int_eq(step("QUIT\r\n"), SMTP_WANT_CLOSE);
}
END_TEST

START_TEST(a_421_or_521_closes_in_every_phase)
{
	static const unsigned codes[] = {421, 521};
	for (size_t i = 0; i < COUNT(codes); i++) {
		set_up();
		reach(refusals[_i].phase, refusals[_i].way);
		ck_assert_uint_eq(decide(codes[i], "", "Bye"), codes[i]);
		if (refusals[_i].phase == SMTP_PHASE_END_OF_DATA)
			ck_assert_int_eq(step(""), SMTP_WANT_FORGET);
		ck_assert_int_eq(step(MAIL), SMTP_WANT_CLOSE);
		assert_out(i == 0 ? "421 Bye\r\n" : "521 Bye\r\n");
		ck_assert_int_eq(step(MAIL), SMTP_WANT_CLOSE);
		ck_assert_uint_eq(out.len, 0);
	}
}
END_TEST

START_TEST(a_decision_is_asked_for_until_it_is_made)
{
	reach(SMTP_PHASE_MAIL, HELLO MAIL);
	size_t used;
	ck_assert_int_eq(smtp_step(&smtp, span_of(RCPT), &used, &out), SMTP_WANT_DECISION);
	ck_assert_uint_eq(used, 0);
	ck_assert_int_eq(smtp.phase, SMTP_PHASE_MAIL);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(input_during_a_greeting_delay_is_refused)
{
	ck_assert_int_eq(step(""), SMTP_WANT_DECISION);
	ck_assert_int_eq(step(""), SMTP_WANT_DECISION);
	ck_assert_int_eq(step(HELLO), SMTP_WANT_CLOSE);
	assert_out("554 5.5.1 Input before the banner, closing\r\n");
}
END_TEST

START_TEST(the_caller_sees_what_the_decision_is_about)
{
	reach(SMTP_PHASE_HELO, "HELO client.example.com\r\n");
	ck_assert(span_is(smtp.helo, "client.example.com"));
	ck_assert(!smtp.ehlo);
	smtp_decide(&smtp, NULL, &out);
	reach(SMTP_PHASE_MAIL, HELLO "MAIL FROM:<> SIZE=1234 BODY=8BITMIME\r\n");
	ck_assert(smtp.ehlo);
	ck_assert_uint_eq(smtp.path.mailbox.len, 0);
	ck_assert_uint_eq(smtp.declared_size, 1234);
	ck_assert_uint_eq(smtp.message.flags, SMTP_FLAG_ESMTP | SMTP_FLAG_8BIT);
	smtp_decide(&smtp, NULL, &out);
	reach(SMTP_PHASE_RCPT, "RCPT TO:<@relay.example.org:\"b o\"@[192.0.2.1]> NOTIFY=NEVER\r\n");
	ck_assert(span_is(smtp.path.mailbox, "\"b o\"@[192.0.2.1]"));
	ck_assert(span_is(smtp.path.local, "\"b o\""));
	ck_assert(span_is(smtp.path.domain, "[192.0.2.1]"));
	smtp_decide(&smtp, NULL, &out);
	reach(SMTP_PHASE_END_OF_DATA, "BDAT 3 LAST\r\nabc");
	smtp_decide(&smtp, NULL, &out);
	/* Also after the decision, until the next step. */
	ck_assert_uint_eq(smtp.message.octets, 3);
	ck_assert_uint_eq(smtp.message.recipients, 1);
	ck_assert_int_eq(step(""), SMTP_WANT_FORGET);
	reach(SMTP_PHASE_MAIL, MAIL);
	ck_assert_uint_eq(smtp.message.octets, 0);
	ck_assert_uint_eq(smtp.message.recipients, 0);
	ck_assert_uint_eq(smtp.message.flags, SMTP_FLAG_ESMTP);
	ck_assert_uint_eq(smtp.declared_size, 0);
}
END_TEST

/* When a transaction is forgotten: the notes of the caller, without its questions. */
static const struct {
	const char *input;
	unsigned forgets;
} ends[] = {
	{HELLO "RSET\r\n" HELLO "QUIT\r\n", 0},
	{HELLO "MAIL FROM:<ann>\r\nRSET\r\n", 0},
	{HELLO MAIL, 0},
	{HELLO MAIL RCPT "QUIT\r\n", 0},
	{HELLO MAIL "\n", 0},
	{HELLO MAIL "RSET\r\nRSET\r\n", 1},
	{HELLO MAIL RCPT "RSET\r\n" MAIL "RSET\r\n", 2},
	{HELLO MAIL RCPT HELLO, 1},
	{HELLO MAIL RCPT "EHLO\r\nHELO x\r\n", 1},
	{HELLO MAIL RCPT "DATA\r\n.\r\n", 1},
	{HELLO MAIL RCPT "DATA\r\na\n\r\n.\r\nRSET\r\n", 1},
	{HELLO MAIL RCPT "BDAT 1\r\naRSET\r\n", 1},
	{HELLO MAIL RCPT "BDAT 1\r\naBDAT 0 LAST\r\nQUIT\r\n", 1},
};

START_TEST(a_transaction_is_forgotten_once)
{
	struct smtp_caller caller;
	smtp_caller_init(&caller, &profile, SMTP_REPLY_MAX);
	smtp_caller_feed(&caller, (struct span){NULL, 0});
	smtp_caller_feed(&caller, span_of(ends[_i].input));
	unsigned forgets = 0;
	for (const char *at = caller.notes_text; (at = strstr(at, "forget\n")); at++)
		forgets++;
	ck_assert_uint_eq(forgets, ends[_i].forgets);
	smtp_caller_done(&caller);
}
END_TEST

START_TEST(a_refused_ehlo_leaves_the_transaction_alone)
{
	reach(SMTP_PHASE_RCPT, HELLO MAIL RCPT);
	smtp_decide(&smtp, NULL, &out);
	reach(SMTP_PHASE_HELO, "HELO client.example.com\r\n");
	decide(550, "", "No");
	reach(SMTP_PHASE_DATA, "DATA\r\n");
	ck_assert_uint_eq(smtp.message.recipients, 1);
	ck_assert_uint_eq(smtp.message.flags, SMTP_FLAG_ESMTP);
}
END_TEST

START_TEST(faults_of_a_message_overrule_its_acceptance_only)
{
	static const struct {
		const char *body;
		unsigned decided; /* 0: NULL */
		unsigned code;
	} cases[] = {
		{"DATA\r\n12345678\r\n.\r\n", 0, 250},
		{"DATA\r\n123456789\r\n.\r\n", 0, 552},
		{"DATA\r\n123456789\r\n.\r\n", 250, 552},
		{"DATA\r\n123456789\r\n.\r\n", 451, 451},
		{"DATA\r\n..\r\n..\r\n.1\r\n.\r\n", 0, 250},
		{"DATA\r\na\nb\r\n.\r\n", 250, 550},
		{"DATA\r\na\nb\r\n.\r\n", 554, 554},
		{"BDAT 10 LAST\r\n123456789\n", 0, 250},
		{"BDAT 11 LAST\r\n1234567890\n", 0, 552},
		{"BDAT 6\r\n123456BDAT 5 LAST\r\n12345", 250, 552},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		set_up();
		profile.limits.message_size = 10;
		reach(SMTP_PHASE_RCPT, HELLO MAIL RCPT);
		smtp_decide(&smtp, NULL, &out);
		reach(SMTP_PHASE_END_OF_DATA, cases[i].body);
		unsigned code =
			cases[i].decided ? decide(cases[i].decided, "", "x") : smtp_decide(&smtp, NULL, &out);
		ck_assert_msg(code == cases[i].code, "case %zu: %u", i, code);
		char text[4];
		snprintf(text, sizeof(text), "%u", code);
		ck_assert_int_eq(memcmp(out.data, text, 3), 0);
	}
}
END_TEST

START_TEST(an_acceptance_may_have_words_of_its_own)
{
	reach(SMTP_PHASE_CONNECT, "");
	ck_assert_uint_eq(decide(220, "", "mx.google.com ESMTP x - gsmtp"), 220);
	assert_out("220 mx.google.com ESMTP x - gsmtp\r\n");
	reach(SMTP_PHASE_END_OF_DATA, HELLO MAIL RCPT "BDAT 0 LAST\r\n");
	ck_assert_uint_eq(decide(250, "2.0.0", "OK x - gsmtp"), 250);
	assert_out("250 2.0.0 OK x - gsmtp\r\n");
	ck_assert_int_eq(step(""), SMTP_WANT_FORGET);
	reach(SMTP_PHASE_MAIL, MAIL);
}
END_TEST

START_TEST(size_is_announced_without_a_number_where_there_is_no_limit)
{
	profile.limits.message_size = 0;
	reach(SMTP_PHASE_HELO, HELLO);
	smtp_decide(&smtp, NULL, &out);
	ck_assert_ptr_nonnull(memmem(out.data, out.len, "250-SIZE\r\n", 10));
	out.len = 0;
	reach(SMTP_PHASE_MAIL, "MAIL FROM:<> SIZE=18446744073709551615\r\n");
}
END_TEST

START_TEST(nothing_is_used_without_room_for_a_reply)
{
	reach(SMTP_PHASE_HELO, HELLO);
	smtp_decide(&smtp, NULL, &out);
	out.len = 0;
	out.cap = SMTP_REPLY_MAX;
	size_t used;
	ck_assert_int_eq(smtp_step(&smtp, span_of("NOOP\r\nNOOP\r\n"), &used, &out), SMTP_WANT_OUTPUT);
	ck_assert_uint_eq(used, 6);
	assert_out("250 2.0.0 Ok\r\n");
}
END_TEST

START_TEST(the_time_out_follows_the_phase)
{
	reach(SMTP_PHASE_DATA, HELLO MAIL RCPT "DATA\r\n");
	ck_assert_int_eq(smtp_waiting(&smtp), SMTP_WAITING_COMMAND);
	smtp_decide(&smtp, NULL, &out);
	ck_assert_int_eq(smtp_waiting(&smtp), SMTP_WAITING_DATA);
	ck_assert_int_eq(step("x\r\n.\r\n"), SMTP_WANT_DECISION);
	smtp_decide(&smtp, NULL, &out);
	ck_assert_int_eq(smtp_waiting(&smtp), SMTP_WAITING_COMMAND);
	ck_assert_int_eq(step(""), SMTP_WANT_FORGET);
	ck_assert_int_eq(step("BDAT 2\r\nx"), SMTP_WANT_INPUT);
	ck_assert_int_eq(smtp_waiting(&smtp), SMTP_WAITING_DATA);
	ck_assert_int_eq(step("x"), SMTP_WANT_INPUT);
	ck_assert_int_eq(smtp_waiting(&smtp), SMTP_WAITING_COMMAND);
	char line[2000];
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	ck_assert_int_eq(step(line), SMTP_WANT_INPUT);
	ck_assert_int_eq(smtp_waiting(&smtp), SMTP_WAITING_REST);
	ck_assert_int_eq(step("\r\n"), SMTP_WANT_INPUT);
	ck_assert_int_eq(smtp_waiting(&smtp), SMTP_WAITING_COMMAND);
}
END_TEST

START_TEST(early_data_of_a_refused_data_is_not_held_against_the_next)
{
	reach(SMTP_PHASE_RCPT, HELLO MAIL RCPT);
	smtp_decide(&smtp, NULL, &out);
	size_t used;
	ck_assert_int_eq(smtp_step(&smtp, span_of("DATA\r\nNOOP\r\n"), &used, &out), SMTP_WANT_DECISION);
	ck_assert(smtp.message.flags & SMTP_FLAG_EARLY_DATA);
	decide(451, "", "Later");
	reach(SMTP_PHASE_DATA, "DATA\r\n");
	ck_assert(!(smtp.message.flags & SMTP_FLAG_EARLY_DATA));
}
END_TEST

START_TEST(an_abort_says_why)
{
	smtp_abort("4.4.2", "mx.example.net Timed out", &out);
	assert_out("421 4.4.2 mx.example.net Timed out\r\n");
}
END_TEST

static unsigned random_state;

/* Sessions as nobody would hold them, of the pieces that matter. */
static size_t make_soup(char *to, size_t size)
{
	static const struct span bits[] = {
		{HELLO, sizeof(HELLO) - 1},
		{MAIL, sizeof(MAIL) - 1},
		{RCPT, sizeof(RCPT) - 1},
		{RCPT RCPT, sizeof(RCPT RCPT) - 1},
		{"DATA\r\n", 6},
		{"DATA\r\nx\r\n.\r\n", 12},
		{"RSET\r\n", 6},
		{"NOOP ", 5},
		{"BDAT 5\r\n", 8},
		{"BDAT 7 LAST\r\n", 13},
		{"BDAT 0\r\n", 8},
		{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 70},
		{"\r\n.\r\n", 5},
		{"\r\n..", 4},
		{"\r\n", 2},
		{"\r", 1},
		{".", 1},
		{"\0", 1},
		{"\xc3\xbc", 2},
		{"\n", 1},
		{"QUIT\r\n", 6},
	};
	size_t len = 0;
	/* The last two end a session: rare. Most start so that a message can come of them. */
	size_t bold = (size_t)rand_r(&random_state) % 4 == 0;
	if (rand_r(&random_state) % 4)
		len = (size_t)snprintf(to, size, "%s", HELLO MAIL RCPT);
	for (int left = rand_r(&random_state) % 60; left > 0; left--) {
		struct span bit = bits[(size_t)rand_r(&random_state) % (COUNT(bits) - 2 * !bold)];
		if (len + bit.len > size)
			break;
		memcpy(to + len, bit.data, bit.len);
		len += bit.len;
	}
	return len;
}

static unsigned skips;

/*
 * Plays input in pieces of 1 to longest bytes, every other one of a chunk unread where the engine says that it
 * need not be read; longest = 0: whole.
 */
static void play(struct smtp_caller *caller, struct span input, size_t longest)
{
	smtp_caller_init(caller, &profile, longest ? SMTP_REPLY_MAX : 1 << 16);
	caller->flags_ignored = SMTP_FLAG_EARLY_DATA;
	smtp_caller_feed(caller, (struct span){NULL, 0});
	while (input.len) {
		size_t len = longest ? 1 + (size_t)rand_r(&random_state) % longest : input.len;
		if (len > input.len)
			len = input.len;
		uint64_t unread = caller->kept_len ? 0 : smtp_unread(&caller->smtp);
		bool skip = longest && unread && rand_r(&random_state) % 2;
		if (skip) {
			len = len < unread ? len : (size_t)unread;
			smtp_skip(&caller->smtp, len);
			skips++;
		}
		smtp_caller_feed(caller, (struct span){input.data, skip ? 0 : len});
		input = span_from(input, len);
	}
}

START_TEST(replies_do_not_depend_on_chunking)
{
	static const size_t longest[] = {1, 3, 100};
	profile.limits = (struct smtp_limits){
		.command_line = 100,
		.endless_line = 300,
		.recipients = 3,
		.recipient_overshoot = 2,
		.bad_commands = 10,
		.message_size = 200,
	};
	unsigned messages = 0;
	char input[4096];
	for (unsigned seed = 1; seed <= 3000; seed++) {
		random_state = seed;
		struct span soup = {input, make_soup(input, sizeof(input))};
		struct smtp_caller whole, pieces;
		play(&whole, soup, 0);
		messages += strstr(whole.notes_text, "M: ") != NULL;
		play(&pieces, soup, longest[seed % COUNT(longest)]);
		ck_assert_msg(strcmp(whole.replies_text, pieces.replies_text) == 0,
			"seed %u: whole `%s`, in pieces `%s`", seed, whole.replies_text, pieces.replies_text);
		ck_assert_msg(strcmp(whole.notes_text, pieces.notes_text) == 0,
			"seed %u: whole `%s`, in pieces `%s`", seed, whole.notes_text, pieces.notes_text);
		ck_assert_int_eq(whole.closed, pieces.closed);
		ck_assert_uint_eq(whole.kept_len, pieces.kept_len);
		smtp_caller_done(&whole);
		smtp_caller_done(&pieces);
	}
	/* The soup is worth its name only where messages come of it. */
	ck_assert_uint_gt(messages, 300);
	ck_assert_uint_gt(skips, 300);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("smtp");
	TCase *tcase = tcase_create("smtp");
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_loop_test(tcase, a_refusal_is_passed_on_and_changes_nothing, 0, COUNT(refusals));
	tcase_add_loop_test(tcase, a_421_or_521_closes_in_every_phase, 0, COUNT(refusals));
	tcase_add_test(tcase, a_decision_is_asked_for_until_it_is_made);
	tcase_add_test(tcase, input_during_a_greeting_delay_is_refused);
	tcase_add_test(tcase, the_caller_sees_what_the_decision_is_about);
	tcase_add_loop_test(tcase, a_transaction_is_forgotten_once, 0, COUNT(ends));
	tcase_add_test(tcase, a_refused_ehlo_leaves_the_transaction_alone);
	tcase_add_test(tcase, faults_of_a_message_overrule_its_acceptance_only);
	tcase_add_test(tcase, an_acceptance_may_have_words_of_its_own);
	tcase_add_test(tcase, size_is_announced_without_a_number_where_there_is_no_limit);
	tcase_add_test(tcase, nothing_is_used_without_room_for_a_reply);
	tcase_add_test(tcase, the_time_out_follows_the_phase);
	tcase_add_test(tcase, early_data_of_a_refused_data_is_not_held_against_the_next);
	tcase_add_test(tcase, an_abort_says_why);
	tcase_add_test(tcase, replies_do_not_depend_on_chunking);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
