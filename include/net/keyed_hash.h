/*
 * keyed_hash: spreads names over the buckets of a table. The key is drawn anew for each table, so that
 * nobody who chooses names can choose their bucket. No cryptographic strength.
 */
#ifndef MX_KEYED_HASH_H
#define MX_KEYED_HASH_H

#include <stdint.h>
#include <sys/random.h>
#include <time.h>

#include "span.h"

static inline uint64_t keyed_hash_key(void)
{
	uint64_t key;
	/* Early in the boot there may be no randomness yet; waiting for it would be worse than a weak key. */
	if (getrandom(&key, sizeof(key), GRND_NONBLOCK) != sizeof(key))
		key = (uint64_t)time(NULL);
	return key;
}

static inline uint64_t keyed_hash(uint64_t key, struct span s)
{
	uint64_t hash = key;
	for (size_t i = 0; i < s.len; i++) {
		hash = (hash ^ (unsigned char)s.data[i]) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	return hash;
}

#endif
