/*
 * pattern: a sender's regular expression, held against one line of text as the sender would. PCRE2 reads
 * the syntax of the usual senders (Perl's; Rust's fancy_regex for what shaping files hold). A pattern that
 * backtracks without end is given up, not waited for.
 */
#ifndef MX_PATTERN_H
#define MX_PATTERN_H

#include <stdbool.h>

#include "err.h"

struct pattern;

/* NULL on failure, err saying what is wrong and at which byte of the pattern. */
struct pattern *pattern_new(const char *regex, struct err *err);
void pattern_free(struct pattern *pattern);

/* Whether it is found anywhere in the text. False, too, where it was given up. */
bool pattern_found(const struct pattern *pattern, const char *text);

#endif
