/*
 * reply_reader: an SMTP server's replies out of a stream of bytes (RFC 5321 4.2), line by line, in any
 * chunking. It keeps the line that is not complete yet, cut to what is ever looked at.
 */
#ifndef MX_REPLY_READER_H
#define MX_REPLY_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "span.h"

#define REPLY_LINE_KEPT 128
#define REPLY_LINES_MAX 100 /* of one reply; no server has so many to say */

struct reply_line {
	uint16_t code;
	bool last;        /* no more lines in this reply */
	struct span text; /* behind the code; within the reader or the input: gone with the next call */
};

struct reply_reader {
	char kept[REPLY_LINE_KEPT];
	uint8_t kept_len;
	uint8_t lines; /* of the reply so far */
};

enum reply_read {
	REPLY_MORE, /* the input is used up, no line is complete */
	REPLY_LINE,
	REPLY_MALFORMED, /* no SMTP: give the connection up */
};

/* Takes one line off the input. All zeros are a reader that has seen nothing. */
enum reply_read reply_read(struct reply_reader *reader, struct span *input, struct reply_line *line);

/* "4.2.1" at the beginning of a reply's text, else empty (RFC 2034). */
struct span reply_enhanced(struct span text);

#endif
