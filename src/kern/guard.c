#include "guard.h"

#include <errno.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "kernel_table.h"
#include "nlsock.h"
#include "plan.h"

/* Each try meets a change by somebody else between reading and writing; the ruleset is rarely
 * touched. */
#define TRIES_MAX 20

struct guard {
	struct nlsock sock;
	/* What the kernel refused once is not asked again. */
	bool no_persist;         /* tables that outlive their owner */
	bool no_devices_by_name; /* chains for devices that do not exist */
	bool bridges_asked, no_bridges;
};

struct guard *guard_new(int inherited, struct err *err)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	if (!guard) {
		err_set(err, -ENOMEM, "no memory for the guard");
		return NULL;
	}
	if (nlsock_open(&guard->sock, inherited, err) < 0) {
		free(guard);
		return NULL;
	}
	return guard;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	nlsock_close(&guard->sock);
	free(guard);
}

/* Refuses what belongs to another living socket: the kernel would, too, but would not say whose it
 * is. */
static int owner_check(const struct guard *guard, const struct kernel_table *table, struct err *err)
{
	if (!(table->flags & KERNEL_TABLE_OWNER) || table->owner == guard->sock.portid)
		return 0;
	return err_set(err, -EBUSY,
		"table %s %s belongs to another process (netlink address %u, as a rule its "
		"process id; systemd's, if mxmirage-guard.socket is active): stop that one first",
		ruleset_family_name(table->identity), table->identity->name, table->owner);
}

/* Adds what is known to help to the text that nlsock_commit() left. */
static int remedy_add(int code, const struct nlbatch_refusal *refusal, struct err *err)
{
	static const struct {
		int code;
		const char *object; /* how its description begins; "" = any */
		const char *remedy;
	} remedies[] = {
		{-EPERM, "table", "it belongs to another process: stop that one first"},
		{-EPERM, "", "needs CAP_NET_ADMIN in the network namespace's user namespace"},
		{-EOPNOTSUPP, "table",
			"it belongs to another process, or was dormant, or the kernel is older than 5.12"},
		{-EOPNOTSUPP, "chain dev_",
			"the kernel has no hook for what leaves a device: it is older than 5.16, or made "
			"without NETFILTER_EGRESS"},
		{-EOPNOTSUPP, "chain",
			"the kernel lacks this kind of chain, or nat's priority is "
			"not above -200"},
		{-ENOENT, "chain", "the kernel lacks this kind of chain: modprobe nft_chain_nat"},
		{-ENOENT, "rule",
			"the kernel lacks an expression of it: modprobe nft_ct nft_fib_inet "
			"nft_reject_inet nft_redir"},
		{-ENOMEM, "", "the kernel has no memory for it"},
		{-EMSGSIZE, "", "the send buffer is too small: needs CAP_NET_ADMIN"},
	};
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
		const char *object = remedies[i].object;
		if (code != remedies[i].code || strncmp(refusal->what, object, strlen(object)) != 0)
			continue;
		struct err plain = *err;
		return err_set(err, code, "%s (%s)", plain.text, remedies[i].remedy);
	}
	return code;
}

/* Sends the batch; -ERESTART where it should be made anew: the ruleset has changed, or can be asked for otherwise. */
static int commit(struct guard *guard, struct nlbatch *batch, struct err *err)
{
	struct nlbatch_refusal refusal;
	struct err refused = {""};
	int code = nlsock_commit(&guard->sock, batch, &refusal, &refused);
	if (code == 0 || code == -ERESTART)
		return code;
	/* Kernels from 5.12 to 6.8 say the one, older ones the other. */
	if (refusal.tag == PLAN_TABLE && (code == -EOPNOTSUPP || code == -EINVAL) && !guard->no_persist) {
		guard->no_persist = true;
		return -ERESTART;
	}
	/* A device that is gone by now, or not there yet. */
	if (refusal.tag == PLAN_DEVICE && (code == -ENOENT || code == -ENODEV)) {
		guard->no_devices_by_name = true;
		return -ERESTART;
	}
	remedy_add(code, &refusal, &refused);
	return err_set(err, code, "%s", refused.text);
}

/*
 * Whether the kernel has hooks for bridges: by a table that comes and goes in one batch, which nobody sees. What fails
 * otherwise says nothing about the kernel: then it should have them.
 */
static bool bridges_possible(struct guard *guard)
{
	struct nlbatch batch;
	struct err err;
	if (guard->bridges_asked)
		return !guard->no_bridges;
	int code = nlbatch_init(&batch, &guard->sock, 0);
	if (code == 0)
		code = plan_try_bridge(&batch);
	if (code == 0)
		code = nlsock_commit(&guard->sock, &batch, NULL, &err);
	nlbatch_done(&batch);
	guard->no_bridges = code == -ENOENT || code == -EOPNOTSUPP || code == -EAFNOSUPPORT;
	guard->bridges_asked = code == 0 || guard->no_bridges;
	return !guard->no_bridges;
}

/* To be asked where there is no such table: the answer may take a change, which who only looks should not make. */
static bool table_possible(struct guard *guard, const struct ruleset_table *table)
{
	return table->family != NFPROTO_BRIDGE || bridges_possible(guard);
}

/* Reads a table that we may change; -ERESTART where it is of another generation than the first that was read. */
static int table_read(struct guard *guard, enum ruleset_table_id id, struct kernel_table *table,
	const struct kernel_table *first, struct err *err)
{
	int code = kernel_table_read(table, &guard->sock, id, false, err);
	if (code == 0)
		code = owner_check(guard, table, err);
	if (code == 0 && table->generation != first->generation)
		code = -ERESTART;
	return code;
}

/* One reading, one batch; -ERESTART when the next step is to be taken. */
static int arm_once(struct guard *guard, const struct ruleset *rules, struct err *err)
{
	struct kernel_table tables[RULESET_TABLES] = {0};
	struct nlbatch batch = {0};
	int code = 0;
	/* Before anything is read: it is a change, too. */
	bridges_possible(guard);
	for (size_t i = 0; i < rules->table_count && code == 0; i++)
		code = table_read(guard, rules->tables[i].id, &tables[i], &tables[0], err);
	if (code < 0)
		goto out;
	code = nlbatch_init(&batch, &guard->sock, tables[0].generation);
	if (code < 0) {
		err_set(err, code, "no memory for the batch of rules");
		goto out;
	}
	uint32_t owned = KERNEL_TABLE_OWNER | (guard->no_persist ? 0 : KERNEL_TABLE_PERSIST);
	for (size_t i = 0; i < rules->table_count && code == 0; i++)
		if (rules->tables[i].owned && plan_is_orphan(&tables[i]))
			code = plan_adopt(&batch, &rules->tables[i], owned);
	if (code == 0 && batch.count > 0) {
		code = commit(guard, &batch, err);
		if (code == 0)
			code = -ERESTART;
		goto out;
	}
	for (size_t i = 0; i < rules->table_count && code == 0; i++) {
		if (guard->no_bridges && rules->tables[i].family == NFPROTO_BRIDGE)
			continue;
		const struct plan_options options = {
			.flags = rules->tables[i].owned ? owned : 0,
			.devices_by_name = !guard->no_devices_by_name,
		};
		code = plan_arm(&batch, &tables[i], &rules->tables[i], &options, err);
	}
	if (code == 0)
		code = commit(guard, &batch, err);
out:
	nlbatch_done(&batch);
	for (size_t i = 0; i < RULESET_TABLES; i++)
		kernel_table_done(&tables[i]);
	return code;
}

static bool has_owned(const struct ruleset *rules)
{
	for (size_t i = 0; i < rules->table_count; i++)
		if (rules->tables[i].owned)
			return true;
	return false;
}

int guard_arm(struct guard *guard, const struct ruleset *rules, struct err *err)
{
	int code = -ERESTART;
	for (int i = 0; i < TRIES_MAX && code == -ERESTART; i++)
		code = arm_once(guard, rules, err);
	if (code == -ERESTART)
		return err_set(err, -EBUSY,
			"the ruleset changed under each of %d tries to load our tables (another "
			"program is changing it without pause: stop that one)",
			TRIES_MAX);
	if (code < 0)
		return code;

	code = guard_verify(guard, rules, err);
	if (code < 0)
		return err_prefix(err, code, "read back after loading");
	struct guard_state state;
	code = guard_state(guard, &state, err);
	if (code == 0 && has_owned(rules) && (!state.owner || (!guard->no_persist && !state.persist)))
		code = err_set(err, -EPROTO, "read back after loading: our tables have lost their owner");
	return code;
}

int guard_verify(struct guard *guard, const struct ruleset *rules, struct err *err)
{
	int code = 0;
	for (size_t i = 0; i < rules->table_count && code == 0; i++) {
		const struct ruleset_table *wanted = &rules->tables[i];
		struct kernel_table table;
		code = kernel_table_read(&table, &guard->sock, wanted->id, true, err);
		bool needed = code == 0 && (table.exists || table_possible(guard, wanted));
		if (needed && !table.exists)
			code = err_set(err, -ENOENT, "there is no table %s %s", ruleset_family_name(wanted),
				wanted->name);
		else if (needed)
			code = compare_table(&table, wanted, !guard->no_devices_by_name, err);
		kernel_table_done(&table);
	}
	return code;
}

/*
 * Of a device that there was not, or that is another one of the same name: where the kernel takes no names ahead, the
 * chain went with the former.
 */
static int chains_add(struct nlbatch *batch, const struct ruleset *stands, const struct ruleset *rules)
{
	int code = 0;
	for (size_t t = 0; t < rules->table_count && code == 0; t++) {
		const struct ruleset_table *table = &rules->tables[t];
		for (size_t i = 0; i < table->chain_count && code == 0; i++) {
			const struct ruleset_chain_spec *chain = &table->chains[i], *former;
			if (!chain->device)
				continue;
			former = ruleset_chain_find(&stands->tables[t], chain->name);
			if (!former || (chain->since != 0 && chain->since != former->since))
				code = plan_device(batch, table, chain);
		}
	}
	return code;
}

/* A chain each, since older kernels have removed it with its device, and a batch is refused whole. */
static int chain_remove(
	struct guard *guard, const struct ruleset_table *table, const char *name, struct err *err)
{
	struct nlbatch batch;
	int code = nlbatch_init(&batch, &guard->sock, 0);
	if (code == 0)
		code = plan_remove_chain(&batch, table, name);
	if (code == 0)
		code = nlsock_commit(&guard->sock, &batch, NULL, err);
	nlbatch_done(&batch);
	return code == -ENOENT ? 0 : code;
}

int guard_follow(
	struct guard *guard, const struct ruleset *stands, const struct ruleset *rules, struct err *err)
{
	struct nlbatch batch;
	int code = nlbatch_init(&batch, &guard->sock, 0);
	if (code == 0)
		code = chains_add(&batch, stands, rules);
	if (code == 0 && batch.count > 0)
		code = nlsock_commit(&guard->sock, &batch, NULL, err);
	nlbatch_done(&batch);
	for (size_t t = 0; t < stands->table_count && code == 0; t++) {
		const struct ruleset_table *table = &stands->tables[t];
		for (size_t i = 0; i < table->chain_count && code == 0; i++)
			if (table->chains[i].device &&
				!ruleset_chain_find(&rules->tables[t], table->chains[i].name))
				code = chain_remove(guard, table, table->chains[i].name, err);
	}
	return code;
}

int guard_state(struct guard *guard, struct guard_state *state, struct err *err)
{
	bool in_force[RULESET_TABLES];
	uint32_t flags[RULESET_TABLES];
	for (enum ruleset_table_id id = 0; id < RULESET_TABLES; id++) {
		struct kernel_table table;
		int code = kernel_table_read_head(&table, &guard->sock, id, err);
		if (code < 0)
			return code;
		in_force[id] = table.exists && !(table.flags & KERNEL_TABLE_DORMANT);
		flags[id] = table.flags;
	}
	uint32_t all = flags[RULESET_GUARD] & flags[RULESET_EGRESS];
	bool armed = in_force[RULESET_GUARD] && in_force[RULESET_EGRESS];
	bool walled = in_force[RULESET_WALL] && in_force[RULESET_WALL_EGRESS];
	/* Where there is none although its neighbours stand, the kernel is asked whether there can be one. */
	if (armed && (in_force[RULESET_BRIDGE] || bridges_possible(guard))) {
		armed = in_force[RULESET_BRIDGE];
		all &= flags[RULESET_BRIDGE];
	}
	if (walled && !in_force[RULESET_WALL_BRIDGE])
		walled = !bridges_possible(guard);
	*state = (struct guard_state){
		.armed = armed,
		.owner = all & KERNEL_TABLE_OWNER,
		.persist = all & KERNEL_TABLE_PERSIST,
		.walled = walled,
	};
	return 0;
}

/* 1 where the table is not as it was loaded. */
static int table_stands(struct guard *guard, enum ruleset_table_id id, struct err *err)
{
	struct kernel_table table;
	int code = kernel_table_read(&table, &guard->sock, id, true, err);
	if (code == 0 && table.exists && compare_stands(&table, err) < 0)
		code = 1;
	kernel_table_done(&table);
	return code;
}

int guard_check(struct guard *guard, struct guard_state *state, struct err *err)
{
	int code = guard_state(guard, state, err), changed = 0;
	for (enum ruleset_table_id id = 0; id < RULESET_TABLES && code == 0; id++) {
		bool owned = 1u << id & RULESET_OWNED;
		bool *in_force = owned ? &state->armed : &state->walled;
		if (!*in_force || (owned && state->owner))
			continue;
		code = table_stands(guard, id, err);
		if (code > 0) {
			*in_force = false;
			changed = 1;
			code = 0;
		}
	}
	return code < 0 ? code : changed;
}

int guard_bare(struct guard *guard, const struct ruleset *rules, char first[IFNAMSIZ], struct err *err)
{
	struct kernel_table tables[RULESET_TABLES] = {0};
	int code = 0, bare = 0;
	for (size_t t = 0; t < rules->table_count && code == 0; t++)
		code = kernel_table_read(&tables[t], &guard->sock, rules->tables[t].id, true, err);
	/* The tables have the same chains. */
	for (size_t i = 0; code == 0 && i < rules->tables[0].chain_count; i++) {
		bool stands = !rules->tables[0].chains[i].device;
		for (size_t t = 0; t < rules->table_count && !stands; t++)
			stands = compare_chain_leads(&tables[t], &rules->tables[t].chains[i]);
		if (!stands && bare++ == 0)
			strcpy(first, rules->tables[0].chains[i].device);
	}
	for (size_t t = 0; t < rules->table_count; t++)
		kernel_table_done(&tables[t]);
	return code < 0 ? code : bare;
}

/* Which counters a table has. */
static const unsigned counters_of[RULESET_TABLES] = {
	[RULESET_GUARD] = ~(1u << RULESET_DROPPED_EGRESS),
	[RULESET_EGRESS] = 1u << RULESET_DROPPED_EGRESS,
	[RULESET_BRIDGE] = 1u << RULESET_DROPPED_EGRESS,
	[RULESET_WALL] = 1u << RULESET_REJECTED_OUTPUT | 1u << RULESET_REJECTED_FORWARD |
			 1u << RULESET_DROPPED_POSTROUTING | 1u << RULESET_DROPPED_REPLIES,
	[RULESET_WALL_EGRESS] = 1u << RULESET_DROPPED_EGRESS,
	[RULESET_WALL_BRIDGE] = 1u << RULESET_DROPPED_EGRESS,
};

static int table_counts(
	struct guard *guard, enum ruleset_table_id id, struct guard_counts *counts, struct err *err)
{
	struct nftnl_obj_list *objects = kernel_counters_read(&guard->sock, id, err);
	if (!objects)
		return -EIO;
	int code = 0;
	for (int i = 0; i < RULESET_COUNTERS && code == 0; i++) {
		if (!(counters_of[id] & 1u << i))
			continue;
		struct nftnl_obj *counter = kernel_counter_find(objects, ruleset_counter_name(i));
		if (!counter) {
			const struct ruleset_table *table = ruleset_table_identity(id);
			code = err_set(err, -ENOENT, "table %s %s has no counter %s: it is not armed",
				ruleset_family_name(table), table->name, ruleset_counter_name(i));
			break;
		}
		counts->counters[i].packets += nftnl_obj_get_u64(counter, NFTNL_OBJ_CTR_PKTS);
		counts->counters[i].bytes += nftnl_obj_get_u64(counter, NFTNL_OBJ_CTR_BYTES);
	}
	nftnl_obj_list_free(objects);
	return code;
}

int guard_counts(struct guard *guard, unsigned tables, struct guard_counts *counts, struct err *err)
{
	int code = 0;
	*counts = (struct guard_counts){0};
	for (enum ruleset_table_id id = 0; id < RULESET_TABLES && code == 0; id++) {
		if (!(tables & 1u << id))
			continue;
		code = table_counts(guard, id, counts, err);
		if (code == -ENOENT && !table_possible(guard, ruleset_table_identity(id)))
			code = 0;
	}
	return code;
}

static int disarm_once(struct guard *guard, struct err *err)
{
	struct kernel_table tables[RULESET_TABLES] = {0};
	struct nlbatch batch = {0};
	int code = 0;
	for (enum ruleset_table_id id = 0; id < RULESET_TABLES && code == 0; id++)
		code = table_read(guard, id, &tables[id], &tables[0], err);
	/* The batch begins with the number behind those of the listings. */
	if (code == 0)
		code = nlbatch_init(&batch, &guard->sock, tables[0].generation);
	for (enum ruleset_table_id id = 0; id < RULESET_TABLES && code == 0; id++)
		if (tables[id].exists)
			code = plan_disarm(&batch, tables[id].identity);
	if (code == 0 && batch.count > 0)
		code = commit(guard, &batch, err);
	nlbatch_done(&batch);
	for (size_t i = 0; i < RULESET_TABLES; i++)
		kernel_table_done(&tables[i]);
	return code;
}

int guard_disarm(struct guard *guard, struct err *err)
{
	int code = -ERESTART;
	for (int i = 0; i < TRIES_MAX && code == -ERESTART; i++)
		code = disarm_once(guard, err);
	return code;
}
