/*
 * kernel_table: one of our tables as the kernel lists it, read as one consistent picture. It judges
 * nothing: guard plans by it what to change, guard_verify compares it with what was asked for.
 */
#ifndef MX_KERNEL_TABLE_H
#define MX_KERNEL_TABLE_H

#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "nlsock.h"
#include "ruleset.h"

/* linux/nf_tables.h of Debian 12 knows the first two. */
#define KERNEL_TABLE_DORMANT 0x1u
#define KERNEL_TABLE_OWNER   0x2u
#define KERNEL_TABLE_PERSIST 0x4u

struct kernel_table {
	const struct ruleset_table *identity;
	uint32_t generation; /* of the whole ruleset of this network namespace */
	bool exists;         /* what follows is empty if not */
	uint32_t flags;
	uint32_t owner; /* netlink address of the owner, 0 without one */
	struct nftnl_chain_list *chains;
	struct nftnl_rule_list *rules; /* those of one chain in order; none but with contents */
	struct nftnl_set_list *sets;   /* with their elements only with contents */
	struct nftnl_obj_list *objects;
};

/*
 * Reads the table of that id; contents asks for the rules and elements, too. The caller gives what it gets to
 * kernel_table_done(), also on failure. A table that is not there is no failure.
 */
int kernel_table_read(struct kernel_table *table, struct nlsock *sock, enum ruleset_table_id id,
	bool contents, struct err *err) MX_MUST_CHECK;
void kernel_table_done(struct kernel_table *table);

/* Reads flags and owner alone. */
int kernel_table_read_head(struct kernel_table *table, struct nlsock *sock, enum ruleset_table_id id,
	struct err *err) MX_MUST_CHECK;

/* The counter of that name among objects, or NULL. */
struct nftnl_obj *kernel_counter_find(struct nftnl_obj_list *objects, const char *name);

/* The table's named counters alone, in one listing; NULL on failure. Give it to nftnl_obj_list_free(). */
struct nftnl_obj_list *kernel_counters_read(struct nlsock *sock, enum ruleset_table_id id, struct err *err);

#endif
