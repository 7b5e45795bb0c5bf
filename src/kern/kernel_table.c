#include "kernel_table.h"

#include <errno.h>
#include <libnftnl/gen.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "nft_take.h"
#include "ruleset.h"

/* Somebody else's changes during a listing make the kernel ask for another try. */
#define TRIES_MAX 20

/* Ours must all be readable: what is not would be taken for what is not there. */
static int unreadable(void *data)
{
	(void)data;
	errno = EBADMSG;
	return MNL_CB_ERROR;
}

static void gen_keep(struct kernel_table *table, struct nftnl_gen *gen)
{
	table->generation = nftnl_gen_get_u32(gen, NFTNL_GEN_ID);
	nftnl_gen_free(gen);
}

static void table_keep(struct kernel_table *table, struct nftnl_table *head)
{
	table->exists = true;
	table->flags = nftnl_table_get_u32(head, NFTNL_TABLE_FLAGS);
	table->owner = nftnl_table_is_set(head, NFTNL_TABLE_OWNER)
			       ? nftnl_table_get_u32(head, NFTNL_TABLE_OWNER)
			       : 0;
	nftnl_table_free(head);
}

static void chain_keep(struct kernel_table *table, struct nftnl_chain *chain)
{
	nftnl_chain_list_add_tail(chain, table->chains);
}

static void rule_keep(struct kernel_table *table, struct nftnl_rule *rule)
{
	nftnl_rule_list_add_tail(rule, table->rules);
}

static void set_keep(struct kernel_table *table, struct nftnl_set *set)
{
	nftnl_set_list_add_tail(set, table->sets);
}

static void obj_keep(struct kernel_table *table, struct nftnl_obj *object)
{
	nftnl_obj_list_add_tail(object, table->objects);
}

NFT_TAKE(gen, unreadable)
NFT_TAKE(table, unreadable)
NFT_TAKE(chain, unreadable)
NFT_TAKE(rule, unreadable)
NFT_TAKE(set, unreadable)
NFT_TAKE(obj, unreadable)

/* Every kind of object has its table's name as its first attribute. */
_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 && NFTA_SET_TABLE == 1 &&
		       NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1,
	"the table's name is no longer the first attribute everywhere");

struct listing {
	struct kernel_table *table;
	mnl_cb_t take;
};

/* Only then is it parsed: what others have may be younger than libnftnl. */
static int ours_take(const struct nlmsghdr *nlh, void *data)
{
	const struct listing *listing = data;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) != NFTA_TABLE_NAME ||
			mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			continue;
		if (strcmp(mnl_attr_get_str(attr), listing->table->identity->name) == 0)
			return listing->take(nlh, listing->table);
	}
	return MNL_CB_OK;
}

/* Asks for what type lists of the table. */
static int table_request(
	struct kernel_table *table, struct nlsock *sock, uint16_t type, uint16_t flags, mnl_cb_t take)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	struct nlmsghdr *nlh = nlsock_prepare(sock, buf, type, table->identity->family, flags);
	/* Chains cannot be asked for by table alone. */
	if (type != NFT_MSG_GETCHAIN)
		mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table->identity->name);
	return nlsock_request(sock, nlh, ours_take, &(struct listing){table, take});
}

static int generation_read(struct kernel_table *table, struct nlsock *sock)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	return nlsock_request(
		sock, nlsock_prepare(sock, buf, NFT_MSG_GETGEN, table->identity->family, 0), gen_take, table);
}

static int set_elements_read(struct kernel_table *table, struct nlsock *sock, struct nftnl_set *set)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	struct nlmsghdr *nlh =
		nlsock_prepare(sock, buf, NFT_MSG_GETSETELEM, table->identity->family, NLM_F_DUMP);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table->identity->name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, nftnl_set_get_str(set, NFTNL_SET_NAME));
	return nlsock_request(sock, nlh, nft_take_elements, set);
}

static int head_read(struct kernel_table *table, struct nlsock *sock)
{
	int code = table_request(table, sock, NFT_MSG_GETTABLE, 0, table_take);
	return code == -ENOENT ? 0 : code;
}

static int elements_read(struct kernel_table *table, struct nlsock *sock)
{
	struct nftnl_set_list_iter *iter = nftnl_set_list_iter_create(table->sets);
	if (!iter)
		return -ENOMEM;
	int code = 0;
	struct nftnl_set *set;
	while (code == 0 && (set = nftnl_set_list_iter_next(iter)))
		code = set_elements_read(table, sock, set);
	nftnl_set_list_iter_destroy(iter);
	return code;
}

/* One try, see kernel_table_read(). */
static int table_read(
	struct kernel_table *table, const struct ruleset_table *identity, struct nlsock *sock, bool contents)
{
	*table = (struct kernel_table){
		.identity = identity,
		.chains = nftnl_chain_list_alloc(),
		.rules = nftnl_rule_list_alloc(),
		.sets = nftnl_set_list_alloc(),
		.objects = nftnl_obj_list_alloc(),
	};
	if (!table->chains || !table->rules || !table->sets || !table->objects)
		return -ENOMEM;

	int code = generation_read(table, sock);
	if (code == 0)
		code = head_read(table, sock);
	if (code < 0 || !table->exists)
		return code;
	code = table_request(table, sock, NFT_MSG_GETCHAIN, NLM_F_DUMP, chain_take);
	if (code == 0)
		code = table_request(table, sock, NFT_MSG_GETSET, NLM_F_DUMP, set_take);
	if (code == 0)
		code = table_request(table, sock, NFT_MSG_GETOBJ, NLM_F_DUMP, obj_take);
	if (code == 0 && contents)
		code = table_request(table, sock, NFT_MSG_GETRULE, NLM_F_DUMP, rule_take);
	if (code == 0 && contents)
		code = elements_read(table, sock);
	if (code < 0)
		return code;

	struct kernel_table now = {.identity = identity};
	code = generation_read(&now, sock);
	if (code == 0 && now.generation != table->generation)
		code = -EINTR;
	return code;
}

int kernel_table_read(struct kernel_table *table, struct nlsock *sock, enum ruleset_table_id id,
	bool contents, struct err *err)
{
	const struct ruleset_table *identity = ruleset_table_identity(id);
	int code = -EINTR;
	*table = (struct kernel_table){0};
	/* Between two listings a set may go: ENOENT then means the same as EINTR. */
	for (int i = 0; i < TRIES_MAX && (code == -EINTR || code == -ENOENT); i++) {
		kernel_table_done(table);
		code = table_read(table, identity, sock, contents);
	}
	if (code == -EINTR)
		return err_set(err, code,
			"table %s %s: the ruleset changed during each of %d listings (another "
			"program is changing it without pause: stop that one)",
			ruleset_family_name(identity), identity->name, TRIES_MAX);
	if (code < 0)
		return err_set(err, code, "listing table %s %s: %s%s", ruleset_family_name(identity),
			identity->name, strerror(-code),
			code == -EPERM ? " (needs CAP_NET_ADMIN: run it as root)" : "");
	return 0;
}

void kernel_table_done(struct kernel_table *table)
{
	if (table->chains)
		nftnl_chain_list_free(table->chains);
	if (table->rules)
		nftnl_rule_list_free(table->rules);
	if (table->sets)
		nftnl_set_list_free(table->sets);
	if (table->objects)
		nftnl_obj_list_free(table->objects);
	*table = (struct kernel_table){0};
}

int kernel_table_read_head(
	struct kernel_table *table, struct nlsock *sock, enum ruleset_table_id id, struct err *err)
{
	const struct ruleset_table *identity = ruleset_table_identity(id);
	*table = (struct kernel_table){.identity = identity};
	int code = head_read(table, sock);
	if (code < 0)
		return err_set(err, code, "reading table %s %s: %s%s", ruleset_family_name(identity),
			identity->name, strerror(-code),
			code == -EPERM ? " (needs CAP_NET_ADMIN: run it as root)" : "");
	return 0;
}

struct nftnl_obj_list *kernel_counters_read(struct nlsock *sock, enum ruleset_table_id id, struct err *err)
{
	const struct ruleset_table *identity = ruleset_table_identity(id);
	int code = -EINTR;
	for (int i = 0; i < TRIES_MAX && code == -EINTR; i++) {
		struct kernel_table table = {.identity = identity, .objects = nftnl_obj_list_alloc()};
		code = table.objects ? table_request(&table, sock, NFT_MSG_GETOBJ, NLM_F_DUMP, obj_take)
				     : -ENOMEM;
		if (code == 0)
			return table.objects;
		kernel_table_done(&table);
	}
	err_set(err, code, "reading the counters of table %s %s: %s", ruleset_family_name(identity),
		identity->name, strerror(-code));
	return NULL;
}

struct counter_search {
	const char *name;
	struct nftnl_obj *found;
};

static int counter_match(struct nftnl_obj *object, void *data)
{
	struct counter_search *search = data;
	const char *name = nftnl_obj_get_str(object, NFTNL_OBJ_NAME);
	if (nftnl_obj_get_u32(object, NFTNL_OBJ_TYPE) == NFT_OBJECT_COUNTER && name &&
		strcmp(name, search->name) == 0)
		search->found = object;
	return 0;
}

struct nftnl_obj *kernel_counter_find(struct nftnl_obj_list *objects, const char *name)
{
	struct counter_search search = {name, NULL};
	nftnl_obj_list_foreach(objects, counter_match, &search);
	return search.found;
}
