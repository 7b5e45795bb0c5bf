/*
 * resolver_lookup: one lookup of one domain: MX, then A and AAAA of each host, and what follows from what
 * comes back. It keeps no time and no cache, and calls back once nothing of it is under way any more. Part
 * of the resolver behind resolver.h; nobody else includes this.
 */
#ifndef MX_RESOLVER_LOOKUP_H
#define MX_RESOLVER_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dns_channel.h"
#include "mx.h"
#include "resolver_cache.h"
#include "span.h"

/* Questions of one lookup under way at a time: five hosts take two rounds. */
#define RESOLVER_LOOKUP_WINDOW 8

struct resolver_lookup;
struct resolver_question;

struct resolver_lookup_query {
	struct dns_query query; /* first */
	struct resolver_lookup *lookup;
	uint8_t host;
	ns_type type;
};

enum resolver_lookup_state {
	RESOLVER_LOOKUP_RUNNING,
	RESOLVER_LOOKUP_FINISHED, /* the answer stands, the askers have not heard of it */
	RESOLVER_LOOKUP_DRAINING, /* they have; questions are still under way */
};

struct resolver_lookup {
	/* The resolver's. */
	TAILQ_ENTRY(resolver_lookup) link; /* in the list of its state */
	LIST_ENTRY(resolver_lookup) bucket;
	LIST_HEAD(, resolver_question) questions;
	enum resolver_lookup_state state;
	uint64_t started_ms;
	bool refused; /* too many were under way */

	/* The lookup's own. */
	size_t name_len;
	char name[RESOLVER_CACHE_NAME_MAX + 1]; /* lower case */
	bool cut;                               /* of a domain that is too long for any name */
	/* The outcome once state is FINISHED; hosts on the heap, addresses unused. */
	struct mx_answer answer;
	struct resolver_cache_address *addresses;
	size_t address_count;
	uint32_t ttl;
	bool failed;         /* a question about a host got no usable answer */
	bool domain_is_host; /* there is no MX */

	struct dns_channel *channel;
	void (*idle)(void *arg, struct resolver_lookup *lookup);
	void *idle_arg;
	struct resolver_lookup_query mx_query;
	struct resolver_lookup_query *address_queries; /* two a host */
	size_t next_query;
	unsigned under_way;
};

/* Makes a lookup; its answer is MX_UNKNOWN until another one is found. NULL when out of memory. */
struct resolver_lookup *resolver_lookup_new(struct span domain);
/* Only where nothing is under way, or the channel is gone. */
void resolver_lookup_free(struct resolver_lookup *lookup);

/*
 * Answers what needs no DNS: an address literal is its own host; what is no host name stays MX_UNKNOWN.
 * False where DNS must be asked.
 */
bool resolver_lookup_without_dns(struct resolver_lookup *lookup);

/*
 * Begins. idle() is called once, perhaps from within this call, when nothing is under way: then the outcome
 * stands, unless the lookup was given up before.
 */
void resolver_lookup_begin(struct resolver_lookup *lookup, struct dns_channel *channel,
	void (*idle)(void *arg, struct resolver_lookup *lookup), void *arg);

/* MX_UNKNOWN from now on; what still comes back is ignored. */
void resolver_lookup_give_up(struct resolver_lookup *lookup);

#endif
