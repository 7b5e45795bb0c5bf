/*
 * resolver_cache: the answers that a resolver keeps, by domain, and which host an address was last seen to
 * belong to. Bounded in number and in bytes; the least recently used goes first. It asks nobody and reads
 * no clock. Part of the resolver behind resolver.h; nobody else includes this.
 *
 * Times are milliseconds of one monotonic clock.
 */
#ifndef MX_RESOLVER_CACHE_H
#define MX_RESOLVER_CACHE_H

#include <stdint.h>

#include "mx.h"
#include "resolver.h"
#include "span.h"

#define RESOLVER_CACHE_NAME_MAX 255

/* A domain of five hosts with two addresses each takes 3 kB; one of the limits' size 17 kB. */
#define RESOLVER_CACHE_BYTES_PER_ENTRY 4096
/* Addresses are shared between domains, or there would be no providers. */
#define RESOLVER_CACHE_HOMES_PER_ENTRY 2

struct resolver_cache;

/* A domain as the cache knows it; to has room for its length. */
static inline void resolver_cache_lower(struct span domain, char *to)
{
	for (size_t i = 0; i < domain.len; i++) {
		char c = domain.data[i];
		to[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
}

/* At most so many entries. NULL when out of memory. */
struct resolver_cache *resolver_cache_new(uint32_t entries);
void resolver_cache_free(struct resolver_cache *cache);

/*
 * The domain's entry that is not past its time, or NULL. Names are lower case, at most
 * RESOLVER_CACHE_NAME_MAX bytes.
 */
struct resolver_entry *resolver_cache_find(struct resolver_cache *cache, struct span name, uint64_t now_ms);

/* An address of an answer and the index of the host that it belongs to. */
struct resolver_cache_address {
	struct in6_addr address;
	uint8_t host;
};

/*
 * What is to be kept: the status, hosts and partial of the answer (its addresses are not looked at), and
 * these.
 */
struct resolver_cache_put {
	struct span name;
	struct mx_answer answer;
	const struct resolver_cache_address *addresses; /* in the order that the entry shall have */
	size_t address_count;
	uint64_t expires_ms;
	bool keep; /* false: an entry for this once, which nobody will find */
};

/*
 * Makes an entry; it takes the place of an older one of the name. NULL when out of memory. What has to make
 * room stays valid until resolver_cache_sweep().
 */
struct resolver_entry *resolver_cache_put(struct resolver_cache *cache, const struct resolver_cache_put *put);
void resolver_cache_sweep(struct resolver_cache *cache);

/*
 * The entry, also one past its time, and host that an address was last seen to belong to. NULL where the
 * cache no longer has it, or where the domain's newest answer names no hosts.
 */
struct resolver_entry *resolver_cache_by_address(
	struct resolver_cache *cache, const struct in6_addr *address, struct span *host);

#endif
