#include "plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/table.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "encode.h"

/* A message holds 64 KB of elements at most; one of an IPv6 block takes about 50 bytes. */
#define ELEMENTS_PER_MESSAGE 500

static int table_add(
	struct nlbatch *batch, const struct ruleset_table *identity, uint16_t type, uint32_t flags)
{
	struct nftnl_table *table = nftnl_table_alloc();
	if (!table)
		return -ENOMEM;
	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, identity->family);
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, identity->name);
	if (type == NFT_MSG_NEWTABLE)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, flags);
	batch->tag = type == NFT_MSG_NEWTABLE ? PLAN_TABLE : 0;
	struct nlmsghdr *nlh = nlbatch_add(batch, type, identity->family,
		type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0, "table %s %s%s", ruleset_family_name(identity),
		identity->name, type == NFT_MSG_NEWTABLE ? "" : " (its removal)");
	batch->tag = 0;
	if (nlh)
		nftnl_table_nlmsg_build_payload(nlh, table);
	nftnl_table_free(table);
	return nlh ? 0 : -ENOMEM;
}

/* Removals from a table that is kept. Names are all that the kernel needs. */

static int rules_remove(struct nlbatch *batch, const struct ruleset_table *rules)
{
	struct nlmsghdr *nlh = nlbatch_add(
		batch, NFT_MSG_DELRULE, rules->family, 0, "the removal of the rules that stood before");
	if (!nlh)
		return -ENOMEM;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, rules->name);
	return 0;
}

int plan_remove_chain(struct nlbatch *batch, const struct ruleset_table *rules, const char *name)
{
	struct nlmsghdr *nlh =
		nlbatch_add(batch, NFT_MSG_DELCHAIN, rules->family, 0, "the removal of chain %s", name);
	if (!nlh)
		return -ENOMEM;
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, rules->name);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, name);
	return 0;
}

struct removal {
	struct nlbatch *batch;
	const struct ruleset_table *rules;
};

static int chain_remove(struct nftnl_chain *chain, void *data)
{
	struct removal *removal = data;
	const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
	/* A chain that stays hooked has its rules exchanged within one generation. */
	const struct ruleset_chain_spec *spec = ruleset_chain_find(removal->rules, name);
	return spec && compare_is_chain(chain, spec)
		       ? 0
		       : plan_remove_chain(removal->batch, removal->rules, name);
}

static int set_remove(struct nftnl_set *set, void *data)
{
	struct removal *removal = data;
	/* These go with the rule that they belong to. */
	if (nftnl_set_get_u32(set, NFTNL_SET_FLAGS) & NFT_SET_ANONYMOUS)
		return 0;
	const char *name = nftnl_set_get_str(set, NFTNL_SET_NAME);
	struct nlmsghdr *nlh = nlbatch_add(
		removal->batch, NFT_MSG_DELSET, removal->rules->family, 0, "the removal of set %s", name);
	if (!nlh)
		return -ENOMEM;
	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, removal->rules->name);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, name);
	return 0;
}

static int object_remove(struct nftnl_obj *object, void *data)
{
	struct removal *removal = data;
	const char *name = nftnl_obj_get_str(object, NFTNL_OBJ_NAME);
	uint32_t type = nftnl_obj_get_u32(object, NFTNL_OBJ_TYPE);
	for (int i = 0; i < RULESET_COUNTERS && type == NFT_OBJECT_COUNTER; i++)
		if (removal->rules->counters & 1u << i && strcmp(name, ruleset_counter_name(i)) == 0)
			return 0;
	struct nlmsghdr *nlh = nlbatch_add(
		removal->batch, NFT_MSG_DELOBJ, removal->rules->family, 0, "the removal of object %s", name);
	if (!nlh)
		return -ENOMEM;
	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, removal->rules->name);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(type));
	return 0;
}

static int contents_remove(
	struct nlbatch *batch, const struct kernel_table *table, const struct ruleset_table *rules)
{
	struct removal removal = {batch, rules};
	/* A chain may be where somebody's map leads, an object too. */
	if (rules_remove(batch, rules) < 0 || nftnl_set_list_foreach(table->sets, set_remove, &removal) < 0 ||
		nftnl_chain_list_foreach(table->chains, chain_remove, &removal) < 0 ||
		nftnl_obj_list_foreach(table->objects, object_remove, &removal) < 0)
		return -ENOMEM;
	return 0;
}

/* A counter that stands is left as it is by the kernel; one that is made anew starts from `former`.
 */
static int counter_add(struct nlbatch *batch, const struct ruleset_table *rules, enum ruleset_counter counter,
	struct nftnl_obj_list *former)
{
	const char *name = ruleset_counter_name(counter);
	struct nftnl_obj *old = kernel_counter_find(former, name);
	struct nftnl_obj *object =
		encode_counter(rules, counter, old ? nftnl_obj_get_u64(old, NFTNL_OBJ_CTR_PKTS) : 0,
			old ? nftnl_obj_get_u64(old, NFTNL_OBJ_CTR_BYTES) : 0);
	if (!object)
		return -ENOMEM;
	struct nlmsghdr *nlh =
		nlbatch_add(batch, NFT_MSG_NEWOBJ, rules->family, NLM_F_CREATE, "counter %s", name);
	if (nlh)
		nftnl_obj_nlmsg_build_payload(nlh, object);
	nftnl_obj_free(object);
	return nlh ? 0 : -ENOMEM;
}

/* One message's worth of elements. */
static int elements_add(struct nlbatch *batch, const struct ruleset_table *rules,
	const struct ruleset_set_spec *spec, uint32_t id, const struct encode_element *elements, size_t count)
{
	struct nftnl_set *set = encode_set(rules, spec, id);
	if (!set)
		return -ENOMEM;
	int code = 0;
	for (size_t i = 0; i < count && code == 0; i++)
		code = encode_add_element(set, spec->type, &elements[i]);
	if (code == 0) {
		struct nlmsghdr *nlh = nlbatch_add(batch, NFT_MSG_NEWSETELEM, rules->family, NLM_F_CREATE,
			"%zu elements of set %s", count, spec->name);
		if (nlh)
			nftnl_set_elems_nlmsg_build_payload(nlh, set);
		else
			code = -ENOMEM;
	}
	nftnl_set_free(set);
	return code;
}

static int set_add(struct nlbatch *batch, const struct ruleset_table *rules,
	const struct ruleset_set_spec *spec, uint32_t id)
{
	struct nftnl_set *set = encode_set(rules, spec, id);
	if (!set)
		return -ENOMEM;
	struct nlmsghdr *nlh = nlbatch_add(
		batch, NFT_MSG_NEWSET, rules->family, NLM_F_CREATE | NLM_F_EXCL, "set %s", spec->name);
	if (nlh)
		nftnl_set_nlmsg_build_payload(nlh, set);
	nftnl_set_free(set);
	if (!nlh)
		return -ENOMEM;

	struct encode_element *elements = calloc(spec->count * 2 + 1, sizeof(*elements));
	if (!elements)
		return -ENOMEM;
	size_t count = encode_elements(spec, elements);
	int code = 0;
	for (size_t i = 0; i < count && code == 0; i += ELEMENTS_PER_MESSAGE) {
		size_t some = count - i < ELEMENTS_PER_MESSAGE ? count - i : ELEMENTS_PER_MESSAGE;
		code = elements_add(batch, rules, spec, id, elements + i, some);
	}
	free(elements);
	return code;
}

static int chain_add(
	struct nlbatch *batch, const struct ruleset_table *rules, const struct ruleset_chain_spec *spec)
{
	struct nftnl_chain *chain = encode_chain(rules, spec);
	if (!chain)
		return -ENOMEM;
	struct nlmsghdr *nlh;
	if (spec->device) {
		batch->tag = PLAN_DEVICE;
		nlh = nlbatch_add(batch, NFT_MSG_NEWCHAIN, rules->family, NLM_F_CREATE,
			"chain %s (device %s)", spec->name, spec->device);
		batch->tag = 0;
	} else {
		nlh = nlbatch_add(batch, NFT_MSG_NEWCHAIN, rules->family, NLM_F_CREATE,
			"chain %s (type %s, priority %d)", spec->name, spec->type ? spec->type : "none",
			spec->priority);
	}
	if (nlh)
		nftnl_chain_nlmsg_build_payload(nlh, chain);
	nftnl_chain_free(chain);
	return nlh ? 0 : -ENOMEM;
}

static int rule_add(struct nlbatch *batch, const struct ruleset_table *rules, const struct ruleset_rule *rule,
	unsigned number)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	if (!to)
		return -ENOMEM;
	ruleset_print_rule(rules, rule, to);
	struct nlmsghdr *nlh = NULL;
	struct nftnl_rule *encoded = encode_rule(rules, rule);
	if (fclose(to) == 0 && encoded)
		nlh = nlbatch_add(batch, NFT_MSG_NEWRULE, rules->family, NLM_F_CREATE | NLM_F_APPEND,
			"rule %u of chain %s (%s)", number, rule->chain, text);
	if (nlh)
		nftnl_rule_nlmsg_build_payload(nlh, encoded);
	if (encoded)
		nftnl_rule_free(encoded);
	free(text);
	return nlh ? 0 : -ENOMEM;
}

/* The rules of one chain. */
static int rules_add(struct nlbatch *batch, const struct ruleset_table *rules, const char *chain)
{
	int code = 0;
	unsigned number = 0;
	for (size_t i = 0; i < rules->rule_count && code == 0; i++)
		if (strcmp(rules->rules[i].chain, chain) == 0)
			code = rule_add(batch, rules, &rules->rules[i], ++number);
	return code;
}

bool plan_is_orphan(const struct kernel_table *table)
{
	return table->exists && table->flags == KERNEL_TABLE_PERSIST;
}

int plan_adopt(struct nlbatch *batch, const struct ruleset_table *identity, uint32_t flags)
{
	return table_add(batch, identity, NFT_MSG_NEWTABLE, flags);
}

static bool chain_possible(const struct ruleset_chain_spec *chain, const struct plan_options *options)
{
	return !chain->device || options->devices_by_name || if_nametoindex(chain->device) != 0;
}

int plan_arm(struct nlbatch *batch, const struct kernel_table *table, const struct ruleset_table *rules,
	const struct plan_options *options, struct err *err)
{
	/* The kernel makes no plain table an owned one, nor the other way round. */
	bool stays = table->exists && table->flags == options->flags;
	int code = 0;
	if (table->exists && !stays)
		code = table_add(batch, rules, NFT_MSG_DELTABLE, 0);
	if (code == 0)
		code = table_add(batch, rules, NFT_MSG_NEWTABLE, options->flags);
	if (code == 0 && stays)
		code = contents_remove(batch, table, rules);
	for (int i = 0; i < RULESET_COUNTERS && code == 0; i++)
		if (rules->counters & 1u << i)
			code = counter_add(batch, rules, i, table->objects);
	/* A set's number is its own within the batch, which may hold several tables. */
	for (uint32_t i = 0; i < RULESET_SETS && code == 0; i++)
		code = set_add(batch, rules, &rules->sets[i], (uint32_t)rules->id * RULESET_SETS + i + 1);
	for (size_t i = 0; i < rules->chain_count && code == 0; i++)
		if (chain_possible(&rules->chains[i], options))
			code = chain_add(batch, rules, &rules->chains[i]);
	for (size_t i = 0; i < rules->chain_count && code == 0; i++)
		if (chain_possible(&rules->chains[i], options))
			code = rules_add(batch, rules, rules->chains[i].name);
	if (code < 0)
		err_set(err, code, "no memory for the batch of rules");
	return code;
}

int plan_try_bridge(struct nlbatch *batch)
{
	const struct ruleset_table table = {.name = "mxmirage_try", .family = NFPROTO_BRIDGE};
	const struct ruleset_chain_spec chain = {
		.name = "bridged", .type = "filter", .hook = NF_INET_POST_ROUTING, .priority = INT_MAX};
	if (table_add(batch, &table, NFT_MSG_NEWTABLE, 0) < 0 || chain_add(batch, &table, &chain) < 0)
		return -ENOMEM;
	return table_add(batch, &table, NFT_MSG_DELTABLE, 0);
}

int plan_disarm(struct nlbatch *batch, const struct ruleset_table *identity)
{
	return table_add(batch, identity, NFT_MSG_DELTABLE, 0);
}

int plan_device(
	struct nlbatch *batch, const struct ruleset_table *rules, const struct ruleset_chain_spec *chain)
{
	int code = chain_add(batch, rules, chain);
	struct nlmsghdr *nlh = NULL;
	if (code == 0)
		nlh = nlbatch_add(batch, NFT_MSG_DELRULE, rules->family, 0, "the removal of chain %s's rules",
			chain->name);
	if (!nlh)
		return -ENOMEM;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, rules->name);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain->name);
	return rules_add(batch, rules, chain->name);
}
