#include "resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "dns_channel.h"
#include "keyed_hash.h"
#include "resolver_cache.h"
#include "resolver_lookup.h"

#define LOOKUP_BUCKETS 1024
/* Lookups answered before the loop looks at its sockets again: each is a few microseconds of its asker's. */
#define ANSWERS_MAX 64
#define PENDING_MAX (DNS_CHANNEL_QUERIES_MAX / RESOLVER_LOOKUP_WINDOW)

/* How late a time-out may be noticed; runs only while something is under way. */
static const struct timeval tick_interval = {0, 25 * 1000};
static const struct timeval at_once = {0, 0};

struct resolver_question {
	LIST_ENTRY(resolver_question) link;
	void (*done)(void *arg, struct resolver_entry *entry);
	void *arg;
};

TAILQ_HEAD(lookup_list, resolver_lookup);
LIST_HEAD(lookup_bucket, resolver_lookup);

struct resolver {
	struct resolver_setup setup;
	struct dns_channel *channel;
	struct resolver_cache *cache;
	struct event *tick, *answering;
	struct lookup_list
		lists[RESOLVER_LOOKUP_DRAINING + 1];  /* by state; in the order in which they came */
	struct lookup_bucket buckets[LOOKUP_BUCKETS]; /* those that a question can join */
	uint64_t key;
	uint32_t pending; /* lookups with something under way */
};

const struct resolver_setup resolver_defaults = {
	.timeout_ms = 2000,
	.cache_entries = 65536,
	.pending_max = PENDING_MAX,
	.negative_ttl_s = 30,
	.ttl_min_s = 10,
	.ttl_max_s = 86400,
};

static void count(struct resolver *resolver, enum stats_counter counter)
{
	if (resolver->setup.block)
		stats_add(resolver->setup.block, counter, 1);
}

static struct lookup_bucket *bucket_of(struct resolver *resolver, const struct resolver_lookup *lookup)
{
	struct span name = {lookup->name, lookup->name_len};
	return &resolver->buckets[keyed_hash(resolver->key, name) % LOOKUP_BUCKETS];
}

static void lookup_move(
	struct resolver *resolver, struct resolver_lookup *lookup, enum resolver_lookup_state state)
{
	TAILQ_REMOVE(&resolver->lists[lookup->state], lookup, link);
	lookup->state = state;
	TAILQ_INSERT_TAIL(&resolver->lists[state], lookup, link);
}

/* The outcome stands; the askers hear of it from the loop. */
static void lookup_finish(struct resolver *resolver, struct resolver_lookup *lookup)
{
	lookup_move(resolver, lookup, RESOLVER_LOOKUP_FINISHED);
	if (!evtimer_pending(resolver->answering, NULL))
		evtimer_add(resolver->answering, &at_once);
}

static void lookup_drop(struct resolver *resolver, struct resolver_lookup *lookup)
{
	TAILQ_REMOVE(&resolver->lists[lookup->state], lookup, link);
	resolver_lookup_free(lookup);
}

static void lookup_idle(void *arg, struct resolver_lookup *lookup)
{
	struct resolver *resolver = arg;
	if (--resolver->pending == 0)
		event_del(resolver->tick);
	if (lookup->state == RESOLVER_LOOKUP_RUNNING)
		lookup_finish(resolver, lookup);
	else if (lookup->state == RESOLVER_LOOKUP_DRAINING)
		lookup_drop(resolver, lookup);
}

static void resolver_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct resolver *resolver = arg;
	struct lookup_list *running = &resolver->lists[RESOLVER_LOOKUP_RUNNING];
	struct resolver_lookup *lookup;
	uint64_t now = clock_ms();
	/* All have the same time, so that the first is the next to run out of it. */
	while ((lookup = TAILQ_FIRST(running)) && now - lookup->started_ms >= resolver->setup.timeout_ms) {
		resolver_lookup_give_up(lookup);
		count(resolver, STATS_DNS_TIMED_OUT);
		lookup_finish(resolver, lookup);
	}
	dns_channel_expire(resolver->channel);
}

static uint64_t lookup_ttl_ms(const struct resolver *resolver, const struct resolver_lookup *lookup)
{
	const struct resolver_setup *setup = &resolver->setup;
	enum mx_status status = lookup->answer.status;
	if (status == MX_UNKNOWN || status == MX_NO_DOMAIN)
		return setup->negative_ttl_s * 1000ull;
	uint32_t ttl = lookup->ttl > setup->ttl_max_s ? setup->ttl_max_s : lookup->ttl;
	if (ttl < setup->ttl_min_s)
		ttl = setup->ttl_min_s;
	/* What failed is worth another try. */
	if (lookup->failed && ttl > setup->negative_ttl_s)
		ttl = setup->negative_ttl_s;
	return ttl * 1000ull;
}

static void lookup_answer(struct resolver *resolver, struct resolver_lookup *lookup)
{
	/* Without memory for an entry there is this one: nothing is known, and it is gone with the call. */
	struct resolver_entry none = {
		.domain = {lookup->name, lookup->name_len},
		.answer.status = MX_UNKNOWN,
	};
	const struct resolver_cache_put put = {
		.name = {lookup->name, lookup->name_len},
		.answer = lookup->answer,
		.addresses = lookup->addresses,
		.address_count = lookup->address_count,
		.expires_ms = clock_ms() + lookup_ttl_ms(resolver, lookup),
		.keep = !lookup->refused && !lookup->cut,
	};
	struct resolver_entry *entry = resolver_cache_put(resolver->cache, &put);
	LIST_REMOVE(lookup, bucket);
	struct resolver_question *question;
	while ((question = LIST_FIRST(&lookup->questions))) {
		LIST_REMOVE(question, link);
		question->done(question->arg, entry ? entry : &none);
		free(question);
	}
	if (lookup->under_way)
		lookup_move(resolver, lookup, RESOLVER_LOOKUP_DRAINING);
	else
		lookup_drop(resolver, lookup);
}

static void resolver_answer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct resolver *resolver = arg;
	struct lookup_list *finished = &resolver->lists[RESOLVER_LOOKUP_FINISHED];
	resolver_cache_sweep(resolver->cache);
	for (int i = 0; i < ANSWERS_MAX && !TAILQ_EMPTY(finished); i++)
		lookup_answer(resolver, TAILQ_FIRST(finished));
	if (!TAILQ_EMPTY(finished) && !evtimer_pending(resolver->answering, NULL))
		evtimer_add(resolver->answering, &at_once);
}

struct resolver *resolver_new(const struct resolver_setup *setup, struct err *err)
{
	if (setup->timeout_ms == 0 || setup->cache_entries == 0 || setup->pending_max > PENDING_MAX) {
		err_set(err, -EINVAL,
			"resolver: timeout_ms and cache_entries must not be 0, pending_max at most %d",
			PENDING_MAX);
		return NULL;
	}
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	if (!resolver)
		goto no_memory;
	resolver->setup = *setup;
	resolver->setup.servers = NULL;
	resolver->key = keyed_hash_key();
	for (size_t i = 0; i <= RESOLVER_LOOKUP_DRAINING; i++)
		TAILQ_INIT(&resolver->lists[i]);
	/* Two tries, the second twice as long: an answer that comes just in time is still heard. */
	resolver->channel = dns_channel_new(setup->base, setup->servers, setup->timeout_ms / 3 + 50, err);
	if (!resolver->channel)
		goto fail;
	resolver->cache = resolver_cache_new(setup->cache_entries);
	resolver->tick = event_new(setup->base, -1, EV_PERSIST, resolver_tick, resolver);
	resolver->answering = evtimer_new(setup->base, resolver_answer, resolver);
	if (resolver->cache && resolver->tick && resolver->answering)
		return resolver;
no_memory:
	err_set(err, -ENOMEM, "resolver: out of memory");
fail:
	resolver_free(resolver);
	return NULL;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	dns_channel_free(resolver->channel);
	for (size_t i = 0; i <= RESOLVER_LOOKUP_DRAINING; i++) {
		struct resolver_lookup *lookup;
		while ((lookup = TAILQ_FIRST(&resolver->lists[i]))) {
			while (!LIST_EMPTY(&lookup->questions))
				resolver_forget(LIST_FIRST(&lookup->questions));
			lookup_drop(resolver, lookup);
		}
	}
	resolver_cache_free(resolver->cache);
	if (resolver->tick)
		event_free(resolver->tick);
	if (resolver->answering)
		event_free(resolver->answering);
	free(resolver);
}

struct resolver_entry *resolver_cached(struct resolver *resolver, struct span domain)
{
	char name[RESOLVER_CACHE_NAME_MAX];
	if (domain.len > sizeof(name))
		return NULL;
	resolver_cache_lower(domain, name);
	struct resolver_entry *entry =
		resolver_cache_find(resolver->cache, (struct span){name, domain.len}, clock_ms());
	if (entry)
		count(resolver, STATS_DNS_CACHED);
	return entry;
}

/* The lookup of the same domain that is not answered yet, if there is one. */
static struct resolver_lookup *lookup_same(struct resolver *resolver, const struct resolver_lookup *lookup)
{
	struct resolver_lookup *other;
	LIST_FOREACH(other, bucket_of(resolver, lookup), bucket)
	if (!other->cut && !other->refused && other->name_len == lookup->name_len &&
		memcmp(other->name, lookup->name, lookup->name_len) == 0)
		return other;
	return NULL;
}

static void lookup_start(struct resolver *resolver, struct resolver_lookup *lookup)
{
	lookup->state = RESOLVER_LOOKUP_RUNNING;
	lookup->started_ms = clock_ms();
	TAILQ_INSERT_TAIL(&resolver->lists[RESOLVER_LOOKUP_RUNNING], lookup, link);
	LIST_INSERT_HEAD(bucket_of(resolver, lookup), lookup, bucket);
	if (resolver_lookup_without_dns(lookup)) {
		lookup_finish(resolver, lookup);
		return;
	}
	if (resolver->pending >= resolver->setup.pending_max) {
		lookup->refused = true;
		count(resolver, STATS_DNS_REFUSED);
		lookup_finish(resolver, lookup);
		return;
	}
	if (resolver->pending++ == 0)
		event_add(resolver->tick, &tick_interval);
	count(resolver, STATS_DNS_LOOKUPS);
	resolver_lookup_begin(lookup, resolver->channel, lookup_idle, resolver);
}

struct resolver_question *resolver_ask(struct resolver *resolver, struct span domain,
	void (*done)(void *arg, struct resolver_entry *entry), void *arg)
{
	struct resolver_question *question = malloc(sizeof(*question));
	struct resolver_lookup *lookup = resolver_lookup_new(domain);
	if (!question || !lookup) {
		free(question);
		if (lookup)
			resolver_lookup_free(lookup);
		return NULL;
	}
	question->done = done;
	question->arg = arg;
	struct resolver_lookup *same = lookup->cut ? NULL : lookup_same(resolver, lookup);
	if (same) {
		resolver_lookup_free(lookup);
		lookup = same;
	}
	LIST_INSERT_HEAD(&lookup->questions, question, link);
	if (!same)
		lookup_start(resolver, lookup);
	return question;
}

void resolver_forget(struct resolver_question *question)
{
	LIST_REMOVE(question, link);
	free(question);
}

struct resolver_entry *resolver_by_address(
	struct resolver *resolver, const struct in6_addr *address, struct span *host)
{
	return resolver_cache_by_address(resolver->cache, address, host);
}
