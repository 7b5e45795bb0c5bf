/*
 * guard: the kernel's side of the promise. Loads a ruleset as one atomic batch, reads it back and
 * compares, reads its counters, and takes it down on purpose. One table holds divert and guard, so
 * that no moment exists in which one stands without the other.
 *
 * It needs CAP_NET_ADMIN. It blocks for as long as the kernel takes to answer; answers are local.
 *
 * Where the kernel knows PERSIST (6.9 and later) the table belongs to this module's socket and
 * stays when that closes; elsewhere it is a plain table, which anybody with CAP_NET_ADMIN can take
 * away. It never belongs to a socket without PERSIST: it would go when the process does. A process
 * that inherits the descriptor shares the ownership, so a child that is to have none of it calls
 * guard_free().
 */
#ifndef MX_GUARD_H
#define MX_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "ruleset.h"

struct guard;

struct guard_count {
	uint64_t packets;
	uint64_t bytes;
};

struct guard_counts {
	struct guard_count counters[RULESET_COUNTERS];
};

/* What stands in the kernel, as read back. */
struct guard_state {
	bool armed;   /* the table is there */
	bool owner;   /* it belongs to a netlink socket: others get EPERM */
	bool persist; /* it stays when its owner dies */
};

/* Opens the netlink socket that will own the table. NULL on failure, err filled. */
struct guard *guard_new(int inherited, struct err *err);
/* Closes it; what is armed stays armed. NULL is fine. */
void guard_free(struct guard *guard);

/*
 * Makes the kernel's table equal to rules in one batch: all of it or nothing. Adopts what it finds:
 * no table, an orphan of an earlier run, a plain table of the same name (replaced in the same
 * batch); named counters keep their counts in every case. Then reads back and compares. Where the kernel
 * refused, the rules that stood before still stand and err names the refused object; where reading
 * back failed ("read back after loading"), the new ones may stand.
 */
int guard_arm(struct guard *guard, const struct ruleset *rules, struct err *err) MX_MUST_CHECK;

/* Compares the kernel's table with rules. 0 when they match; -ENOENT without a table; -EPROTO with
 * err naming the difference. */
int guard_verify(struct guard *guard, const struct ruleset *rules, struct err *err) MX_MUST_CHECK;

int guard_state(struct guard *guard, struct guard_state *state, struct err *err) MX_MUST_CHECK;

/* Reads the named counters in one listing. -ENOENT when one is missing. */
int guard_counts(struct guard *guard, struct guard_counts *counts, struct err *err) MX_MUST_CHECK;

/* Deletes the table: opens the way for port 25. Fine when there is none; -EBUSY as for guard_arm().
 */
int guard_disarm(struct guard *guard, struct err *err) MX_MUST_CHECK;

#endif
