/*
 * resolver: the MX hosts and their addresses of a domain, asynchronously by c-ares on a worker's loop, with
 * a bounded cache that lives by the answers' TTL. One per worker, used by its thread alone: no lock. It
 * never blocks; what takes longer than 2 s is answered MX_UNKNOWN and counted. resolv.conf is read once, at
 * the start.
 *
 * It also remembers which provider-side host an address belongs to, as learned from the answers: that is
 * how a new connection's original destination is known before any recipient is.
 */
#ifndef MX_RESOLVER_H
#define MX_RESOLVER_H

#include <event2/event.h>

#include "err.h"
#include "mx.h"
#include "span.h"
#include "stats.h"

struct resolver;

struct resolver_setup {
	struct event_base *base;
	const char *servers;     /* c-ares' form "192.0.2.53:53,…"; NULL = the host's resolv.conf */
	uint32_t timeout_ms;     /* in all, for MX and addresses together; 2000 */
	uint32_t cache_entries;  /* 65536 */
	uint32_t pending_max;    /* lookups under way; more are answered MX_UNKNOWN at once; 4096 at most */
	uint32_t negative_ttl_s; /* for MX_UNKNOWN and MX_NO_DOMAIN: 30 */
	uint32_t ttl_min_s, ttl_max_s; /* 10 and 86400 */
	struct stats_block *block;     /* where lookups are counted, the caller's own to write; or NULL */
};

extern const struct resolver_setup resolver_defaults; /* base, servers and block unset */

struct resolver *resolver_new(const struct resolver_setup *setup, struct err *err);
/* Calls no callback of what is under way. Not from within done(). NULL is fine. */
void resolver_free(struct resolver *resolver);

/* An entry of the cache: stays where it is and valid until its user's callback returns to the loop. */
struct resolver_entry {
	struct span domain; /* lower case */
	struct mx_answer answer;
	/* For the user of the entry, zero in a new one: what was worked out from the answer, and for what. */
	uint64_t owner; /* policy.serial; 0 in a new one */
	const void *provider;
	uint64_t site; /* a draw over the site's name; 0 for none */
};

/* The cached entry of a domain (any case), or NULL where a lookup is needed. O(1), no allocation. */
struct resolver_entry *resolver_cached(struct resolver *resolver, struct span domain);

/* One question under way. */
struct resolver_question;

/*
 * Looks the domain up, also where it is cached; done() is called once, from the loop, never from within
 * this call, with an entry (never NULL: MX_UNKNOWN when it failed), and the question is gone then.
 * Questions for one domain share one lookup. An address literal is its own host. NULL when out of memory.
 */
struct resolver_question *resolver_ask(struct resolver *resolver, struct span domain,
	void (*done)(void *arg, struct resolver_entry *entry), void *arg);
/* The asker is gone: done() is not called. Not for a question that has been answered. */
void resolver_forget(struct resolver_question *question);

/*
 * The MX host and entry that an address was last seen to belong to, also where the entry is past its time;
 * NULL where it is unknown. host is set to its name, valid as long as the entry.
 */
struct resolver_entry *resolver_by_address(
	struct resolver *resolver, const struct in6_addr *address, struct span *host);

#endif
