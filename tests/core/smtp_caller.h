/*
 * smtp_caller: the loop around the engine that smtp.h describes, for tests: feeds bytes, makes
 * default decisions, gathers what went out and notes what happened. Every input lies in a block of
 * its exact size, so that the address sanitizer sees a read past its end.
 */
#ifndef MX_TEST_SMTP_CALLER_H
#define MX_TEST_SMTP_CALLER_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "smtp.h"

struct smtp_caller {
	struct smtp smtp;
	const struct smtp_profile *profile;
	uint32_t flags_ignored; /* left out of the notes: enum smtp_flag */
	size_t out_cap;         /* at least SMTP_REPLY_MAX */

	char *out;
	char *kept; /* input that the engine left */
	size_t kept_len;
	FILE *replies, *notes;
	char *replies_text, *notes_text; /* what they hold, once flushed */
	size_t replies_len, notes_len;
	unsigned writes; /* how often out was sent */
	bool closed;
};

static inline void smtp_caller_init(
	struct smtp_caller *caller, const struct smtp_profile *profile, size_t out_cap)
{
	*caller = (struct smtp_caller){.profile = profile, .out_cap = out_cap};
	smtp_init(&caller->smtp, profile);
	caller->out = malloc(out_cap);
	caller->replies = open_memstream(&caller->replies_text, &caller->replies_len);
	caller->notes = open_memstream(&caller->notes_text, &caller->notes_len);
	if (!caller->out || !caller->replies || !caller->notes)
		abort();
}

static inline void smtp_caller_done(struct smtp_caller *caller)
{
	fclose(caller->replies);
	fclose(caller->notes);
	free(caller->replies_text);
	free(caller->notes_text);
	free(caller->out);
	free(caller->kept);
}

static inline void smtp_caller_send(struct smtp_caller *caller, struct smtp_out *out)
{
	caller->writes += out->len > 0;
	fwrite(out->data, 1, out->len, caller->replies);
	out->len = 0;
}

/* `recipients=1 octets=3 flags=bare_lf,esmtp` */
static inline void smtp_caller_note_message(struct smtp_caller *caller, unsigned code)
{
	static const char *const names[] = {
		"bare_lf", "bare_cr", "nul", "early_data", "8bit", "smtputf8", "chunked", "esmtp"};
	const struct smtp_message *message = &caller->smtp.message;
	fprintf(caller->notes, "M: %u recipients=%" PRIu32 " octets=%" PRIu64 " flags=", code,
		message->recipients, message->octets);
	const char *divider = "";
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(message->flags & ~caller->flags_ignored & 1u << i))
			continue;
		fprintf(caller->notes, "%s%s", divider, names[i]);
		divider = ",";
	}
	fputc('\n', caller->notes);
}

/* What the decision is about, in the words of the client. */
static inline void smtp_caller_note_question(struct smtp_caller *caller)
{
	struct span about = {NULL, 0};
	if (caller->smtp.phase == SMTP_PHASE_HELO)
		about = caller->smtp.helo;
	else if (caller->smtp.phase == SMTP_PHASE_MAIL || caller->smtp.phase == SMTP_PHASE_RCPT)
		about = caller->smtp.path.mailbox;
	fprintf(caller->notes, "ask %d ", (int)caller->smtp.phase);
	fwrite(about.len ? about.data : "", 1, about.len, caller->notes);
	fputc('\n', caller->notes);
}

/* Gives the engine what it left and bytes behind it, until it wants more or closes. */
static inline void smtp_caller_feed(struct smtp_caller *caller, struct span bytes)
{
	size_t len = caller->kept_len + bytes.len;
	char *input = malloc(len ? len : 1);
	if (!input)
		abort();
	if (caller->kept_len)
		memcpy(input, caller->kept, caller->kept_len);
	if (bytes.len)
		memcpy(input + caller->kept_len, bytes.data, bytes.len);
	free(caller->kept);
	caller->kept = NULL;
	caller->kept_len = 0;

	struct span in = {input, len};
	struct smtp_out out = {caller->out, 0, caller->out_cap};
	bool waits = caller->closed;
	while (!waits) {
		size_t used;
		enum smtp_want want = smtp_step(&caller->smtp, in, &used, &out);
		in = span_from(in, used);
		switch (want) {
		case SMTP_WANT_INPUT:
			if (in.len >= caller->profile->limits.command_line)
				abort();
			waits = true;
			break;
		case SMTP_WANT_DECISION: {
			smtp_caller_note_question(caller);
			unsigned code = smtp_decide(&caller->smtp, NULL, &out);
			if (caller->smtp.phase == SMTP_PHASE_END_OF_DATA)
				smtp_caller_note_message(caller, code);
			break;
		}
		case SMTP_WANT_FORGET:
			fputs("forget\n", caller->notes);
			break;
		case SMTP_WANT_OUTPUT:
			if (!out.len)
				abort();
			smtp_caller_send(caller, &out);
			break;
		case SMTP_WANT_CLOSE:
			caller->closed = true;
			waits = true;
			break;
		}
	}
	smtp_caller_send(caller, &out);
	if (in.len && !caller->closed) {
		caller->kept = malloc(in.len);
		if (!caller->kept)
			abort();
		memcpy(caller->kept, in.data, in.len);
		caller->kept_len = in.len;
	}
	free(input);
	fflush(caller->replies);
	fflush(caller->notes);
}

#endif
