/*
 * smtp_text: the words of SMTP: takes command lines, paths and parameters apart and writes replies.
 * It knows the grammar of RFC 5321 4.1.2 and no meaning: which command is allowed when, and what is
 * answered to a malformed one, is the engine's.
 *
 * Parsers take a cursor, *rest, and move it behind what they took; where they fail it stays. Spans
 * that come out lie in the span that went in.
 */
#ifndef MX_SMTP_TEXT_H
#define MX_SMTP_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "smtp.h"
#include "span.h"

/* A constant reply; enhanced and text are string literals. */
/* clang-format off */
#define SMTP_REPLY(code, enhanced, text) \
	{code, {enhanced, sizeof(enhanced) - 1}, {text, sizeof(text) - 1}}
/* clang-format on */

/* Appends a reply in wire format, at most SMTP_REPLY_MAX bytes: out must have that much room. */
void smtp_text_reply(const struct smtp_reply *reply, struct smtp_out *out);

/* The part of *rest up to the next space, and the cursor behind the spaces that follow it. */
struct span smtp_text_word(struct span *rest);

/* Takes a prefix such as "FROM:", without regard to case, and the spaces behind it. */
bool smtp_text_prefix(struct span *rest, const char *prefix);

/* A whole span of digits. 0; -EINVAL where it is anything else; -ERANGE past 64 bits. */
int smtp_text_number(struct span digits, uint64_t *value);

/*
 * `<mailbox>`, `<>` or `<local-part>` (for postmaster), with or without a source route, which is
 * dropped (RFC 5321 4.1.1.3). Bytes above 127 are let through: see smtp_text_charset(). 0 or
 * -EINVAL.
 */
int smtp_text_path(struct span *rest, struct smtp_path *path);

/* A parameter of MAIL or RCPT; value is empty and has_value false for a bare keyword. */
struct smtp_param {
	struct span key;
	struct span value;
	bool has_value;
};

/* The next one: 1, 0 at the end of the line, -EINVAL where the line goes on otherwise. */
int smtp_text_param(struct span *rest, struct smtp_param *param);

/* Whether a span is xtext (RFC 3461 4): `+` only before two upper-case hexadecimal digits. */
bool smtp_text_is_xtext(struct span s);

/* Whether a span is a single word of printable ASCII, as the argument of EHLO must be. */
bool smtp_text_is_printable(struct span s);

enum smtp_charset {
	SMTP_CHARSET_ASCII,
	SMTP_CHARSET_UTF8,
	SMTP_CHARSET_BROKEN, /* bytes above 127 that are no UTF-8 (RFC 3629) */
};

enum smtp_charset smtp_text_charset(struct span s);

#endif
