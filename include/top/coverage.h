/*
 * coverage: holds what a sender expects (shaping.h) against what the providers say (provider.h): which of
 * its patterns some reply sets off, which never fire and why, what each bounce class catches, and which
 * replies no class does. It reads no file and prints nothing.
 *
 * A reply is judged as the sender sees it: the single line `code enhanced text`, lines joined by a space,
 * placeholders filled with documentation addresses. A pattern is judged by the replies of those providers
 * alone that its block addresses: "default" all; a provider's block those whose MX suffixes it matches; a
 * domain's block the provider that serves that domain. What a provider has no reply of its own for, it says
 * in the words of "default". Outcomes without a word (close, reset, hang) are no replies.
 */
#ifndef MX_COVERAGE_H
#define MX_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "provider.h"
#include "shaping.h"

enum coverage_verdict {
	COVERAGE_FIRES,
	/* It never fires: */
	COVERAGE_NO_MATCH,       /* its provider block has no match, so it is never asked */
	COVERAGE_TRAILING_DOT,   /* the block's match ends in a dot, which no name does */
	COVERAGE_UNADDRESSED,    /* no provider of ours is the block's */
	COVERAGE_BROKEN,         /* it is no regular expression */
	COVERAGE_DOUBLE_ESCAPED, /* it asks for backslashes in the reply */
	COVERAGE_NO_TEXT,        /* no reply holds such a text */
	COVERAGE_VERDICTS,
};

/* "fires" "no match" "trailing dot" "no such provider" "broken" "double-escaped" "no such reply" */
const char *coverage_verdict_name(enum coverage_verdict verdict);

/* A provider's reply as the sender sees it; where several read the same, the first. */
struct coverage_line {
	const struct provider *provider;
	const struct provider_reply *reply;
	char *text;
	bool inherited; /* in the words of "default" */
};

struct coverage_pattern {
	const struct shaping_pattern *pattern;
	const struct shaping_block *block;
	enum coverage_verdict verdict;
	/*
	 * The first that it fires on, a current wording before an old one. Where it does not fire, what it
	 * would fire on: were it mended (TRAILING_DOT, DOUBLE_ESCAPED) or its block another (NO_MATCH,
	 * UNADDRESSED, NO_TEXT). NULL for none.
	 */
	const struct coverage_line *line;
	char reason[256]; /* with the remedy; "" where it fires */
};

struct coverage_class {
	const struct shaping_class *class;
	size_t replies;                   /* that it catches */
	const struct coverage_line *line; /* the first of them */
};

struct coverage {
	struct coverage_pattern *patterns; /* in the shaping's order */
	size_t pattern_count, fire_count;
	struct coverage_class *classes;
	size_t class_count, produced_count;
	struct coverage_line *lines;
	size_t line_count, reply_count;            /* replies: the lines that are not inherited */
	const struct coverage_line **unclassified; /* where there are classes; each reply once */
	size_t unclassified_count;
};

/*
 * Judges `providers`. `known` says by which MX hosts a domain is served whose replies come from a smart
 * sink's file ("domain:X"); it is the same set where there are none. The result points into all three.
 * NULL on failure, err filled: out of memory, or a class's pattern that is no regular expression, with
 * file:line.
 */
struct coverage *coverage_new(const struct shaping *shaping, const struct provider_set *providers,
	const struct provider_set *known, struct err *err);
void coverage_free(struct coverage *coverage);

#endif
