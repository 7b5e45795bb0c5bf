/*
 * Dialogues: what the server says is a list of texts, each sent once the client waits; everything that
 * happens is written down, and must be the same in any chunking.
 */
#include "smtp_client.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define MESSAGE     "Subject: x\r\n\r\n.hi\r\n"
#define STUFFED     "Subject: x\r\n\r\n..hi\r\n"
#define HELLO       "220 mx.example\r\n", "250-mx.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"
#define PLAIN       "220 mx.example\r\n", "250 mx.example\r\n"
#define EHLO        "C: EHLO gen.example\n"
#define MAIL        "C: MAIL FROM:<noreply@from.example>\n"
#define RCPT        "C: RCPT TO:<user-7@to.example>\n"
#define TEXT        "C: Subject: x\nC: \nC: ..hi\nC: .\n"
#define BDAT        "C: BDAT 19 LAST\nC: Subject: x\nC: \nC: .hi\n"

struct dialogue {
	const char *title;
	struct smtp_client_setup setup;
	unsigned messages; /* to begin, then QUIT */
	bool together;     /* the next one with the text of the one before it, where that is possible */
	const char *server[12];
	const char *log;
};

static const struct mail mail = {
	.whole = true,
	.text = {MESSAGE, sizeof(MESSAGE) - 1},
	.stuffed = {STUFFED, sizeof(STUFFED) - 1},
};
static const struct mail mail_8bit = {
	.whole = true,
	.eight_bit = true,
	.text = {MESSAGE, sizeof(MESSAGE) - 1},
	.stuffed = {STUFFED, sizeof(STUFFED) - 1},
};

#define SETUP .mail = &mail, .ehlo = {"gen.example", 11}

static const struct dialogue dialogues[] = {
	{"one at a time where nothing is offered", {SETUP}, 2, true,
		{PLAIN, "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 queued\r\n", "250 ok\r\n",
			"250 ok\r\n", "354 go\r\n", "250 queued\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\ntext\n" TEXT "sent\nready\n" MAIL RCPT
		     "C: DATA\ntext\n" TEXT "sent\nready\nC: QUIT\nover idle 0 \n"},
	{"one at a time where that is wanted", {SETUP, .no_pipeline = true}, 1, true,
		{HELLO, "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 queued\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\ntext\n" TEXT "sent\nready\nC: QUIT\nover idle 0 \n"},
	{"in one group where it is offered", {SETUP}, 2, true,
		{HELLO, "250 ok\r\n250 ok\r\n354 go\r\n", "250 queued\r\n250 ok\r\n250 ok\r\n354 go\r\n",
			"250 queued\r\n221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\ntext\n" TEXT MAIL RCPT "C: DATA\nsent\ntext\n" TEXT
		     "C: QUIT\nsent\nover idle 0 \n"},
	{"in one group, message after message", {SETUP}, 2, false,
		{HELLO, "250 ok\r\n250 ok\r\n354 go\r\n", "250 queued\r\n", "250 ok\r\n250 ok\r\n354 go\r\n",
			"250 queued\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\ntext\n" TEXT "sent\nready\n" MAIL RCPT
		     "C: DATA\ntext\n" TEXT "sent\nready\nC: QUIT\nover idle 0 \n"},
	{"pipelined though it is not offered", {SETUP, .pipeline = true}, 1, true,
		{PLAIN, "250 ok\r\n250 ok\r\n354 go\r\n", "250 queued\r\n221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\ntext\n" TEXT "C: QUIT\nsent\nover idle 0 \n"},
	{"BDAT in one group", {SETUP, .bdat = true}, 1, true,
		{HELLO, "250 ok\r\n250 ok\r\n250 queued\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT BDAT "sent\nready\nC: QUIT\nover idle 0 \n"},
	{"BDAT one at a time", {SETUP, .bdat = true, .no_pipeline = true}, 1, true,
		{HELLO, "250 ok\r\n", "250 ok\r\n", "250 queued\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "text\n" BDAT "sent\nready\nC: QUIT\nover idle 0 \n"},
	{"BDAT that is not offered", {SETUP, .bdat = true}, 1, true, {PLAIN},
		EHLO "over ehlo 0 CHUNKING is not offered: --bdat cannot be done\n"},
	{"8BITMIME is said where it is needed", {.mail = &mail_8bit, .ehlo = {"gen.example", 11}}, 1, true,
		{HELLO, "250 ok\r\n250 ok\r\n354 go\r\n", "250 queued\r\n221 bye\r\n"},
		EHLO "ready\nC: MAIL FROM:<noreply@from.example> BODY=8BITMIME\n" RCPT "C: DATA\ntext\n" TEXT
		     "C: QUIT\nsent\nover idle 0 \n"},
	{"STARTTLS", {SETUP, .starttls = true}, 0, true,
		{"220 mx.example\r\n", "250-mx.example\r\n250 starttls\r\n", "220 go\r\n",
			"250-mx.example\r\n250 PIPELINING\r\n", "221 bye\r\n"},
		EHLO "C: STARTTLS\ntls\n" EHLO "ready\nC: QUIT\nover idle 0 \n"},
	{"STARTTLS that is not offered is not asked for", {SETUP, .starttls = true}, 0, true,
		{PLAIN, "221 bye\r\n"}, EHLO "ready\nC: QUIT\nover idle 0 \n"},
	{"STARTTLS answered before it was asked for", {SETUP, .starttls = true}, 0, true,
		{"220 mx.example\r\n", "250 STARTTLS\r\n250 STARTTLS\r\n"},
		EHLO "over starttls 0 a reply came before it was due\n"},
	{"STARTTLS refused", {SETUP, .starttls = true}, 0, true,
		{"220 mx.example\r\n", "250 STARTTLS\r\n", "454 4.7.0 not now\r\n"},
		EHLO "C: STARTTLS\nover starttls 454 4.7.0 not now\n"},
	{"a connection alone", {SETUP, .connect_only = true}, 0, true, {"220 mx.example\r\n", "221 bye\r\n"},
		"ready\nC: QUIT\nover idle 0 \n"},
	{"a banner that refuses", {SETUP}, 1, true, {"554 5.7.1 go away\r\n"},
		"over banner 554 5.7.1 go away\n"},
	{"a banner of a busy server", {SETUP}, 1, true, {"421 later\r\n"}, "over banner 421 later\n"},
	{"EHLO refused", {SETUP}, 1, true, {"220 mx.example\r\n", "550 no\r\n"}, EHLO "over ehlo 550 no\n"},
	{"MAIL refused, one at a time", {SETUP}, 2, true,
		{PLAIN, "451 4.7.1 later\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 queued\r\n",
			"221 bye\r\n"},
		EHLO "ready\n" MAIL "failed mail 451 4.7.1 later\nready\n" MAIL RCPT "C: DATA\ntext\n" TEXT
		     "sent\nready\nC: QUIT\nover idle 0 \n"},
	{"RCPT refused, one at a time", {SETUP}, 1, true,
		{PLAIN, "250 ok\r\n", "550 5.1.1 unknown\r\n", "250 reset\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT
		     "failed rcpt 550 5.1.1 unknown\nC: RSET\nready\nC: QUIT\nover idle 0 \n"},
	{"RCPT refused in a group", {SETUP}, 2, true,
		{HELLO, "250 ok\r\n550 5.1.1 unknown\r\n503 no recipients\r\n", "250 reset\r\n",
			"250 ok\r\n250 ok\r\n354 go\r\n", "250 queued\r\n221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\nfailed rcpt 550 5.1.1 unknown\nC: RSET\nready\n" MAIL RCPT
		     "C: DATA\ntext\n" TEXT "C: QUIT\nsent\nover idle 0 \n"},
	{"MAIL refused in a group", {SETUP}, 1, true,
		{HELLO, "550 5.7.1 no\r\n503 MAIL first\r\n503 MAIL first\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\nfailed mail 550 5.7.1 no\nready\nC: QUIT\nover idle 0 \n"},
	{"RCPT refused, and yet it wants a text", {SETUP}, 1, true,
		{HELLO, "250 ok\r\n550 5.1.1 unknown\r\n354 go\r\n", "554 no recipients\r\n", "221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT
		     "C: DATA\nC: .\nfailed rcpt 550 5.1.1 unknown\nready\nC: QUIT\nover idle 0 \n"},
	{"a text refused, the next one under way", {SETUP}, 2, true,
		{HELLO, "250 ok\r\n250 ok\r\n354 go\r\n",
			"550-5.7.1 spam\r\n550 5.7.1 it is\r\n250 ok\r\n250 ok\r\n354 go\r\n",
			"250 queued\r\n221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\ntext\n" TEXT MAIL RCPT
		     "C: DATA\nfailed end_of_data 550 5.7.1 spam\ntext\n" TEXT
		     "C: QUIT\nsent\nover idle 0 \n"},
	{"BDAT refused", {SETUP, .bdat = true}, 1, true,
		{HELLO, "250 ok\r\n550 5.1.1 unknown\r\n503 no recipients\r\n", "250 reset\r\n",
			"221 bye\r\n"},
		EHLO "ready\n" MAIL RCPT BDAT
		     "failed rcpt 550 5.1.1 unknown\nC: RSET\nready\nC: QUIT\nover idle 0 \n"},
	{"RSET refused", {SETUP}, 1, true, {PLAIN, "250 ok\r\n", "550 5.1.1 unknown\r\n", "500 what\r\n"},
		EHLO "ready\n" MAIL RCPT "failed rcpt 550 5.1.1 unknown\nC: RSET\nover rset 500 what\n"},
	{"421 in the middle", {SETUP}, 1, true, {HELLO, "250 ok\r\n421 4.7.0 too many\r\n"},
		EHLO "ready\n" MAIL RCPT "C: DATA\nover rcpt 421 4.7.0 too many\n"},
	{"421 while nothing is under way", {SETUP}, 0, true, {"220 hi\r\n", "250 mx\r\n", "421 idle\r\n"},
		EHLO "ready\nC: QUIT\nover quit 421 idle\n"},
	{"not SMTP", {SETUP}, 1, true, {"SSH-2.0-OpenSSH\r\n"}, "over banner 0 not an SMTP reply\n"},
	{"a reply of another kind", {SETUP}, 1, true, {PLAIN, "354 go\r\n"},
		EHLO "ready\n" MAIL "over mail 354 go\n"},
	{"a server that talks ahead", {SETUP}, 1, true, {"220 mx.example\r\n250 mx.example\r\n250 ok\r\n"},
		"over ehlo 0 a reply came before it was due\n"},
};

static char log_text[8192];

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	size_t used = strlen(log_text);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(log_text + used, sizeof(log_text) - used, format, arguments);
	va_end(arguments);
}

/* Takes what there is to send, at most `chunk` octets at a time, and writes its lines down. */
static void drain(struct smtp_client *client, size_t chunk)
{
	char sent[4096];
	size_t len = 0;
	struct iovec parts[3];
	unsigned count;
	while ((count = smtp_client_out(client, parts)) > 0) {
		ck_assert_uint_le(count, 3);
		size_t n = parts[0].iov_len < chunk ? parts[0].iov_len : chunk;
		ck_assert_uint_le(len + n, sizeof(sent));
		memcpy(sent + len, parts[0].iov_base, n);
		len += n;
		smtp_client_wrote(client, n);
	}
	for (size_t at = 0; at < len;) {
		const char *end = memchr(sent + at, '\n', len - at);
		ck_assert_ptr_nonnull(end);
		size_t line = (size_t)(end - (sent + at)) + 1;
		ck_assert(line >= 2 && end[-1] == '\r');
		note("C: %.*s\n", (int)line - 2, sent + at);
		at += line;
	}
}

static void play(const struct dialogue *dialogue, size_t chunk, bool flush_at_once)
{
	static const struct mail_item item = {
		.user = 7, .from = {"from.example", 12}, .to = {"to.example", 10}};
	static struct smtp_client client;
	unsigned begun = 0, next = 0;
	size_t at = 0;
	bool over = false;

	log_text[0] = '\0';
	smtp_client_init(&client, &dialogue->setup);
	for (struct span in = {NULL, 0}; !over;) {
		enum smtp_client_step step = smtp_client_step(&client, &in);
		switch (step) {
		case SMTP_CLIENT_WAIT:
			break;
		case SMTP_CLIENT_READY:
			note("ready\n");
			if (begun++ < dialogue->messages)
				smtp_client_begin(&client, &item, span_of("now"));
			else
				smtp_client_quit(&client);
			break;
		case SMTP_CLIENT_TEXT: {
			note("text\n");
			bool together = dialogue->together && smtp_client_pipelines(&client);
			bool more = together && begun < dialogue->messages;
			begun += more;
			smtp_client_text(&client, span_of("now"), more ? &item : NULL, together && !more);
			break;
		}
		case SMTP_CLIENT_SENT:
			note("sent\n");
			continue;
		case SMTP_CLIENT_FAILED:
		case SMTP_CLIENT_OVER:
			note("%s %s %u %.*s\n", step == SMTP_CLIENT_OVER ? "over" : "failed",
				client.verdict.code || client.verdict.text_len
					? gen_phase_names[client.verdict.phase]
					: "idle",
				client.verdict.code, client.verdict.text_len, client.verdict.text);
			over = step == SMTP_CLIENT_OVER;
			if (step == SMTP_CLIENT_FAILED)
				drain(&client, flush_at_once ? SIZE_MAX : chunk);
			continue;
		case SMTP_CLIENT_TLS:
			drain(&client, chunk);
			note("tls\n");
			smtp_client_secured(&client);
			break;
		}
		drain(&client, flush_at_once ? SIZE_MAX : chunk);
		if (step != SMTP_CLIENT_WAIT)
			continue;
		ck_assert_uint_eq(in.len, 0);
		const char *text = dialogue->server[next];
		if (!text)
			break;
		in = (struct span){text + at, strlen(text) - at < chunk ? strlen(text) - at : chunk};
		at += in.len;
		if (at == strlen(text)) {
			next++;
			at = 0;
		}
	}
}

START_TEST(dialogues_go_as_written)
{
	static const size_t chunks[] = {1, 2, 3, 7, 16, 4096};
	const struct dialogue *dialogue = &dialogues[_i];
	for (size_t i = 0; i < ROWS(chunks); i++) {
		/* Only whole replies at once show that some came too early. */
		bool early = strstr(dialogue->log, "before it was due");
		if (early && chunks[i] < 4096)
			continue;
		play(dialogue, chunks[i], i % 2);
		ck_assert_msg(strcmp(log_text, dialogue->log) == 0,
			"%s, in chunks of %zu:\n%s\nexpected:\n%s", dialogue->title, chunks[i], log_text,
			dialogue->log);
	}
}
END_TEST

/* The text is not copied: three parts, the middle one the mail's own. */
START_TEST(the_text_is_sent_from_where_it_is)
{
	static const struct mail_item item = {
		.user = 7, .from = {"from.example", 12}, .to = {"to.example", 10}};
	static struct smtp_client client;
	static const struct smtp_client_setup setup = {
		.mail = &mail, .ehlo = {"gen.example", 11}, .bdat = true};
	struct iovec parts[3];
	struct span in = span_of("220 hi\r\n");
	smtp_client_init(&client, &setup);
	ck_assert_int_eq(smtp_client_step(&client, &in), SMTP_CLIENT_WAIT);
	smtp_client_wrote(&client, smtp_client_out(&client, parts) ? parts[0].iov_len : 0);
	in = span_of("250-a\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
	ck_assert_int_eq(smtp_client_step(&client, &in), SMTP_CLIENT_READY);
	smtp_client_begin(&client, &item, span_of("now"));
	ck_assert_uint_eq(smtp_client_out(&client, parts), 2);
	ck_assert_ptr_eq(parts[1].iov_base, mail.text.data);
	smtp_client_wrote(&client, parts[0].iov_len + 5);
	ck_assert_uint_eq(smtp_client_out(&client, parts), 1);
	ck_assert_ptr_eq(parts[0].iov_base, mail.text.data + 5);
	/* The server refuses a text that it has not had: nothing more can be said here. */
	in = span_of("250 ok\r\n250 ok\r\n552 too big\r\n");
	ck_assert_int_eq(smtp_client_step(&client, &in), SMTP_CLIENT_OVER);
	ck_assert_uint_eq(client.verdict.code, 552);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("smtp_client");
	TCase *tcase = tcase_create("smtp_client");
	tcase_add_loop_test(tcase, dialogues_go_as_written, 0, ROWS(dialogues));
	tcase_add_test(tcase, the_text_is_sent_from_where_it_is);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
