/*
 * provider_words: a smart sink's `msg` in the form that a profile's replies have. The sink's files hold
 * whole replies as they were once copied from a log, with codes on each line, CR LF, and slips such as
 * "421,4.7.0". Part of the provider module behind provider.h; nobody else includes this.
 */
#ifndef MX_PROVIDER_WORDS_H
#define MX_PROVIDER_WORDS_H

#include <stdbool.h>

#define PROVIDER_WORDS_MAX 2048

struct provider_words {
	char enhanced[10];             /* from the front of the text; "" where there is none */
	char text[PROVIDER_WORDS_MAX]; /* lines divided by '\n', braces doubled: no placeholder is meant */
	/* What was mended. */
	bool own_codes; /* the reply's code stood in the text */
	bool comma;     /* with a comma behind it */
	bool crlf;      /* CRs divided the lines */
	bool control;   /* other control characters, now spaces */
	bool folded;    /* a line too long for SMTP, now several */
};

/* Takes msg, the text of a reply with `code`, apart. What does not fit is cut. */
void provider_words_mend(const char *msg, unsigned code, struct provider_words *words);

#endif
