/*
 * dns_answer: reads the MX, A and AAAA records out of a DNS message, with the time that they may be kept. Any
 * bytes may be given to it. It believes only records of the name that was asked for and of the names that its
 * CNAMEs lead to; it asks nobody, and allocates nothing.
 */
#ifndef MX_DNS_ANSWER_H
#define MX_DNS_ANSWER_H

#include <arpa/nameser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "span.h"

#define DNS_NAME_MAX 253 /* bytes of a host name as text (RFC 1035 3.1 without the root's dot) */

/* Records looked at: more than any real name has, and a bound on the time a lie of 64 kB can take. */
#define DNS_RECORDS_MAX 512
#define DNS_CNAMES_MAX  16

/*
 * Writes a host name in lower case, without the root's dot, NUL-terminated. Letters, digits, '-' and '_' in
 * labels of 1 to 63 bytes. Returns the length, or -EINVAL where it is none: it cannot be asked for then, and
 * must not come into replies and logs.
 */
int dns_name_fold(struct span name, char to[DNS_NAME_MAX + 1]) MX_MUST_CHECK;

/* An answer that is being read. */
struct dns_answer {
	ns_msg message;
	int next, count;
	ns_type type;
	uint32_t ttl;  /* seconds: the least of the CNAMEs and records read so far; UINT32_MAX for none */
	bool nonsense; /* a record of the type was left out: no host name, or a length that cannot be */
	bool cut;      /* there are more than DNS_RECORDS_MAX */
	char owner[NS_MAXDNAME]; /* whose records count */
};

/*
 * Begins with a message that answers a question for records of type (ns_t_mx, ns_t_a, ns_t_aaaa). 0, or
 * -EINVAL: malformed, or its CNAMEs form a loop or a chain that is too long.
 */
int dns_answer_open(struct dns_answer *answer, struct span message, ns_type type) MX_MUST_CHECK;

struct dns_record {
	/* MX: the host, folded; empty for the root, that is "no mail" (RFC 7505). */
	uint16_t preference;
	char host[DNS_NAME_MAX + 1];
	uint8_t address[16]; /* A: the first four */
};

/* The next record: 1, 0 at the end, -EINVAL where the message is malformed. */
int dns_answer_next(struct dns_answer *answer, struct dns_record *record) MX_MUST_CHECK;

#endif
