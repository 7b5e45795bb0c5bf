/*
 * conf_mistake: gathers what is wrong with a configuration, a line each, so that one reading shows
 * all of it. It prints nothing and ends nothing: the reader goes on and asks at the end.
 */
#ifndef MX_CONF_MISTAKE_H
#define MX_CONF_MISTAKE_H

#include <stddef.h>

#include "err.h"

struct conf_mistakes {
	const char *file; /* as the texts name it; set it, and err (not NULL), and leave the rest
			     zero */
	struct err *err;
	size_t used;       /* bytes of err's text */
	unsigned count;    /* of mistakes, also those left out */
	unsigned left_out; /* for which err's text had no room */
};

/* Adds `file:line: text`, or `file: text` where line is 0. Control characters become '?'. */
void conf_mistake(struct conf_mistakes *mistakes, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* After the last mistake: says how many were left out. 0 when there was none, -EINVAL otherwise. */
int conf_mistakes_end(struct conf_mistakes *mistakes) MX_MUST_CHECK;

#endif
