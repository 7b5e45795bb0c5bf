/*
 * explain: why an address would be answered as it would: what is injected, what it asks for itself, what DNS
 * says, whose the domain is and why, the site, the replies in force with file and line and their odds, the limits
 * and how near a sender is to them. And
 * behaviour that is injected, in and out of JSON. It decides nothing and changes nothing.
 */
#ifndef MX_EXPLAIN_H
#define MX_EXPLAIN_H

#include <jansson.h>

#include "err.h"
#include "injection.h"
#include "policy.h"

#define EXPLAIN_ADDRESS_MAX 512 /* with its NUL */

/*
 * A new reference; NULL when out of memory. from: the client's address, or NULL; to: the destination's, or NULL.
 * answer may be NULL.
 */
json_t *explain_address(const struct policy *policy, const struct policy_state *state, const char *address,
	const struct in6_addr *from, const struct in6_addr *to, const struct mx_answer *answer,
	uint64_t now_ms);

/* An injection of a request's JSON; 0 or -EINVAL, err naming key, reason and remedy. providers: NULL where none answers. */
int explain_read_injection(const json_t *value, const struct provider_set *providers, uint64_t now_ms,
	struct injection *injection, struct err *err);
json_t *explain_injections(const struct injections *injections, uint64_t now_ms);

/* Whether RCPT would take it as a recipient with a domain. */
bool explain_is_recipient(const char *address);

#endif
