/*
 * smtp_command: the verbs of SMTP: what each takes, in which state it is allowed, and what it does
 * to the session. Part of the engine behind smtp.h, which reads lines and bodies and puts the
 * replies out; nobody else includes this.
 */
#ifndef MX_SMTP_COMMAND_H
#define MX_SMTP_COMMAND_H

#include "smtp.h"
#include "span.h"

/* Where a session stands. */
enum smtp_state {
	SMTP_STATE_CONNECTED, /* no banner yet: the peer has to wait */
	SMTP_STATE_REFUSED,   /* the banner was a 5xx: QUIT is all that is left (RFC 5321 3.1) */
	SMTP_STATE_GREETED,   /* the banner is out, no HELO yet */
	SMTP_STATE_READY,     /* no transaction */
	SMTP_STATE_MAIL,      /* a transaction without recipients */
	SMTP_STATE_RCPT,      /* a transaction with recipients */
	SMTP_STATE_BODY,      /* behind 354: input is the body, up to its end */
	SMTP_STATE_CHUNKED,   /* some BDAT chunks are in, the last is not */
	SMTP_STATE_CLOSED,    /* input is thrown away */
};

/* What the caller is due to hear or do before input is looked at again. */
enum smtp_pending {
	SMTP_PENDING_NONE,
	SMTP_PENDING_DECISION, /* of smtp.phase */
	SMTP_PENDING_FORGET,
};

/* What the chunk in flight is: its octets come before any further command. */
enum smtp_chunk {
	SMTP_CHUNK_NONE,
	SMTP_CHUNK_MORE,    /* of a message that goes on behind it */
	SMTP_CHUNK_LAST,    /* the end of a message */
	SMTP_CHUNK_REFUSED, /* of a BDAT out of place: to be thrown away */
};

/*
 * Runs a command line, given without its CRLF. Returns the reply to it, or NULL where there is none
 * yet: a decision is pending or a chunk is to be read.
 */
const struct smtp_reply *smtp_command(struct smtp *smtp, struct span line);

/* The reply to a chunk that is wholly in, or NULL where a decision is pending. */
const struct smtp_reply *smtp_command_chunk_done(struct smtp *smtp);

/* Back to no transaction; the caller is told where one was open. */
void smtp_command_reset(struct smtp *smtp);

/* The reply to a command that does not belong into the present state: 503 and what would. */
const struct smtp_reply *smtp_command_misplaced(const struct smtp *smtp);

#endif
