/* gen_verdict: how a message or a connection of the generator ended badly: where in the session, and why. */
#ifndef MX_GEN_VERDICT_H
#define MX_GEN_VERDICT_H

#include <stdint.h>

#include "reply_reader.h"

/* What is awaited, in the order in which it comes in a session. */
enum gen_phase {
	GEN_PHASE_CONNECT, /* TCP */
	GEN_PHASE_BANNER,
	GEN_PHASE_EHLO,
	GEN_PHASE_STARTTLS,
	GEN_PHASE_HANDSHAKE, /* TLS */
	GEN_PHASE_MAIL,
	GEN_PHASE_RCPT,
	GEN_PHASE_DATA,
	GEN_PHASE_END_OF_DATA,
	GEN_PHASE_RSET,
	GEN_PHASE_QUIT,
	GEN_PHASE_IDLE, /* nothing is awaited */
	GEN_PHASE_HTTP, /* the response of KumoMTA's injection API */
	GEN_PHASES,
};

extern const char *const gen_phase_names[GEN_PHASES];

struct gen_verdict {
	enum gen_phase phase;
	uint16_t code; /* of the reply; 0: there is none, the text says what happened */
	uint8_t text_len;
	char text[REPLY_LINE_KEPT]; /* of the reply's first line, behind the code */
};

/* The text is cut to fit. */
struct gen_verdict gen_verdict_of(enum gen_phase phase, uint16_t code, struct span text);

#endif
