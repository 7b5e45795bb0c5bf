/*
 * forced: outcomes that a sender asks for by the address itself: the smart sink's commands, codes, and
 * the well-known names of mailbox simulators.
 *
 *	tempfail, permfail anywhere in the local part    400 and 500 (as 451 4.7.1 and 550 5.7.1), at RCPT
 *	450-…, 250-… and any NNN-… of 2xx, 4xx, 5xx     that code, with the local part in the text; 2xx accepts
 *	                                                 whatever the odds
 *	NNN-x.y.z, NNN-x.y.z-PHASE, NNN-PHASE,           that code, enhanced code and phase (mail, rcpt, data,
 *	and "NNN[-x.y.z]@PHASE" in quotes                end_of_data); rcpt where none is named; a "+tag" before or
 *	                                                 behind it is allowed: user+452-4.2.2@…
 *	success, bounce, complaint, suppressionlist,     the names of mailbox simulators, alone or before a '+':
 *	ooto                                             success and ooto and complaint accept, bounce is 550 5.1.1,
 *	                                                 suppressionlist 550 5.1.1 with a text of its own
 *
 * Each family can be switched off (answer.forced in the configuration).
 */
#ifndef MX_FORCED_H
#define MX_FORCED_H

#include <stdbool.h>
#include <stdint.h>

#include "smtp.h"

enum forced_family {
	FORCED_WORDS = 1 << 0,     /* tempfail, permfail */
	FORCED_CODES = 1 << 1,     /* 450-…, NNN-x.y.z.phase */
	FORCED_SIMULATOR = 1 << 2, /* success, bounce, complaint, suppressionlist, ooto */
	FORCED_ALL = FORCED_WORDS | FORCED_CODES | FORCED_SIMULATOR,
};

struct forced {
	bool accept;            /* accepted, whatever the odds */
	enum smtp_phase phase;  /* RCPT, DATA or END_OF_DATA; MAIL for a reverse-path */
	struct smtp_reply reply; /* where not accept; spans into the path or static */
};

/* Looks at a path of MAIL or RCPT. True and *forced filled where it asks for an outcome. */
bool forced_find(const struct smtp_path *path, enum smtp_phase at, unsigned families, struct forced *forced);

#endif
