#include "smtp.h"

#include <inttypes.h>
#include <stdio.h>

#include "smtp_command.h"
#include "smtp_scan.h"
#include "smtp_text.h"

const struct smtp_limits smtp_limits_default = {
	/* RFC 5321's 512 and what RFC 1870, 3461, 4954, 6152, 6531 add: less than 1,200. */
	.command_line = 1536,
	.endless_line = 65536,
	.recipients = 1000,
	.recipient_overshoot = 1000,
	.bad_commands = 20,
	.message_size = 100 << 20,
};

void smtp_init(struct smtp *smtp, const struct smtp_profile *profile)
{
	*smtp = (struct smtp){.profile = profile, .state = SMTP_STATE_CONNECTED};
}

static void close_with(struct smtp *smtp, const struct smtp_reply *reply, struct smtp_out *out)
{
	smtp->state = SMTP_STATE_CLOSED;
	smtp->pending = SMTP_PENDING_NONE;
	smtp_text_reply(reply, out);
}

/* Puts out the engine's own reply to a command, and counts the bad ones. */
static void answer(struct smtp *smtp, const struct smtp_reply *reply, struct smtp_out *out)
{
	static const struct smtp_reply too_many = SMTP_REPLY(421, "4.7.0", "Too many errors, closing");
	bool bad = (reply->code >= 500 && reply->code <= 504) || reply->code == 555;
	if (bad && smtp->state != SMTP_STATE_CLOSED &&
		smtp->bad_commands++ >= smtp->profile->limits.bad_commands)
		close_with(smtp, &too_many, out);
	else
		smtp_text_reply(reply, out);
}

/*
 * The readers below take from the front of in what is theirs, *used bytes. They return false where
 * they have taken all they can and need more.
 */

static bool read_body(struct smtp *smtp, struct span in, size_t *used)
{
	enum smtp_scan_state scan = smtp->scan;
	*used = smtp_scan(&scan, in, &smtp->message);
	smtp->scan = (uint8_t)scan;
	if (scan != SMTP_SCAN_END)
		return false;
	smtp->phase = SMTP_PHASE_END_OF_DATA;
	smtp->pending = SMTP_PENDING_DECISION;
	return true;
}

uint64_t smtp_unread(const struct smtp *smtp)
{
	return smtp->chunk == SMTP_CHUNK_NONE ? 0 : smtp->chunk_left;
}

void smtp_skip(struct smtp *smtp, uint64_t octets)
{
	smtp->chunk_left -= octets;
	if (smtp->chunk != SMTP_CHUNK_REFUSED)
		smtp->message.octets += octets;
}

static bool read_chunk(struct smtp *smtp, struct span in, size_t *used, struct smtp_out *out)
{
	*used = in.len < smtp->chunk_left ? in.len : (size_t)smtp->chunk_left;
	smtp_skip(smtp, *used);
	if (smtp->chunk_left)
		return false;
	const struct smtp_reply *reply = smtp_command_chunk_done(smtp);
	if (reply)
		answer(smtp, reply, out);
	return true;
}

/* Drops what is there of a line that goes on past the limit, so that no more than the limit is
 * held. */
static bool read_unended_line(struct smtp *smtp, struct span in, size_t *used, struct smtp_out *out)
{
	static const struct smtp_reply endless = SMTP_REPLY(500, "5.5.2", "Endless line, closing");
	const struct smtp_limits *limits = &smtp->profile->limits;
	*used = 0;
	if (smtp->line_skipped + in.len >= limits->endless_line) {
		close_with(smtp, &endless, out);
		return true;
	}
	if (!smtp->line_skipped && in.len < limits->command_line)
		return false;
	/* A CR stays, so that the LF that may follow is known for what it is. */
	*used = in.len;
	if (in.len && in.data[in.len - 1] == '\r')
		--*used;
	smtp->line_skipped += (uint32_t)*used;
	return false;
}

static bool read_line(struct smtp *smtp, struct span in, size_t *used, struct smtp_out *out)
{
	static const struct smtp_reply bare_lf = SMTP_REPLY(550, "5.5.2", "Line ended by a bare LF, closing");
	static const struct smtp_reply bare_cr = SMTP_REPLY(500, "5.5.2", "CR inside a line");
	static const struct smtp_reply too_long = SMTP_REPLY(500, "5.5.2", "Line too long");
	const struct smtp_limits *limits = &smtp->profile->limits;
	if (in.len > limits->endless_line - smtp->line_skipped)
		in.len = limits->endless_line - smtp->line_skipped;
	const char *lf = in.len ? memchr(in.data, '\n', in.len) : NULL;
	if (!lf)
		return read_unended_line(smtp, in, used, out);

	*used = (size_t)(lf - in.data) + 1;
	if (lf == in.data || lf[-1] != '\r') {
		close_with(smtp, &bare_lf, out);
		return true;
	}
	struct span line = {in.data, *used - 2};
	const struct smtp_reply *reply;
	if (smtp->line_skipped + *used > limits->command_line)
		reply = &too_long;
	else if (line.len && memchr(line.data, '\r', line.len))
		reply = &bare_cr;
	else
		reply = smtp_command(smtp, line);
	smtp->line_skipped = 0;
	if (reply)
		answer(smtp, reply, out);
	return true;
}

static bool read_next(struct smtp *smtp, struct span in, size_t *used, struct smtp_out *out)
{
	if (smtp->chunk != SMTP_CHUNK_NONE)
		return read_chunk(smtp, in, used, out);
	if (smtp->state == SMTP_STATE_BODY)
		return read_body(smtp, in, used);
	bool done = read_line(smtp, in, used, out);
	bool asks = smtp->pending == SMTP_PENDING_DECISION;
	if (asks && smtp->phase == SMTP_PHASE_DATA && *used < in.len)
		smtp->message.flags |= SMTP_FLAG_EARLY_DATA;
	return done;
}

/* Before the banner: asks for the decision. True where the peer has not waited for it. */
static bool greet(struct smtp *smtp, struct span in, struct smtp_out *out)
{
	static const struct smtp_reply early = SMTP_REPLY(554, "5.5.1", "Input before the banner, closing");
	smtp->phase = SMTP_PHASE_CONNECT;
	smtp->pending = SMTP_PENDING_DECISION;
	if (in.len)
		close_with(smtp, &early, out);
	return in.len > 0;
}

enum smtp_want smtp_step(struct smtp *smtp, struct span in, size_t *used, struct smtp_out *out)
{
	*used = 0;
	for (;;) {
		struct span rest = span_from(in, *used);
		if (smtp->pending == SMTP_PENDING_FORGET) {
			smtp->pending = SMTP_PENDING_NONE;
			return SMTP_WANT_FORGET;
		}
		if (smtp->state == SMTP_STATE_CLOSED) {
			*used = in.len;
			return SMTP_WANT_CLOSE;
		}
		if (out->cap - out->len < SMTP_REPLY_MAX)
			return SMTP_WANT_OUTPUT;
		if (smtp->state == SMTP_STATE_CONNECTED && greet(smtp, rest, out))
			continue;
		if (smtp->pending == SMTP_PENDING_DECISION)
			return SMTP_WANT_DECISION;
		size_t taken;
		bool done = read_next(smtp, rest, &taken, out);
		*used += taken;
		if (!done)
			return SMTP_WANT_INPUT;
	}
}

/* What an acceptance makes of the session; END_OF_DATA ends alike either way. */
static void accept_phase(struct smtp *smtp)
{
	switch (smtp->phase) {
	case SMTP_PHASE_CONNECT:
		smtp->state = SMTP_STATE_GREETED;
		break;
	case SMTP_PHASE_HELO:
		smtp_command_reset(smtp);
		smtp->state = SMTP_STATE_READY;
		smtp->flags = smtp->ehlo ? SMTP_FLAG_ESMTP : 0;
		break;
	case SMTP_PHASE_MAIL:
		smtp->state = SMTP_STATE_MAIL;
		break;
	case SMTP_PHASE_RCPT:
		smtp->state = SMTP_STATE_RCPT;
		smtp->message.recipients++;
		break;
	case SMTP_PHASE_DATA:
		smtp->state = SMTP_STATE_BODY;
		smtp->scan = SMTP_SCAN_LINE_START;
		break;
	case SMTP_PHASE_END_OF_DATA:
		break;
	}
}

bool smtp_recipients_full(const struct smtp *smtp)
{
	return smtp->phase == SMTP_PHASE_RCPT && smtp->message.recipients >= smtp->profile->limits.recipients;
}

/* What is wrong with a message that is announced, or wholly in, or with one recipient more; NULL where nothing is. */
static const struct smtp_reply *find_fault(const struct smtp *smtp)
{
	static const struct smtp_reply bare_lf = SMTP_REPLY(550, "5.5.2", "Bare LF in the message");
	static const struct smtp_reply too_large = SMTP_REPLY(552, "5.3.4", "Message size exceeds limit");
	static const struct smtp_reply too_many = SMTP_REPLY(452, "4.5.3", "Too many recipients");
	static const struct smtp_reply far_too_many =
		SMTP_REPLY(421, "4.5.3", "Far too many recipients, closing");
	if (smtp_recipients_full(smtp))
		return smtp->overshoot < smtp->profile->limits.recipient_overshoot ? &too_many
										   : &far_too_many;
	uint64_t limit = smtp->profile->limits.message_size, size = 0;
	if (smtp->phase == SMTP_PHASE_MAIL)
		size = smtp->declared_size;
	if (smtp->phase == SMTP_PHASE_END_OF_DATA) {
		size = smtp->message.octets;
		if (smtp->message.flags & SMTP_FLAG_BARE_LF)
			return &bare_lf;
	}
	return limit && size > limit ? &too_large : NULL;
}

/* Writes the text of the acceptance that names this host, cut to size. */
static struct span name_host(const struct smtp *smtp, char *text, size_t size)
{
	const struct smtp_profile *profile = smtp->profile;
	uint64_t limit = profile->limits.message_size;
	int len;
	if (smtp->phase == SMTP_PHASE_CONNECT)
		len = snprintf(text, size, "%s %s", profile->hostname, profile->banner);
	else if (!smtp->ehlo)
		len = snprintf(text, size, "%s", profile->hostname);
	else if (limit)
		len = snprintf(
			text, size, "%s\nSIZE %" PRIu64 "\n" SMTP_EXTENSIONS, profile->hostname, limit);
	else
		len = snprintf(text, size, "%s\nSIZE\n" SMTP_EXTENSIONS, profile->hostname);
	return (struct span){text, len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1};
}

static unsigned reply_default(const struct smtp *smtp, struct smtp_out *out)
{
	static const struct smtp_reply acceptances[] = {
		[SMTP_PHASE_CONNECT] = SMTP_REPLY(220, "", ""),
		[SMTP_PHASE_HELO] = SMTP_REPLY(250, "", ""),
		[SMTP_PHASE_MAIL] = SMTP_REPLY(250, "2.1.0", "Ok"),
		[SMTP_PHASE_RCPT] = SMTP_REPLY(250, "2.1.5", "Ok"),
		[SMTP_PHASE_DATA] = SMTP_REPLY(354, "", "End data with <CR><LF>.<CR><LF>"),
		[SMTP_PHASE_END_OF_DATA] = SMTP_REPLY(250, "2.0.0", "Ok"),
	};
	struct smtp_reply reply = acceptances[smtp->phase];
	char text[SMTP_REPLY_MAX];
	if (!reply.text.len)
		reply.text = name_host(smtp, text, sizeof(text));
	smtp_text_reply(&reply, out);
	return reply.code;
}

unsigned smtp_decide(struct smtp *smtp, const struct smtp_reply *reply, struct smtp_out *out)
{
	bool accepted = !reply || reply->code < 400;
	smtp->pending = SMTP_PENDING_NONE;
	const struct smtp_reply *fault = accepted ? find_fault(smtp) : NULL;
	if (fault) {
		reply = fault;
		accepted = false;
		smtp->overshoot += smtp->phase == SMTP_PHASE_RCPT;
	}
	unsigned code = reply ? reply->code : reply_default(smtp, out);
	if (reply)
		smtp_text_reply(reply, out);

	if (accepted)
		accept_phase(smtp);
	else if (smtp->phase == SMTP_PHASE_CONNECT)
		smtp->state = SMTP_STATE_REFUSED;
	if (smtp->phase == SMTP_PHASE_END_OF_DATA)
		smtp_command_reset(smtp);
	if (code == 421 || code == 521)
		smtp->state = SMTP_STATE_CLOSED;
	return code;
}

void smtp_abort(const char *enhanced, const char *text, struct smtp_out *out)
{
	smtp_text_reply(&(struct smtp_reply){421, span_of(enhanced), span_of(text)}, out);
}

void smtp_close(struct smtp *smtp)
{
	smtp->state = SMTP_STATE_CLOSED;
}

enum smtp_waiting smtp_waiting(const struct smtp *smtp)
{
	if (smtp->state == SMTP_STATE_BODY || smtp->chunk != SMTP_CHUNK_NONE)
		return SMTP_WAITING_DATA;
	return smtp->line_skipped ? SMTP_WAITING_REST : SMTP_WAITING_COMMAND;
}
