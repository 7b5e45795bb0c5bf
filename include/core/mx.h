/*
 * mx: what DNS says of a recipient's domain, and what follows from it: the site that KumoMTA would fold
 * the domain into, and whether a destination belongs to it. Pure; the lookups are net/resolver's.
 */
#ifndef MX_MX_H
#define MX_MX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

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
	struct mx_host *hosts; /* by preference, then name */
	struct sockaddr_storage *addresses; /* of the hosts, ports zero */
};

/*
 * The name of the site, as KumoMTA folds MX hosts of one domain into one (mx_rollup): hosts at equal
 * preference in parentheses with what differs between them as alternatives, e.g.
 * "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com". Written to `to`, NUL-terminated, cut to size.
 * Returns the length.
 */
size_t mx_site_name(const struct mx_answer *answer, char *to, size_t size);

/* Whether address is one of the domain's MX hosts'; ports and v4-mapping do not matter. */
bool mx_has_address(const struct mx_answer *answer, const struct sockaddr_storage *address);

#endif
