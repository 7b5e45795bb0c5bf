/*
 * mx: what DNS says of a recipient's domain, and what follows from it: the site that KumoMTA would fold
 * the domain into, and whether a destination belongs to it. Pure; the lookups are net/resolver's.
 */
#ifndef MX_MX_H
#define MX_MX_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "span.h"

#define MX_HOSTS_MAX     32 /* of a domain with more, the first by preference */
#define MX_ADDRESSES_MAX 64

enum mx_status {
	MX_FOUND,     /* MX hosts, or the domain itself where it has addresses but no MX (RFC 5321 5.1) */
	MX_NULL,      /* RFC 7505 */
	MX_NO_DOMAIN, /* NXDOMAIN, or neither MX nor address */
	MX_UNKNOWN,   /* no answer in time, SERVFAIL, nonsense */
};

struct mx_host {
	char name[256]; /* lower case, no trailing dot, NUL-terminated */
	uint16_t preference;
};

struct mx_answer {
	enum mx_status status;
	size_t host_count, address_count;
	struct mx_host *hosts;      /* by preference, then name */
	struct in6_addr *addresses; /* of the hosts, see mapped.h */
	/*
	 * Some hosts or addresses are missing: there were more than the limits, or a question about one
	 * failed. That an address is not among those here then says nothing.
	 */
	bool partial;
};

/*
 * The name of the site, as KumoMTA folds all MX hosts of a domain into one (mx_rollup): labels are lined up
 * from the right; where hosts differ, the labels stand in parentheses in the order of the hosts; a '?'
 * follows where some host has no label there: "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com". Empty
 * where there is no host. Written to `to`, NUL-terminated, cut to size. Returns the length.
 */
size_t mx_site_name(const struct mx_answer *answer, char *to, size_t size);

/* Whether address is one of the domain's MX hosts'. */
bool mx_has_address(const struct mx_answer *answer, const struct in6_addr *address);

#endif
