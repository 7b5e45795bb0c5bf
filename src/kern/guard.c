#include "guard.h"

#include <errno.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
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
	bool no_persist; /* the kernel refused PERSIST: plain tables from then on */
};

struct guard *guard_new(int inherited, struct err *err)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	if (!guard) {
		err_set(err, -ENOMEM, "no memory for the guard");
		return NULL;
	}
	int code = inherited >= 0 ? nlsock_adopt(&guard->sock, inherited, err) : nlsock_open(&guard->sock, err);
	if (code < 0) {
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
		"table inet %s belongs to another process (netlink address %u, as a rule its "
		"process id): stop that mxmirage first",
		RULESET_TABLE, table->owner);
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
		{-EOPNOTSUPP, "table", "it belongs to another process, or was dormant"},
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

/* One reading, one batch; -ERESTART when somebody else changed the ruleset in between. */
static int arm_once(struct guard *guard, const struct ruleset *rules, struct err *err)
{
	struct kernel_table table;
	struct nlbatch batch = {0};
	int code = kernel_table_read(&table, &guard->sock, false, err);
	if (code < 0)
		goto out;
	code = owner_check(guard, &table, err);
	if (code < 0)
		goto out;
	code = nlbatch_init(&batch, &guard->sock, table.generation);
	if (code < 0) {
		err_set(err, code, "no memory for the batch of rules");
		goto out;
	}
	uint32_t flags = guard->no_persist ? 0 : KERNEL_TABLE_OWNER | KERNEL_TABLE_PERSIST;
	size_t table_message;
	code = plan_arm(&batch, &table, rules, flags, &table_message, err);
	if (code < 0)
		goto out;
	struct nlbatch_refusal refusal;
	struct err refused = {""};
	code = nlsock_commit(&guard->sock, &batch, &refusal, &refused);
	/* Kernels from 5.12 to 6.8 say the one, older ones the other. */
	if ((code == -EOPNOTSUPP || code == -EINVAL) && refusal.index == table_message &&
		!guard->no_persist) {
		guard->no_persist = true;
		code = -ERESTART;
	} else if (code < 0) {
		remedy_add(code, &refusal, &refused);
		err_set(err, code, "%s", refused.text);
	}
out:
	nlbatch_done(&batch);
	kernel_table_done(&table);
	return code;
}

int guard_arm(struct guard *guard, const struct ruleset *rules, struct err *err)
{
	int code = -ERESTART;
	for (int i = 0; i < TRIES_MAX && code == -ERESTART; i++)
		code = arm_once(guard, rules, err);
	if (code == -ERESTART)
		return err_set(err, -EBUSY,
			"table inet %s: the ruleset changed under each of %d tries (another "
			"program is changing it without pause: stop that one)",
			RULESET_TABLE, TRIES_MAX);
	if (code < 0)
		return code;

	code = guard_verify(guard, rules, err);
	if (code < 0)
		return err_prefix(err, code, "read back after loading");
	struct guard_state state;
	code = guard_state(guard, &state, err);
	if (code == 0 && !guard->no_persist && !(state.owner && state.persist))
		code = err_set(err, -EPROTO, "read back after loading: table inet %s has lost its owner",
			RULESET_TABLE);
	return code;
}

int guard_verify(struct guard *guard, const struct ruleset *rules, struct err *err)
{
	struct kernel_table table;
	int code = kernel_table_read(&table, &guard->sock, true, err);
	if (code == 0 && !table.exists)
		code = err_set(err, -ENOENT, "there is no table inet %s: nothing is guarded", RULESET_TABLE);
	if (code == 0)
		code = compare_table(&table, rules, err);
	kernel_table_done(&table);
	return code;
}

int guard_state(struct guard *guard, struct guard_state *state, struct err *err)
{
	struct kernel_table table;
	int code = kernel_table_read_head(&table, &guard->sock, err);
	if (code < 0)
		return code;
	*state = (struct guard_state){
		.armed = table.exists && !(table.flags & KERNEL_TABLE_DORMANT),
		.owner = table.flags & KERNEL_TABLE_OWNER,
		.persist = table.flags & KERNEL_TABLE_PERSIST,
	};
	return 0;
}

int guard_counts(struct guard *guard, struct guard_counts *counts, struct err *err)
{
	struct nftnl_obj_list *objects = kernel_counters_read(&guard->sock, err);
	if (!objects)
		return -EIO;
	int code = 0;
	for (int i = 0; i < RULESET_COUNTERS && code == 0; i++) {
		struct nftnl_obj *counter = kernel_counter_find(objects, ruleset_counter_name(i));
		if (!counter) {
			code = err_set(err, -ENOENT, "table inet %s has no counter %s: it is not armed",
				RULESET_TABLE, ruleset_counter_name(i));
			break;
		}
		counts->counters[i].packets = nftnl_obj_get_u64(counter, NFTNL_OBJ_CTR_PKTS);
		counts->counters[i].bytes = nftnl_obj_get_u64(counter, NFTNL_OBJ_CTR_BYTES);
	}
	nftnl_obj_list_free(objects);
	return code;
}

static int disarm_once(struct guard *guard, struct err *err)
{
	struct kernel_table table;
	struct nlbatch batch = {0};
	int code = kernel_table_read(&table, &guard->sock, false, err);
	if (code < 0 || !table.exists)
		goto out;
	code = owner_check(guard, &table, err);
	if (code < 0)
		goto out;
	code = nlbatch_init(&batch, &guard->sock, table.generation);
	if (code == 0)
		code = plan_disarm(&batch);
	if (code < 0) {
		err_set(err, code, "no memory for the batch of rules");
		goto out;
	}
	struct nlbatch_refusal refusal;
	struct err refused = {""};
	code = nlsock_commit(&guard->sock, &batch, &refusal, &refused);
	if (code < 0) {
		remedy_add(code, &refusal, &refused);
		err_set(err, code, "%s", refused.text);
	}
out:
	nlbatch_done(&batch);
	kernel_table_done(&table);
	return code;
}

int guard_disarm(struct guard *guard, struct err *err)
{
	int code = -ERESTART;
	for (int i = 0; i < TRIES_MAX && code == -ERESTART; i++)
		code = disarm_once(guard, err);
	return code;
}
