/*
 * script: what one connection of the load generator says and the replies that it insists on, as a
 * table of steps over one block of bytes made once. It opens no socket: client.c plays it.
 *
 * Pipelined as RFC 2920 allows: MAIL, RCPT and DATA are one group, and the end of a message's text
 * takes the next message's group, or QUIT, along. By BDAT (RFC 3030) a message is one group, its text in it.
 */
#ifndef BENCH_SCRIPT_H
#define BENCH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_STEPS   7
#define SCRIPT_REPLIES 4

/* The first two steps are the same in every script. */
enum script_step_index {
	SCRIPT_GREETING, /* nothing is sent, the banner is awaited */
	SCRIPT_EHLO,
	SCRIPT_FIRST_MAIL,
	SCRIPT_END = SCRIPT_STEPS, /* the last reply is in: the sink closes */
};

struct script_step {
	const char *bytes; /* what to send; everything that follows waits for the replies to it */
	size_t len;
	size_t due;                       /* how much must be out before a reply can have been earned */
	uint16_t replies[SCRIPT_REPLIES]; /* the codes that must come back, in order; 0 ends them */
	bool opens;                       /* a transaction begins in this step */
	uint8_t finishes; /* which reply, from 1, ends a message, or a connection of none; 0 */
	uint8_t next;     /* the step behind it while more messages are to be sent */
	uint8_t last;     /* the step behind it once the last one was opened */
};

struct script {
	struct script_step steps[SCRIPT_STEPS];
	char *bytes; /* private */
};

enum script_form {
	SCRIPT_ONE_AT_A_TIME,
	SCRIPT_PIPELINED,
	SCRIPT_BDAT,
	SCRIPT_QUIT, /* no message at all: QUIT behind the banner */
};

/*
 * Makes the script for messages of `size` octets (RFC 1870: with CRLFs, without the final dot) in
 * lines of 76 characters that never begin with a dot. 0, or -1 when size is too small for a header
 * or memory ran out.
 */
int script_init(struct script *script, size_t size, enum script_form form);
void script_done(struct script *script);

/* How many replies the step awaits. */
size_t script_replies(const struct script_step *step);

#endif
