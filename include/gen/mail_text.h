/*
 * mail_text: the text that all messages of the generator share: header fields of the command line, then a
 * body of a given size that is made here, or a file's content. It is a text as SMTP wants it: every line ends
 * with CRLF (RFC 5321 2.3.8).
 */
#ifndef MX_MAIL_TEXT_H
#define MX_MAIL_TEXT_H

#include <stdbool.h>

#include "err.h"
#include "gen_options.h"
#include "span.h"

/* Both spans are the caller's to free(). 0, or a negative errno. */
int mail_text_make(const struct gen_options *options, struct span *text, struct span *stuffed,
	bool *eight_bit, struct err *err) MX_MUST_CHECK;

/*
 * Copies whole lines, with a second dot before each that begins one (RFC 5321 4.5.2). `to` NULL: says only how long the copy would be.
 */
size_t mail_text_stuff(struct span text, char *to);

#endif
