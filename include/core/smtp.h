/*
 * smtp: the receiving side of one SMTP session (RFC 5321 and its extensions) as a pure machine. It
 * is fed bytes and says what it needs next; it does no I/O, reads no clock, allocates nothing, logs
 * nothing and decides no policy: at each phase it asks, and the caller answers. The same bytes in
 * any chunking give the same replies.
 *
 * A caller's loop, with `in` the bytes received so far and not yet used:
 *
 *     for (;;) {
 *         size_t used;
 *         enum smtp_want want = smtp_step(&smtp, in, &used, &out);
 *         in = span_from(in, used);
 *         switch (want) {
 *         case SMTP_WANT_INPUT:    keep `in` (part of a command line at most), flush out, wait
 *         case SMTP_WANT_DECISION: look at smtp.phase, then smtp_decide(&smtp, reply, &out)
 *         case SMTP_WANT_FORGET:   the transaction is gone: drop what was kept of it, go on
 *         case SMTP_WANT_OUTPUT:   out has no room for a reply: send it, go on
 *         case SMTP_WANT_CLOSE:    send out, then close; drop an open transaction as well
 *         }
 *     }
 *
 * A transaction opens when a MAIL is accepted. SMTP_WANT_FORGET comes exactly once for each that
 * ends with the session going on: at RSET, at an accepted HELO or EHLO, and after the decision at
 * END_OF_DATA, whatever it was (also where that reply closes: CLOSE follows). A refused RCPT or
 * DATA ends nothing. It does not come for a transaction that QUIT, a 421 or the peer's hanging up
 * leaves open: SMTP_WANT_CLOSE or the caller's own end of the session stands for it.
 *
 * Sources: RFC 5321, 3030 (BDAT), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 2920 (PIPELINING),
 * 2034 and 3463 (enhanced codes), 3461 (DSN).
 */
#ifndef MX_SMTP_H
#define MX_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "span.h"

/* out must have this much room for any one step to make progress, in bytes. */
#define SMTP_REPLY_MAX 2048

/* What EHLO announces besides SIZE, where the caller says nothing else. */
#define SMTP_EXTENSIONS "PIPELINING\n8BITMIME\nSMTPUTF8\nCHUNKING\nENHANCEDSTATUSCODES\nDSN"

/* What a peer may make grow, and why so far. */
struct smtp_limits {
	uint32_t command_line;        /* bytes with CRLF; RFC 5321 4.5.3.1.4: 512, and extensions add */
	uint32_t endless_line;        /* a line without an end: give up and close after so many bytes */
	uint32_t recipients;          /* accepted per transaction; RFC 5321 4.5.3.1.8 asks for 100 */
	uint32_t recipient_overshoot; /* 452 replies past that, then 421 and close */
	uint32_t bad_commands;        /* answered 500 to 504 or 555 in a session, then 421 and close */
	uint64_t message_size;        /* octets, announced as SIZE; 0 = no limit */
};

extern const struct smtp_limits smtp_limits_default;

/* How this end presents itself: immutable, shared by sessions, outlives them. */
struct smtp_profile {
	const char *hostname; /* in the banner and in the reply to EHLO and HELO */
	const char *banner;   /* text behind the hostname: "ESMTP" */
	struct smtp_limits limits;
};

/* Where a decision is asked for. */
enum smtp_phase {
	SMTP_PHASE_CONNECT,     /* before the banner */
	SMTP_PHASE_HELO,        /* HELO or EHLO; smtp.helo is the argument */
	SMTP_PHASE_MAIL,        /* smtp.path is the reverse-path; empty for <> */
	SMTP_PHASE_RCPT,        /* smtp.path is the forward-path */
	SMTP_PHASE_DATA,        /* DATA, before 354; not asked for BDAT */
	SMTP_PHASE_END_OF_DATA, /* the whole message is in: smtp.message */
};

enum smtp_want {
	SMTP_WANT_INPUT,
	SMTP_WANT_DECISION,
	SMTP_WANT_FORGET, /* a transaction ended, see above */
	SMTP_WANT_OUTPUT,
	SMTP_WANT_CLOSE,
};

/* What the session is waiting for, to choose a time-out by (RFC 5321 4.5.3.2). */
enum smtp_waiting {
	SMTP_WAITING_COMMAND,
	SMTP_WAITING_REST, /* the rest of a command line that is too long */
	SMTP_WAITING_DATA, /* the body behind DATA or BDAT */
};

/* Oddities seen in a message or session; bits. */
enum smtp_flag {
	SMTP_FLAG_BARE_LF = 1 << 0,
	SMTP_FLAG_BARE_CR = 1 << 1,
	SMTP_FLAG_NUL = 1 << 2,
	SMTP_FLAG_EARLY_DATA = 1 << 3, /* body sent behind DATA without waiting for 354 */
	SMTP_FLAG_8BIT = 1 << 4,       /* BODY=8BITMIME declared */
	SMTP_FLAG_SMTPUTF8 = 1 << 5,
	SMTP_FLAG_CHUNKED = 1 << 6, /* came by BDAT */
	SMTP_FLAG_ESMTP = 1 << 7,   /* the session said EHLO */
};

/*
 * A path of MAIL or RCPT, without <> and source route. Like smtp.helo, the spans lie in the input
 * of the step that asked for the decision: the caller leaves those bytes where they are until it
 * decided.
 */
struct smtp_path {
	struct span mailbox; /* local@domain as sent */
	struct span local;   /* with its quotes, if it has them */
	struct span domain;  /* empty for <> and <postmaster>; with brackets for a literal */
};

struct smtp_message {
	uint64_t octets;     /* as RFC 1870 counts: CRLFs in, transparent dots and the final dot out */
	uint32_t recipients; /* accepted ones */
	uint32_t flags;      /* enum smtp_flag */
};

/*
 * A reply to give. code is 200 to 599; enhanced may be empty ("4.7.28", without spaces); text may
 * hold several lines, divided by '\n', and no CR. Long lines are cut so that a reply fits
 * SMTP_REPLY_MAX.
 */
struct smtp_reply {
	unsigned code;
	struct span enhanced;
	struct span text;
};

/* Where replies are gathered: the caller's buffer, sent in one write for a pipelined group. */
struct smtp_out {
	char *data;
	size_t len;
	size_t cap;
};

struct smtp {
	/* Valid from SMTP_WANT_DECISION to the next smtp_step(); see enum smtp_phase. */
	enum smtp_phase phase;
	bool ehlo; /* the HELO asked about is an EHLO */
	/* With SMTP_WANT_CLOSE: the client asked for it, nothing of its input is lost. */
	bool quit;
	union {
		struct span helo;
		struct smtp_path path;
	};
	struct smtp_message message;
	/* MAIL's SIZE parameter in octets, 0 where there was none, the highest number where none holds it. */
	uint64_t declared_size;

	/* Private. */
	const struct smtp_profile *profile;
	uint64_t chunk_left;   /* octets of the current BDAT chunk still to come */
	uint32_t line_skipped; /* bytes of a line that is too long, already dropped */
	uint32_t bad_commands;
	uint32_t overshoot;  /* recipients refused for being too many */
	uint8_t state;       /* enum smtp_state */
	uint8_t pending : 4; /* enum smtp_pending */
	uint8_t chunk : 4;   /* enum smtp_chunk */
	uint8_t scan;        /* enum smtp_scan_state */
	uint8_t flags;       /* of the session: what each of its messages starts with */
};

/* profile must outlive smtp. No resources are held: there is no smtp_done(). */
void smtp_init(struct smtp *smtp, const struct smtp_profile *profile);

/*
 * Goes on until something is wanted. *used is how many bytes of in were used; what is left must
 * come again at the front of the next in (together with more, where SMTP_WANT_INPUT was returned).
 * At most limits.command_line - 1 bytes are ever left over with SMTP_WANT_INPUT.
 *
 * The first step asks for the CONNECT decision. Input that comes before that decision is answered
 * 554 (RFC 5321 3.1: the client waits): a caller that greets late steps again with what arrived
 * meanwhile. Any other step while a decision is due asks for it again and uses nothing.
 *
 * Body bytes that lie in the same `in` as their DATA set SMTP_FLAG_EARLY_DATA: the one thing that
 * depends on how input was divided, because only that tells that the peer did not wait.
 */
enum smtp_want smtp_step(struct smtp *smtp, struct span in, size_t *used, struct smtp_out *out);

/*
 * How many octets come next that the engine does not look at, those of a chunk (BDAT): a caller that does not
 * either may throw them away unread. smtp_skip() says that so many of them, at most all, have come: as if a step
 * had been given and had used them. The next step may have no input at all.
 */
uint64_t smtp_unread(const struct smtp *smtp);
void smtp_skip(struct smtp *smtp, uint64_t octets);

/*
 * Answers the decision last asked for; to be called exactly once for each SMTP_WANT_DECISION, with
 * out as it was given to that step. NULL is the default acceptance of the phase. A 4xx or 5xx
 * refuses; 421 and 521 also close; any other code at CONNECT leaves a session in which QUIT alone
 * is allowed. What the engine itself finds wrong (too many octets, also announced ones; too many recipients; bare
 * LF in a body) overrules an acceptance at MAIL, RCPT and END_OF_DATA: the return value is the code that was sent.
 */
unsigned smtp_decide(struct smtp *smtp, const struct smtp_reply *reply, struct smtp_out *out);

/* Whether the RCPT to be decided will be refused for being one too many, unless it is for another reason. */
bool smtp_recipients_full(const struct smtp *smtp);

/*
 * The caller ends the session on its own account (time-out, shutdown): appends `421 enhanced text`.
 * The caller closes then.
 */
void smtp_abort(const char *enhanced, const char *text, struct smtp_out *out);

/* The caller ends the session behind the reply that was decided last: the next step wants the close. */
void smtp_close(struct smtp *smtp);

enum smtp_waiting smtp_waiting(const struct smtp *smtp);

#endif
