#include "encode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

/* nft's own numbers of data types, by which it lists a set's keys, and the keys' lengths. */
static const struct set_type {
	uint32_t type;
	uint32_t len;
	uint32_t flags;
} set_types[] = {
	[RULESET_SET_SERVICE] = {13, 2, 0},
	[RULESET_SET_IPV4] = {7, 4, NFT_SET_INTERVAL},
	[RULESET_SET_IPV6] = {8, 16, NFT_SET_INTERVAL},
};

struct nftnl_chain *encode_chain(const struct ruleset_table *table, const struct ruleset_chain_spec *spec)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();
	if (!chain)
		return NULL;
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_FAMILY, table->family);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table->name);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, spec->name);
	if (!spec->type)
		return chain;
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, spec->type);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, spec->hook);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, spec->priority);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	if (spec->device)
		nftnl_chain_set_str(chain, NFTNL_CHAIN_DEV, spec->device);
	return chain;
}

struct nftnl_obj *encode_counter(
	const struct ruleset_table *table, enum ruleset_counter counter, uint64_t packets, uint64_t bytes)
{
	struct nftnl_obj *object = nftnl_obj_alloc();
	if (!object)
		return NULL;
	nftnl_obj_set_u32(object, NFTNL_OBJ_FAMILY, table->family);
	nftnl_obj_set_str(object, NFTNL_OBJ_TABLE, table->name);
	nftnl_obj_set_str(object, NFTNL_OBJ_NAME, ruleset_counter_name(counter));
	nftnl_obj_set_u32(object, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	nftnl_obj_set_u64(object, NFTNL_OBJ_CTR_PKTS, packets);
	nftnl_obj_set_u64(object, NFTNL_OBJ_CTR_BYTES, bytes);
	return object;
}

struct nftnl_set *encode_set(
	const struct ruleset_table *table, const struct ruleset_set_spec *spec, uint32_t id)
{
	const struct set_type *type = &set_types[spec->type];
	struct nftnl_set *set = nftnl_set_alloc();
	if (!set)
		return NULL;
	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, table->family);
	nftnl_set_set_str(set, NFTNL_SET_TABLE, table->name);
	nftnl_set_set_str(set, NFTNL_SET_NAME, spec->name);
	nftnl_set_set_u32(set, NFTNL_SET_ID, id);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, type->type);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, type->len);
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, type->flags);
	return set;
}

size_t encode_key_len(enum ruleset_set_type type)
{
	return set_types[type].len;
}

/* The first address behind the block; false where the block reaches to the last address. */
static bool block_end(const struct conf_block *block, size_t len, uint8_t *end)
{
	memcpy(end, block->address, len);
	if (block->prefix == 0)
		return false;
	size_t i = (block->prefix - 1) / 8;
	unsigned step = 0x80u >> ((block->prefix - 1) % 8);
	for (;;) {
		unsigned sum = end[i] + step;
		end[i] = (uint8_t)sum;
		if (sum <= 0xff)
			return true;
		if (i == 0)
			return false;
		i--;
		step = 1;
	}
}

size_t encode_elements(const struct ruleset_set_spec *set, struct encode_element *elements)
{
	size_t count = 0;
	for (size_t i = 0; i < set->count; i++) {
		struct encode_element *first = &elements[count++];
		*first = (struct encode_element){0};
		if (set->type == RULESET_SET_SERVICE) {
			uint16_t port = htons(set->ports[i]);
			memcpy(first->key, &port, sizeof(port));
			continue;
		}
		size_t len = encode_key_len(set->type);
		memcpy(first->key, set->blocks[i].address, len);
		struct encode_element *last = &elements[count];
		*last = (struct encode_element){.end = true};
		if (block_end(&set->blocks[i], len, last->key))
			count++;
		else
			first->open = true;
	}
	return count;
}

int encode_add_element(
	struct nftnl_set *set, enum ruleset_set_type type, const struct encode_element *element)
{
	/*
	 * Type, length and value of nft's note on an element (SET_ELEM_INTERVAL_OPEN, not in any
	 * header). Without it nft lists an interval that has no end as a single address.
	 */
	static const uint8_t interval_open[] = {NFTNL_UDATA_SET_ELEM_FLAGS, 4, 1, 0, 0, 0};
	struct nftnl_set_elem *elem = nftnl_set_elem_alloc();
	if (!elem)
		return -ENOMEM;
	if (nftnl_set_elem_set(elem, NFTNL_SET_ELEM_KEY, element->key, (uint32_t)encode_key_len(type)) < 0)
		goto fail;
	if (element->end)
		nftnl_set_elem_set_u32(elem, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	if (element->open &&
		nftnl_set_elem_set(elem, NFTNL_SET_ELEM_USERDATA, interval_open, sizeof(interval_open)) < 0)
		goto fail;
	nftnl_set_elem_add(set, elem);
	return 0;
fail:
	nftnl_set_elem_free(elem);
	return -ENOMEM;
}
