/*
 * provider_set: a set of providers while it is being made: where its memory is, how a provider gets
 * into it, how one is found by a name. Part of the provider module behind provider.h; nobody else
 * includes this.
 *
 * All that a set holds lies in its arena and goes with it: nothing is given back before. Where memory
 * runs out the set is `starved`; readers go on with what they got and ask at the end.
 */
#ifndef MX_PROVIDER_SET_H
#define MX_PROVIDER_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "provider.h"
#include "span.h"

/* The provider whom nothing else matches; always the first. */
#define PROVIDER_DEFAULT "default"
/* Before the domain in the name of a provider of responses.toml; no profile may be called so. */
#define PROVIDER_DOMAIN_PREFIX "domain:"

struct provider_block; /* of the arena */
struct provider_entry; /* of a hash table: a name and whose it is */

struct provider_set {
	struct provider **providers;
	size_t count, room;
	struct provider_block *blocks;
	struct provider_entry *names;   /* of providers, as written */
	struct provider_entry *domains; /* in lower case */
	bool starved;
};

/* Zeroed memory of the set's life; NULL where it runs out (starved is set). */
void *provider_memory(struct provider_set *set, size_t size);

/* A copy of a text, as it is or in lower case; "" where memory runs out. */
const char *provider_text(struct provider_set *set, const char *text);
const char *provider_text_lower(struct provider_set *set, const char *text);

/* The provider of a name, made at `file`:`line` where there is none yet. NULL where memory runs out. */
struct provider *provider_make(struct provider_set *set, const char *name, const char *file, unsigned line);

/* From here on a domain, in lower case and of the set's life, is provider's whosever it was; NULL: nobody's. */
void provider_claim(struct provider_set *set, const char *domain, struct provider *provider);

/* Adds a reply, or takes away all that are there of one kind, or all of any with PROVIDER_KINDS. */
void provider_reply_add(
	struct provider_set *set, struct provider *provider, const struct provider_reply *reply);
void provider_replies_drop(struct provider *provider, enum provider_kind kind);

/* Sums the weights anew after replies came or went. */
void provider_weigh(struct provider *provider);

#endif
