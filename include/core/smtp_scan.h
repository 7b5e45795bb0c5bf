/*
 * smtp_scan: finds the end of a DATA body (RFC 5321 4.1.1.4), counts its octets and notes what does
 * not belong into one, at memory speed. It keeps nothing of the body and decides nothing.
 *
 * The end is CRLF.CRLF alone; the CRLF of the DATA command counts as the first. Time is linear in
 * the input, whatever it holds. No byte outside the input is read.
 */
#ifndef MX_SMTP_SCAN_H
#define MX_SMTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtp.h"
#include "span.h"

/* What stands before the next byte. */
enum smtp_scan_state {
	SMTP_SCAN_LINE_START, /* CRLF, or nothing yet: a dot here is special */
	SMTP_SCAN_TEXT,       /* anything that no other state names */
	SMTP_SCAN_CR,         /* CR: with LF a line ends, else it is bare */
	SMTP_SCAN_DOT,        /* a dot at the start of a line */
	SMTP_SCAN_DOT_CR,     /* that dot and CR: with LF the body ends, else the CR is bare */
	SMTP_SCAN_END,        /* the whole body: start the next at SMTP_SCAN_LINE_START */
};

/*
 * Goes over in, on from *state, and returns how many bytes of it belong to the body: all of them
 * unless *state is now SMTP_SCAN_END. Adds to message->octets as RFC 1870 counts (after
 * SMTP_SCAN_END the sum is right; before it a dot or CRLF in flight may be counted one way or the
 * other) and to message->flags SMTP_FLAG_BARE_LF, SMTP_FLAG_BARE_CR and SMTP_FLAG_NUL.
 */
size_t smtp_scan(enum smtp_scan_state *state, struct span in, struct smtp_message *message);

/* The ways to do it that this build knows, best first; smtp_scan() takes the first usable one. */
struct smtp_scanner {
	const char *name;
	bool (*usable)(void); /* whether this machine can */
	size_t (*scan)(enum smtp_scan_state *state, struct span in, struct smtp_message *message);
};

/* Ends with a NULL name. The last one is usable everywhere. */
extern const struct smtp_scanner smtp_scanners[];

#endif
