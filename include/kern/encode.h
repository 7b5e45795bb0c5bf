/*
 * encode: a ruleset's objects in libnftnl's terms. A rule becomes the same expressions that nft
 * itself makes of the printed form, so that nft lists it in that form. It sends nothing and asks
 * nothing.
 */
#ifndef MX_ENCODE_H
#define MX_ENCODE_H

#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <stdbool.h>

#include "err.h"
#include "ruleset.h"

/*
 * Each returns an object of the caller's, to be given to the nftnl_..._free() of its kind, or NULL
 * when memory ran out.
 */
struct nftnl_rule *encode_rule(const struct ruleset_table *table, const struct ruleset_rule *rule);
struct nftnl_chain *encode_chain(const struct ruleset_table *table, const struct ruleset_chain_spec *chain);
struct nftnl_obj *encode_counter(
	const struct ruleset_table *table, enum ruleset_counter counter, uint64_t packets, uint64_t bytes);
/* Without elements. id is any number that no other set of the same batch has. */
struct nftnl_set *encode_set(
	const struct ruleset_table *table, const struct ruleset_set_spec *set, uint32_t id);

/* An element of a set. An interval is two: its first key and, with `end`, the first key behind it.
 */
struct encode_element {
	uint8_t key[16]; /* network order */
	bool end;
	bool open; /* the interval reaches to the last key there is and has no end */
};

/* The length of the keys of a type of set, in bytes. */
size_t encode_key_len(enum ruleset_set_type type);

/* Writes set's elements, 2 * set->count at most, ascending. Returns their number. */
size_t encode_elements(const struct ruleset_set_spec *set, struct encode_element *elements);

/* Adds an element to set. 0 or -ENOMEM. */
int encode_add_element(struct nftnl_set *set, enum ruleset_set_type type,
	const struct encode_element *element) MX_MUST_CHECK;

#endif
