#include "resolver_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "keyed_hash.h"

struct cached {
	struct resolver_entry entry; /* first: the user's pointer is ours */
	LIST_ENTRY(cached) bucket;
	TAILQ_ENTRY(cached) age; /* in use or retired */
	uint64_t expires_ms;
	size_t bytes;
	size_t name_len;
	char name[RESOLVER_CACHE_NAME_MAX];
	/* Behind it: the addresses, the hosts. */
};

/* Where an address belongs. */
struct home {
	LIST_ENTRY(home) bucket;
	TAILQ_ENTRY(home) age;
	struct in6_addr address;
	uint8_t domain_len, host_len;
	char text[]; /* the domain, the host */
};

LIST_HEAD(cached_bucket, cached);
LIST_HEAD(home_bucket, home);

struct resolver_cache {
	uint64_t key;
	uint32_t mask; /* buckets of either table, less one */
	uint32_t entries_max, entries;
	uint32_t homes_max, homes;
	size_t bytes_max, bytes;
	struct cached_bucket *cached_buckets;
	struct home_bucket *home_buckets;
	TAILQ_HEAD(cached_list, cached) cached, cached_retired; /* the least recently used first */
	TAILQ_HEAD(home_list, home) in_use, homes_retired;
};

struct resolver_cache *resolver_cache_new(uint32_t entries)
{
	struct resolver_cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return NULL;
	uint32_t buckets = 16;
	while (buckets < entries && buckets < 1u << 31)
		buckets *= 2;
	cache->key = keyed_hash_key();
	cache->mask = buckets - 1;
	cache->entries_max = entries;
	cache->homes_max = entries * RESOLVER_CACHE_HOMES_PER_ENTRY;
	cache->bytes_max = (size_t)entries * RESOLVER_CACHE_BYTES_PER_ENTRY;
	cache->cached_buckets = calloc(buckets, sizeof(*cache->cached_buckets));
	cache->home_buckets = calloc(buckets, sizeof(*cache->home_buckets));
	TAILQ_INIT(&cache->cached);
	TAILQ_INIT(&cache->cached_retired);
	TAILQ_INIT(&cache->in_use);
	TAILQ_INIT(&cache->homes_retired);
	if (cache->cached_buckets && cache->home_buckets)
		return cache;
	resolver_cache_free(cache);
	return NULL;
}

/* Out of the tables, but not yet out of the hands of who has it. */
static void cached_retire(struct resolver_cache *cache, struct cached *cached)
{
	LIST_REMOVE(cached, bucket);
	TAILQ_REMOVE(&cache->cached, cached, age);
	TAILQ_INSERT_TAIL(&cache->cached_retired, cached, age);
	cache->entries--;
	cache->bytes -= cached->bytes;
}

static void home_retire(struct resolver_cache *cache, struct home *home)
{
	LIST_REMOVE(home, bucket);
	TAILQ_REMOVE(&cache->in_use, home, age);
	TAILQ_INSERT_TAIL(&cache->homes_retired, home, age);
	cache->homes--;
}

void resolver_cache_sweep(struct resolver_cache *cache)
{
	struct cached *cached;
	while ((cached = TAILQ_FIRST(&cache->cached_retired))) {
		TAILQ_REMOVE(&cache->cached_retired, cached, age);
		free(cached);
	}
	struct home *home;
	while ((home = TAILQ_FIRST(&cache->homes_retired))) {
		TAILQ_REMOVE(&cache->homes_retired, home, age);
		free(home);
	}
}

void resolver_cache_free(struct resolver_cache *cache)
{
	if (!cache)
		return;
	while (!TAILQ_EMPTY(&cache->cached))
		cached_retire(cache, TAILQ_FIRST(&cache->cached));
	while (!TAILQ_EMPTY(&cache->in_use))
		home_retire(cache, TAILQ_FIRST(&cache->in_use));
	resolver_cache_sweep(cache);
	free(cache->cached_buckets);
	free(cache->home_buckets);
	free(cache);
}

static struct cached_bucket *cached_bucket(const struct resolver_cache *cache, struct span name)
{
	return &cache->cached_buckets[keyed_hash(cache->key, name) & cache->mask];
}

/* The entry of a name, from then on the most recently used. */
static struct cached *cached_find(struct resolver_cache *cache, struct span name)
{
	struct cached *cached;
	LIST_FOREACH(cached, cached_bucket(cache, name), bucket)
	{
		if (!span_equal((struct span){cached->name, cached->name_len}, name))
			continue;
		TAILQ_REMOVE(&cache->cached, cached, age);
		TAILQ_INSERT_TAIL(&cache->cached, cached, age);
		return cached;
	}
	return NULL;
}

struct resolver_entry *resolver_cache_find(struct resolver_cache *cache, struct span name, uint64_t now_ms)
{
	struct cached *cached = cached_find(cache, name);
	return cached && now_ms < cached->expires_ms ? &cached->entry : NULL;
}

static struct home_bucket *home_bucket(const struct resolver_cache *cache, const struct in6_addr *address)
{
	struct span bytes = {(const char *)address, sizeof(*address)};
	return &cache->home_buckets[keyed_hash(cache->key, bytes) & cache->mask];
}

static struct home *home_find(const struct resolver_cache *cache, const struct in6_addr *address)
{
	struct home *home;
	LIST_FOREACH(home, home_bucket(cache, address), bucket)
	if (memcmp(&home->address, address, sizeof(*address)) == 0)
		return home;
	return NULL;
}

static struct span home_domain(const struct home *home)
{
	return (struct span){home->text, home->domain_len};
}

static struct span home_host(const struct home *home)
{
	return (struct span){home->text + home->domain_len, home->host_len};
}

/* Notes where an address belongs; without memory for it, it stays where it was. */
static void home_put(
	struct resolver_cache *cache, const struct in6_addr *address, struct span domain, struct span host)
{
	struct home *home = home_find(cache, address);
	if (home && span_equal(home_domain(home), domain) && span_equal(home_host(home), host)) {
		TAILQ_REMOVE(&cache->in_use, home, age);
		TAILQ_INSERT_TAIL(&cache->in_use, home, age);
		return;
	}
	struct home *fresh = malloc(sizeof(*fresh) + domain.len + host.len);
	if (!fresh)
		return;
	if (home)
		home_retire(cache, home);
	else if (cache->homes == cache->homes_max)
		home_retire(cache, TAILQ_FIRST(&cache->in_use));
	fresh->address = *address;
	fresh->domain_len = (uint8_t)domain.len;
	fresh->host_len = (uint8_t)host.len;
	memcpy(fresh->text, domain.data, domain.len);
	memcpy(fresh->text + domain.len, host.data, host.len);
	LIST_INSERT_HEAD(home_bucket(cache, address), fresh, bucket);
	TAILQ_INSERT_TAIL(&cache->in_use, fresh, age);
	cache->homes++;
}

/* A copy of what is to be kept, in one block, in no table yet. */
static struct cached *cached_new(const struct resolver_cache_put *put)
{
	size_t addresses_size = put->address_count * sizeof(struct in6_addr);
	size_t hosts_size = put->answer.host_count * sizeof(struct mx_host);
	size_t bytes = sizeof(struct cached) + addresses_size + hosts_size;
	struct cached *cached = malloc(bytes);
	if (!cached)
		return NULL;
	struct in6_addr *addresses = (struct in6_addr *)(cached + 1);
	*cached = (struct cached){
		.entry.answer = put->answer,
		.expires_ms = put->expires_ms,
		.bytes = bytes,
		.name_len = put->name.len,
	};
	memcpy(cached->name, put->name.data, put->name.len);
	cached->entry.domain = (struct span){cached->name, cached->name_len};
	cached->entry.answer.addresses = addresses;
	cached->entry.answer.address_count = put->address_count;
	for (size_t i = 0; i < put->address_count; i++)
		addresses[i] = put->addresses[i].address;
	cached->entry.answer.hosts = (struct mx_host *)(addresses + put->address_count);
	if (hosts_size)
		memcpy(cached->entry.answer.hosts, put->answer.hosts, hosts_size);
	return cached;
}

struct resolver_entry *resolver_cache_put(struct resolver_cache *cache, const struct resolver_cache_put *put)
{
	struct cached *cached = cached_new(put);
	if (!cached)
		return NULL;
	if (!put->keep) {
		TAILQ_INSERT_TAIL(&cache->cached_retired, cached, age);
		return &cached->entry;
	}
	struct cached *old = cached_find(cache, put->name);
	if (old)
		cached_retire(cache, old);
	while (cache->entries == cache->entries_max ||
		(cache->entries && cache->bytes + cached->bytes > cache->bytes_max))
		cached_retire(cache, TAILQ_FIRST(&cache->cached));
	LIST_INSERT_HEAD(cached_bucket(cache, put->name), cached, bucket);
	TAILQ_INSERT_TAIL(&cache->cached, cached, age);
	cache->entries++;
	cache->bytes += cached->bytes;
	/* From the last on: an address of two hosts belongs to the one that is preferred. */
	for (size_t i = put->address_count; i > 0; i--)
		home_put(cache, &put->addresses[i - 1].address, put->name,
			span_of(put->answer.hosts[put->addresses[i - 1].host].name));
	return &cached->entry;
}

struct resolver_entry *resolver_cache_by_address(
	struct resolver_cache *cache, const struct in6_addr *address, struct span *host)
{
	struct home *home = home_find(cache, address);
	struct cached *cached = home ? cached_find(cache, home_domain(home)) : NULL;
	if (!cached || cached->entry.answer.status != MX_FOUND)
		return NULL;
	TAILQ_REMOVE(&cache->in_use, home, age);
	TAILQ_INSERT_TAIL(&cache->in_use, home, age);
	*host = home_host(home);
	return &cached->entry;
}
