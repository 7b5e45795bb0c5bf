/*
 * forced: outcomes that a sender asks for by the address itself: the smart sink's commands, codes, and
 * the well-known names of mailbox simulators. It says what is asked for; whether and when to give it is
 * the policy's. Looked for in this order, without regard to case; of a quoted local part, inside the quotes:
 *
 *	tempfail, permfail anywhere in the local part    400 and 500 (as 451 4.7.1 and 550 5.7.1), at RCPT
 *	NNN-x.y.z, NNN-x.y.z-PHASE, NNN-PHASE,           that code (2xx, 4xx, 5xx), enhanced code and phase (mail,
 *	and "NNN[-x.y.z]@PHASE" in quotes                rcpt, data, end_of_data); rcpt where none is named; a "+tag"
 *	                                                 before or behind it is allowed: user+452-4.2.2@…
 *	450-…, 250-… and any NNN-… of 2xx, 4xx, 5xx     that code, with the local part in the text
 *	success, bounce, complaint, suppressionlist,     the names of mailbox simulators, alone or before a '+':
 *	ooto                                             success and ooto and complaint accept, bounce is 550 5.1.1,
 *	                                                 suppressionlist 550 5.1.1 with a text of its own
 *
 * 2xx accepts whatever the odds. Three digits alone ask for nothing: they are what numbered test addresses
 * look like.
 *
 * A reverse-path asks by a PHASE of mail alone (550-5.7.1-mail@…), since senders often carry a recipient's
 * local part within theirs. A recipient that names mail is answered at RCPT: MAIL is over then.
 *
 * Each family can be switched off (answer.forced in the configuration).
 */
#ifndef MX_FORCED_H
#define MX_FORCED_H

#include <stdbool.h>

#include "smtp.h"

enum forced_family {
	FORCED_WORDS = 1 << 0,      /* tempfail, permfail */
	FORCED_CODES = 1 << 1,      /* 450-…, NNN-x.y.z-PHASE */
	FORCED_SIMULATOR = 1 << 2,  /* success, bounce, complaint, suppressionlist, ooto */
	FORCED_SMART_SINK = 1 << 3, /* the words' codes as the smart sink has them: 400 and 500 */
	FORCED_ALL = FORCED_WORDS | FORCED_CODES | FORCED_SIMULATOR,
};

struct forced {
	bool accept;             /* accepted, whatever the odds */
	enum smtp_phase phase;   /* RCPT, DATA or END_OF_DATA; MAIL for a reverse-path */
	struct smtp_reply reply; /* where not accept; spans into the path or static */
};

/*
 * Looks at a path of MAIL or RCPT, as `at` says. True and *forced filled where it asks for an outcome;
 * else *forced is left alone.
 */
bool forced_find(const struct smtp_path *path, enum smtp_phase at, unsigned families, struct forced *forced);

#endif
