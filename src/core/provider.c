#include "provider.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "provider_set.h"

#define HASH_NONFATAL_OOM         1
#define uthash_nonfatal_oom(lost) ((void)(lost))
#include <uthash.h>

/* RFC 1035 2.3.4; a longer name is nobody's. */
#define DOMAIN_MAX 255

#define BLOCK_BYTES 16384

struct provider_block {
	struct provider_block *next;
	size_t used, size;
	_Alignas(max_align_t) char memory[];
};

struct provider_entry {
	const char *name;
	struct provider *provider;
	UT_hash_handle hh;
};

void *provider_memory(struct provider_set *set, size_t size)
{
	size_t align = _Alignof(max_align_t);
	size = (size + align - 1) / align * align;
	struct provider_block *block = set->blocks;
	if (!block || size > block->size - block->used) {
		size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
		block = calloc(1, sizeof(*block) + room);
		if (!block) {
			set->starved = true;
			return NULL;
		}
		block->size = room;
		block->next = set->blocks;
		set->blocks = block;
	}
	void *memory = block->memory + block->used;
	block->used += size;
	return memory;
}

const char *provider_text(struct provider_set *set, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = provider_memory(set, size);
	return copy ? memcpy(copy, text, size) : "";
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

const char *provider_text_lower(struct provider_set *set, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = provider_memory(set, size);
	for (size_t i = 0; copy && i < size; i++)
		copy[i] = lower(text[i]);
	return copy ? copy : "";
}

static struct provider *entry_find(struct provider_entry *table, struct span name)
{
	struct provider_entry *entry;
	HASH_FIND(hh, table, name.data, name.len, entry);
	return entry ? entry->provider : NULL;
}

static void entry_put(
	struct provider_set *set, struct provider_entry **table, const char *name, struct provider *provider)
{
	struct provider_entry *entry;
	unsigned before = HASH_COUNT(*table);
	size_t len = strlen(name);
	HASH_FIND(hh, *table, name, len, entry);
	if (entry) {
		entry->provider = provider;
		return;
	}
	entry = provider_memory(set, sizeof(*entry));
	if (!entry)
		return;
	entry->name = name;
	entry->provider = provider;
	HASH_ADD_KEYPTR(hh, *table, entry->name, len, entry);
	if (HASH_COUNT(*table) == before)
		set->starved = true;
}

struct provider *provider_make(struct provider_set *set, const char *name, const char *file, unsigned line)
{
	struct provider *provider = entry_find(set->names, span_of(name));
	if (provider)
		return provider;
	if (set->count == set->room) {
		size_t room = set->room ? set->room * 2 : 64;
		struct provider **grown = provider_memory(set, room * sizeof(struct provider *));
		if (!grown)
			return NULL;
		if (set->count)
			memcpy(grown, set->providers, set->count * sizeof(struct provider *));
		set->providers = grown;
		set->room = room;
	}
	provider = provider_memory(set, sizeof(*provider));
	if (!provider)
		return NULL;
	provider->name = provider_text(set, name);
	provider->file = file;
	provider->line = line;
	provider->index = (uint32_t)set->count;
	entry_put(set, &set->names, provider->name, provider);
	set->providers[set->count++] = provider;
	return provider;
}

void provider_claim(struct provider_set *set, const char *domain, struct provider *provider)
{
	entry_put(set, &set->domains, domain, provider);
}

void provider_reply_add(
	struct provider_set *set, struct provider *provider, const struct provider_reply *reply)
{
	size_t count = provider->reply_count;
	/* Room is always the next power of two, 8 at least. */
	if (count == 0 || (count >= 8 && (count & (count - 1)) == 0)) {
		struct provider_reply *grown = provider_memory(set, (count ? count * 2 : 8) * sizeof(*grown));
		if (!grown)
			return;
		if (count)
			memcpy(grown, provider->replies, count * sizeof(*grown));
		provider->replies = grown;
	}
	((struct provider_reply *)provider->replies)[provider->reply_count++] = *reply;
}

void provider_replies_drop(struct provider *provider, enum provider_kind kind)
{
	struct provider_reply *replies = (struct provider_reply *)provider->replies;
	size_t kept = 0;
	for (size_t i = 0; i < provider->reply_count; i++)
		if (kind != PROVIDER_KINDS && replies[i].kind != kind)
			replies[kept++] = replies[i];
	provider->reply_count = kept;
}

void provider_weigh(struct provider *provider)
{
	memset(provider->weight, 0, sizeof(provider->weight));
	memset(provider->weight_at, 0, sizeof(provider->weight_at));
	for (size_t i = 0; i < provider->reply_count; i++) {
		const struct provider_reply *reply = &provider->replies[i];
		provider->weight[reply->kind] += reply->weight;
		provider->weight_at[reply->kind][reply->phase] += reply->weight;
	}
}

struct provider_set *provider_set_new(struct err *err)
{
	struct provider_set *set = calloc(1, sizeof(*set));
	if (set && provider_make(set, PROVIDER_DEFAULT, "(built in)", 0) && !set->starved)
		return set;
	provider_set_free(set);
	err_set(err, -ENOMEM, "providers: out of memory");
	return NULL;
}

void provider_set_free(struct provider_set *set)
{
	if (!set)
		return;
	HASH_CLEAR(hh, set->names);
	HASH_CLEAR(hh, set->domains);
	while (set->blocks) {
		struct provider_block *block = set->blocks;
		set->blocks = block->next;
		free(block);
	}
	free(set);
}

size_t provider_count(const struct provider_set *set)
{
	return set->count;
}

const struct provider *provider_at(const struct provider_set *set, size_t index)
{
	return set->providers[index];
}

const struct provider *provider_by_name(const struct provider_set *set, struct span name)
{
	return entry_find(set->names, name);
}

const struct provider *provider_by_domain(const struct provider_set *set, struct span domain)
{
	char name[DOMAIN_MAX];
	if (domain.len > sizeof(name))
		return NULL;
	for (size_t i = 0; i < domain.len; i++)
		name[i] = lower(domain.data[i]);
	return entry_find(set->domains, (struct span){name, domain.len});
}

static bool host_matches(const struct provider *provider, struct span host)
{
	for (size_t i = 0; i < provider->mx_suffix_count; i++) {
		struct span suffix = span_of(provider->mx_suffixes[i]);
		if (host.len >= suffix.len && span_equal(span_from(host, host.len - suffix.len), suffix))
			return true;
	}
	for (size_t i = 0; i < provider->mx_name_count; i++)
		if (span_equal(host, span_of(provider->mx_names[i])))
			return true;
	return false;
}

const struct provider *provider_by_mx(const struct provider_set *set, const struct span *hosts, size_t count)
{
	for (size_t i = 0; i < set->count && count; i++) {
		size_t matched = 0;
		while (matched < count && host_matches(set->providers[i], hosts[matched]))
			matched++;
		if (matched == count)
			return set->providers[i];
	}
	return NULL;
}

const struct provider_reply *provider_draw(
	const struct provider *provider, enum provider_kind kind, int phase, uint64_t draw)
{
	uint64_t total = phase < 0 ? provider->weight[kind] : provider->weight_at[kind][phase];
	uint64_t left = draw_below(draw, total);
	for (size_t i = 0; i < provider->reply_count && total; i++) {
		const struct provider_reply *reply = &provider->replies[i];
		if (reply->kind != kind || (phase >= 0 && (int)reply->phase != phase))
			continue;
		if (left < reply->weight)
			return reply;
		left -= reply->weight;
	}
	return NULL;
}
