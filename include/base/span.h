/*
 * span: bytes that somebody else owns. What comes from the wire is a span, never a NUL-terminated
 * string: it may hold any byte and need not end in one.
 */
#ifndef MX_SPAN_H
#define MX_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *data;
	size_t len;
};

/* The bytes of a NUL-terminated string, without the NUL. */
static inline struct span span_of(const char *text)
{
	return (struct span){text, strlen(text)};
}

/* The rest of s from offset on; offset must not be past its end. */
static inline struct span span_from(struct span s, size_t offset)
{
	return (struct span){s.data + offset, s.len - offset};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Compares as ASCII without regard to case. */
static inline bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.data, text, s.len) == 0;
}

#endif
