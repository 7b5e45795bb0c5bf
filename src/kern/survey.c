#include "survey.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/flowtable.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_table.h"
#include "nft_take.h"
#include "ruleset.h"
#include "survey_rule.h"

/* Somebody else's changes during a listing make the kernel ask for another try. */
#define TRIES_MAX 20
/* nftables' own limit of jumps within jumps. */
#define JUMPS_DEEP 16

/* What the kernel listed, and where the walk has been. */
struct listing {
	struct survey *survey;
	struct nlsock *sock;
	struct nftnl_chain_list *chains;
	struct nftnl_rule_list *rules;
	struct nftnl_set_list *sets;
	struct survey_ports ports;
	struct visit {
		const struct nftnl_chain *chain;
		port_mask ports;
	} * visits;
	size_t visit_count, visit_room;
	uint32_t family; /* of the table that is walked, as is the next */
	const char *table;
	int code; /* the first failure of the walk */
};

static const char *family_name(uint32_t family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return "?";
	}
}

static bool is_ours(uint32_t family, const char *name)
{
	for (enum ruleset_table_id id = 0; id < RULESET_TABLES; id++) {
		const struct ruleset_table *table = ruleset_table_identity(id);
		if (family == table->family && strcmp(name, table->name) == 0)
			return true;
	}
	return false;
}

static void name_copy(char to[SURVEY_NAME_MAX], const char *name)
{
	snprintf(to, SURVEY_NAME_MAX, "%s", name ? name : "");
}

/* Made by something younger than libnftnl: it is not read, and said to be so. */
static int unreadable(void *data)
{
	((struct listing *)data)->survey->unread++;
	return MNL_CB_OK;
}

static void table_keep(struct listing *listing, struct nftnl_table *table)
{
	struct survey *survey = listing->survey;
	uint32_t family = nftnl_table_get_u32(table, NFTNL_TABLE_FAMILY);
	uint32_t flags = nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS);
	const char *name = nftnl_table_get_str(table, NFTNL_TABLE_NAME);
	if (is_ours(family, name)) {
		survey->own_dormant |= (flags & KERNEL_TABLE_DORMANT) != 0;
	} else if (survey->table_count == SURVEY_FINDINGS_MAX) {
		survey->cut = true;
	} else {
		struct survey_table *found = &survey->tables[survey->table_count++];
		snprintf(found->family, sizeof(found->family), "%s", family_name(family));
		name_copy(found->name, name);
		found->flags = flags;
		if (nftnl_table_is_set(table, NFTNL_TABLE_OWNER))
			found->owner = nftnl_table_get_u32(table, NFTNL_TABLE_OWNER);
	}
	nftnl_table_free(table);
}

static void chain_keep(struct listing *listing, struct nftnl_chain *chain)
{
	nftnl_chain_list_add_tail(chain, listing->chains);
}

static void rule_keep(struct listing *listing, struct nftnl_rule *rule)
{
	nftnl_rule_list_add_tail(rule, listing->rules);
}

static void set_keep(struct listing *listing, struct nftnl_set *set)
{
	nftnl_set_list_add_tail(set, listing->sets);
}

static void flowtable_keep(struct listing *listing, struct nftnl_flowtable *flowtable)
{
	struct survey *survey = listing->survey;
	if (survey->flowtable_count == SURVEY_FINDINGS_MAX) {
		survey->cut = true;
	} else {
		struct survey_flowtable *found = &survey->flowtables[survey->flowtable_count++];
		snprintf(found->family, sizeof(found->family), "%s",
			family_name(nftnl_flowtable_get_u32(flowtable, NFTNL_FLOWTABLE_FAMILY)));
		name_copy(found->table, nftnl_flowtable_get_str(flowtable, NFTNL_FLOWTABLE_TABLE));
		name_copy(found->name, nftnl_flowtable_get_str(flowtable, NFTNL_FLOWTABLE_NAME));
	}
	nftnl_flowtable_free(flowtable);
}

NFT_TAKE(table, unreadable)
NFT_TAKE(chain, unreadable)
NFT_TAKE(rule, unreadable)
NFT_TAKE(set, unreadable)
NFT_TAKE(flowtable, unreadable)

/* Lists what type lists, of all families. */
static int dump(struct listing *listing, uint16_t type, mnl_cb_t take)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	struct nlmsghdr *nlh = nlsock_prepare(listing->sock, buf, type, NFPROTO_UNSPEC, NLM_F_DUMP);
	return nlsock_request(listing->sock, nlh, take, listing);
}

static bool set_is_empty(const struct nftnl_set *set)
{
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	bool empty = !iter || !nftnl_set_elems_iter_next(iter);
	if (iter)
		nftnl_set_elems_iter_destroy(iter);
	return empty;
}

/* Elements are read of those sets alone that a nat rule looks at: others may be huge. */
static const struct nftnl_set *set_find(void *data, const char *name)
{
	struct listing *listing = data;
	struct nftnl_set_list_iter *iter = nftnl_set_list_iter_create(listing->sets);
	struct nftnl_set *set = NULL;
	while (iter && (set = nftnl_set_list_iter_next(iter)))
		if (nftnl_set_get_u32(set, NFTNL_SET_FAMILY) == listing->family &&
			strcmp(nftnl_set_get_str(set, NFTNL_SET_TABLE), listing->table) == 0 &&
			strcmp(nftnl_set_get_str(set, NFTNL_SET_NAME), name) == 0)
			break;
	if (iter)
		nftnl_set_list_iter_destroy(iter);
	if (!set || !set_is_empty(set))
		return set;
	_Alignas(struct nlmsghdr) char buf[8192];
	struct nlmsghdr *nlh =
		nlsock_prepare(listing->sock, buf, NFT_MSG_GETSETELEM, (uint8_t)listing->family, NLM_F_DUMP);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, listing->table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name);
	int code = nlsock_request(listing->sock, nlh, nft_take_elements, set);
	if (code == -EBADMSG)
		unreadable(listing);
	else if (code < 0 && listing->code == 0)
		listing->code = code;
	return set;
}

static bool is_of(const struct listing *listing, const struct nftnl_chain *chain)
{
	return nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY) == listing->family &&
	       strcmp(nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE), listing->table) == 0;
}

static const struct nftnl_chain *chain_find(const struct listing *listing, const char *name)
{
	struct nftnl_chain_list_iter *iter = nftnl_chain_list_iter_create(listing->chains);
	const struct nftnl_chain *chain = NULL;
	while (iter && (chain = nftnl_chain_list_iter_next(iter)))
		if (is_of(listing, chain) && strcmp(nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME), name) == 0)
			break;
	if (iter)
		nftnl_chain_list_iter_destroy(iter);
	return chain;
}

/* The ports that have not been through this chain yet; from now on they have. */
static port_mask visit(struct listing *listing, const struct nftnl_chain *chain, port_mask ports)
{
	for (size_t i = 0; i < listing->visit_count; i++)
		if (listing->visits[i].chain == chain) {
			port_mask fresh = ports & ~listing->visits[i].ports;
			listing->visits[i].ports |= ports;
			return fresh;
		}
	if (listing->visit_count == listing->visit_room) {
		size_t room = listing->visit_room * 2 + 64;
		struct visit *visits = realloc(listing->visits, room * sizeof(*visits));
		if (!visits) {
			listing->code = -ENOMEM;
			return 0;
		}
		listing->visits = visits;
		listing->visit_room = room;
	}
	listing->visits[listing->visit_count++] = (struct visit){chain, ports};
	return ports;
}

static struct survey_table *table_of(struct survey *survey, uint32_t family, const char *name)
{
	for (size_t i = 0; i < survey->table_count; i++)
		if (strcmp(survey->tables[i].family, family_name(family)) == 0 &&
			strncmp(survey->tables[i].name, name, SURVEY_NAME_MAX - 1) == 0)
			return &survey->tables[i];
	return NULL;
}

static bool is_known_port(const struct survey_ports *ports, uint16_t port)
{
	for (size_t i = 0; i < ports->count; i++)
		if (ports->ports[i] == port)
			return true;
	return false;
}

/* Takes down a rule that rewrites, if it has to do with our ports. */
static void nat_add(struct listing *listing, const struct nftnl_chain *base, const struct nftnl_rule *rule,
	const struct survey_reading *reading)
{
	struct survey *survey = listing->survey;
	port_mask matched = reading->ports & ~PORT_MASK_OTHERS;
	bool rewrites_to =
		(reading->ports & PORT_MASK_OTHERS) && is_known_port(&listing->ports, reading->to_port);
	if (!matched && !rewrites_to)
		return;
	uint64_t handle = nftnl_rule_get_u64(rule, NFTNL_RULE_HANDLE);
	for (size_t i = 0; i < survey->nat_count; i++)
		if (survey->nats[i].handle == handle && strcmp(survey->nats[i].table, listing->table) == 0 &&
			strcmp(survey->nats[i].family, family_name(listing->family)) == 0)
			return;
	if (survey->nat_count == SURVEY_FINDINGS_MAX) {
		survey->cut = true;
		return;
	}
	struct survey_nat *nat = &survey->nats[survey->nat_count++];
	*nat = (struct survey_nat){
		.handle = handle,
		.prerouting = nftnl_chain_get_u32(base, NFTNL_CHAIN_HOOKNUM) == NF_INET_PRE_ROUTING,
		.priority = nftnl_chain_get_s32(base, NFTNL_CHAIN_PRIO),
		.from_port = matched ? listing->ports.ports[__builtin_ctz(matched)] : 0,
		.any_port = (reading->ports & PORT_MASK_OTHERS) != 0,
		.to_port = reading->to_port,
		.iptables = reading->iptables,
	};
	snprintf(nat->family, sizeof(nat->family), "%s", family_name(listing->family));
	name_copy(nat->table, listing->table);
	name_copy(nat->chain, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
	name_copy(nat->base, nftnl_chain_get_str(base, NFTNL_CHAIN_NAME));
	memcpy(nat->words, reading->words, sizeof(nat->words));
	struct survey_table *table = table_of(survey, listing->family, listing->table);
	if (table) {
		nat->owner = table->owner;
		table->iptables |= reading->iptables;
	}
}

static void walk(struct listing *listing, const struct nftnl_chain *base, const struct nftnl_chain *chain,
	port_mask ports, int depth)
{
	ports = visit(listing, chain, ports);
	struct nftnl_rule_list_iter *iter = ports ? nftnl_rule_list_iter_create(listing->rules) : NULL;
	const struct nftnl_rule *rule;
	while (iter && ports && (rule = nftnl_rule_list_iter_next(iter))) {
		if (nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY) != listing->family ||
			strcmp(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE), listing->table) != 0 ||
			strcmp(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN),
				nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME)) != 0)
			continue;
		struct survey_reading reading;
		survey_rule_read(&reading, rule, &listing->ports, ports, set_find, listing);
		if (reading.rewrites)
			nat_add(listing, base, rule, &reading);
		for (size_t i = 0; i < reading.jump_count && depth < JUMPS_DEEP; i++) {
			const struct nftnl_chain *next = chain_find(listing, reading.jumps[i].chain);
			if (next)
				walk(listing, base, next, reading.jumps[i].ports, depth + 1);
		}
		if (reading.terminal && reading.exact)
			ports &= ~reading.ports;
	}
	if (iter)
		nftnl_rule_list_iter_destroy(iter);
}

/* Every foreign nat chain that sees a connection before it leaves. */
static void walk_all(struct listing *listing)
{
	struct nftnl_chain_list_iter *iter = nftnl_chain_list_iter_create(listing->chains);
	const struct nftnl_chain *chain;
	while (iter && (chain = nftnl_chain_list_iter_next(iter))) {
		const char *type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);
		listing->family = nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY);
		listing->table = nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE);
		if (!nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) || !type || strcmp(type, "nat") != 0 ||
			is_ours(listing->family, listing->table))
			continue;
		uint32_t hook = nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
		listing->visit_count = 0;
		if (hook == NF_INET_LOCAL_OUT || hook == NF_INET_PRE_ROUTING)
			walk(listing, chain, chain, ((1u << listing->ports.count) - 1) | PORT_MASK_OTHERS, 0);
	}
	if (iter)
		nftnl_chain_list_iter_destroy(iter);
}

static int survey_once(struct listing *listing)
{
	listing->chains = nftnl_chain_list_alloc();
	listing->rules = nftnl_rule_list_alloc();
	listing->sets = nftnl_set_list_alloc();
	if (!listing->chains || !listing->rules || !listing->sets)
		return -ENOMEM;
	int code = dump(listing, NFT_MSG_GETTABLE, table_take);
	if (code == 0)
		code = dump(listing, NFT_MSG_GETCHAIN, chain_take);
	if (code == 0)
		code = dump(listing, NFT_MSG_GETRULE, rule_take);
	if (code == 0)
		code = dump(listing, NFT_MSG_GETSET, set_take);
	if (code == 0)
		code = dump(listing, NFT_MSG_GETFLOWTABLE, flowtable_take);
	/* Without flowtables in the kernel there are none. */
	if (code == -EOPNOTSUPP || code == -EINVAL)
		code = 0;
	if (code == 0)
		walk_all(listing);
	return code < 0 ? code : listing->code;
}

static void listing_done(struct listing *listing)
{
	if (listing->chains)
		nftnl_chain_list_free(listing->chains);
	if (listing->rules)
		nftnl_rule_list_free(listing->rules);
	if (listing->sets)
		nftnl_set_list_free(listing->sets);
	free(listing->visits);
}

int survey_read(
	struct survey *survey, struct nlsock *sock, const uint16_t *ports, size_t port_count, struct err *err)
{
	int code = -EINTR;
	/* Between two listings a table may go: ENOENT then means the same as EINTR. */
	for (int i = 0; i < TRIES_MAX && (code == -EINTR || code == -ENOENT); i++) {
		*survey = (struct survey){0};
		struct listing listing = {.survey = survey, .sock = sock, .ports = {ports, port_count}};
		code = survey_once(&listing);
		listing_done(&listing);
	}
	if (code < 0)
		return err_set(err, code, "listing the tables of nftables: %s%s", strerror(-code),
			code == -EPERM ? " (needs CAP_NET_ADMIN)" : "");
	return 0;
}
