/*
 * injection_request: the bodies of KumoMTA's POST /api/inject/v1: the request's JSON is made, the response's
 * read. It sends nothing.
 */
#ifndef MX_INJECTION_REQUEST_H
#define MX_INJECTION_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gen_verdict.h"
#include "mail.h"

struct injection_options {
	bool defer_spool, defer_generation;
};

/* One message for `count` recipients; the caller's to free(). NULL: no memory, or the text is no UTF-8. */
char *injection_request_make(const struct mail *mail, const struct mail_item *item, uint64_t count,
	struct span date, const struct injection_options *options);

/*
 * How many of `count` recipients were not taken, with a verdict on them. The status is HTTP's. Only
 * failures count: with deferred_generation the response tells of no success.
 */
uint64_t injection_response_read(long status, struct span body, uint64_t count, struct gen_verdict *verdict);

#endif
