/*
 * reply_text: a profile's text with its placeholders filled in.
 *
 *	{ip} the client's address · {from} {rcpt} the addresses · {domain} the recipient's domain ·
 *	{mx} the MX host that was dialled, else this host's name · {id} an identifier of this session and
 *	reply, letters and digits · {date} today, YYYY-MM-DD · {{ and }} braces
 */
#ifndef MX_REPLY_TEXT_H
#define MX_REPLY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "span.h"

struct reply_facts {
	struct span ip, from, rcpt, domain, mx, id, date;
};

/* 0, or -EINVAL with err: an unknown placeholder (did you mean), an open brace, CR, control or NUL bytes, a line over 400 bytes. */
int reply_text_check(const char *text, struct err *err) MX_MUST_CHECK;

/* Whether it is an enhanced code: class "." subject "." detail (RFC 3463 2). */
bool reply_text_is_enhanced(const char *text);

/*
 * Fills `to` and returns the length; what does not fit is cut. Facts may hold any bytes: those that are not
 * printable ASCII or UTF-8 come out as '?', so that no fact can break the reply.
 */
size_t reply_text_fill(const char *text, const struct reply_facts *facts, char *to, size_t size);

#endif
