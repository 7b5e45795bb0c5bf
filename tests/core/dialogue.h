/*
 * dialogue: a session of the tests without a socket and without a clock: lines go to the engine, its questions
 * to the policy, and what the client would see comes back as text. In a header of its own, since the tests of
 * two layers hold dialogues.
 */
#ifndef MX_TEST_DIALOGUE_H
#define MX_TEST_DIALOGUE_H

#include <arpa/inet.h>
#include <check.h>

#include "policy.h"
#include "smtp.h"

#define DIALOGUE_TODAY "2026-11-22"

struct dialogue {
	struct policy_session session;
	struct policy_transaction transaction;
	struct smtp smtp;
	struct policy_verdict verdict;  /* the last one */
	const struct mx_answer *answer; /* what DNS says of any domain; NULL: nothing */
	const uint64_t *clock_ms;
	enum smtp_phase phase; /* of the last decision */
	unsigned asked_mx;     /* times that the policy wanted to know */
	bool closed;
	char seen[8192];
	char data[16384];
};

static inline struct in6_addr dialogue_address(const char *text)
{
	struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
	if (inet_pton(AF_INET, text, &address.s6_addr[12]) != 1)
		if (inet_pton(AF_INET6, text, &address) != 1)
			ck_abort_msg("%s is no address", text);
	return address;
}

/* What the client sees in place of a reply. */
static inline const char *dialogue_silence(const struct policy_verdict *verdict)
{
	static const char *const faults[] = {
		[PROVIDER_FAULT_RESET] = "(reset)",
		[PROVIDER_FAULT_CLOSE] = "(close)",
		[PROVIDER_FAULT_STALL] = "(stall)",
		[PROVIDER_FAULT_TRUNCATE] = "(truncate)",
		[PROVIDER_FAULT_GARBLE] = "(garble)",
	};
	static const char *const actions[] = {
		[PROVIDER_CLOSE] = "(close)", [PROVIDER_RESET] = "(reset)", [PROVIDER_HANG] = "(hang)"};
	if (verdict->faulted)
		return faults[verdict->fault];
	return verdict->action >= PROVIDER_CLOSE ? actions[verdict->action] : NULL;
}

/* One decision. False when the connection has ended by it. */
static inline bool dialogue_decide(struct dialogue *d, struct smtp_out *out)
{
	d->phase = d->smtp.phase;
	d->session.transaction = &d->transaction;
	if (policy_decide(&d->session, &d->smtp, NULL, *d->clock_ms, DIALOGUE_TODAY, &d->verdict) ==
		POLICY_WANTS_MX) {
		d->asked_mx++;
		const struct policy_mx mx = policy_mx_of(d->session.policy, d->smtp.path.domain, d->answer);
		if (policy_decide(&d->session, &d->smtp, &mx, *d->clock_ms, DIALOGUE_TODAY, &d->verdict) !=
			POLICY_DECIDED)
			ck_abort_msg("wants to know twice");
	}
	const char *silence = dialogue_silence(&d->verdict);
	if (silence) {
		out->len += (size_t)snprintf(out->data + out->len, out->cap - out->len, "%s", silence);
		return false;
	}
	unsigned code = smtp_decide(&d->smtp, d->verdict.reply, out);
	return code < 400 || d->verdict.action != PROVIDER_REPLY_CLOSE;
}

/*
 * Feeds bytes; the return is what the client sees of it, CRs left out, with "(close)" and its like where the
 * connection ends.
 */
static inline const char *dialogue_feed(struct dialogue *d, struct span in)
{
	struct smtp_out out = {d->data, 0, sizeof(d->data)};
	/* Not ck_assert, which writes to a pipe each time: some tests say millions of lines. */
	if (d->closed)
		ck_abort_msg("said after the end: %.*s", (int)(in.len < 80 ? in.len : 80), in.data);
	for (bool open = true; open;) {
		size_t used;
		enum smtp_want want = smtp_step(&d->smtp, in, &used, &out);
		in = span_from(in, used);
		switch (want) {
		case SMTP_WANT_DECISION:
			if (!dialogue_decide(d, &out))
				d->closed = true;
			open = !d->closed;
			break;
		case SMTP_WANT_FORGET:
			policy_forget(&d->session);
			break;
		case SMTP_WANT_CLOSE:
			d->closed = true;
			open = false;
			break;
		case SMTP_WANT_INPUT:
			if (in.len)
				ck_abort_msg("an incomplete line: %.*s", (int)in.len, in.data);
			open = false;
			break;
		case SMTP_WANT_OUTPUT:
			ck_abort_msg("more replies than a test should ask for at once");
		}
	}
	size_t len = 0;
	for (size_t i = 0; i < out.len && len + 1 < sizeof(d->seen); i++)
		if (out.data[i] != '\r')
			d->seen[len++] = out.data[i];
	d->seen[len] = '\0';
	return d->seen;
}

static inline const char *say(struct dialogue *d, const char *line)
{
	return dialogue_feed(d, span_of(line));
}

/* A connection not diverted, whose destination is unknown; more is set before dialogue_begin(). */
static inline void dialogue_init(struct dialogue *d, const struct policy *policy, struct policy_state *state,
	const char *source, const uint64_t *clock_ms)
{
	/* Not the buffers, which are large and written before they are read. */
	memset(d, 0, offsetof(struct dialogue, seen));
	d->seen[0] = '\0';
	/* Not 0: what the policy does not set is seen. */
	memset(&d->verdict, 0x5a, sizeof(d->verdict));
	d->session.policy = policy;
	d->session.state = state;
	d->session.source = dialogue_address(source);
	d->session.destination = dialogue_address("203.0.113.1");
	d->clock_ms = clock_ms;
	smtp_init(&d->smtp, &policy->profile);
}

/* The banner, or what stands for it. */
static inline const char *dialogue_begin(struct dialogue *d)
{
	return say(d, "");
}

static inline void dialogue_end(struct dialogue *d)
{
	policy_session_done(&d->session, *d->clock_ms);
}

/* Banner and EHLO, which must be accepted. */
static inline void dialogue_greet(struct dialogue *d)
{
	const char *seen = dialogue_begin(d);
	if (strncmp(seen, "220 ", 4) != 0)
		ck_abort_msg("%s", seen);
	seen = say(d, "EHLO mta.example\r\n");
	if (strncmp(seen, "250", 3) != 0)
		ck_abort_msg("%s", seen);
}

static inline bool dialogue_refused(const struct dialogue *d)
{
	return d->closed || (d->verdict.reply && d->verdict.reply->code >= 400);
}

#endif
