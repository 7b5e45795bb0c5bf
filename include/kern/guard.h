/*
 * guard: the kernel's side of the promise. Loads a ruleset as one atomic batch, reads it back and
 * compares, follows devices, reads the counters, and takes it all down on purpose.
 *
 * It needs CAP_NET_ADMIN. It blocks for as long as the kernel takes to answer; answers are local.
 *
 * The owned tables belong to this module's netlink socket: nobody else can change them while a descriptor of
 * that socket is open anywhere. What becomes of them afterwards:
 *
 *   an inherited socket    is held by systemd, whether or not a process of ours lives
 *   PERSIST (Linux 6.9)    the tables stay, as an orphan that the next flush removes
 *   neither                the tables go with the process: the caller loads the static ones beside them
 *
 * A process that inherits the descriptor shares the ownership, so a child that is to have none of it calls
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
	bool armed;   /* the owned tables are there, and in force */
	bool owner;   /* they belong to a netlink socket: others get EPERM */
	bool persist; /* they stay when their owner dies */
	bool walled;  /* the static tables are there, and in force */
};

/* Opens the netlink socket that will own the tables; inherited: that one, or -1. NULL on failure, err filled. */
struct guard *guard_new(int inherited, struct err *err);
/* Closes it; what is armed stays armed, but see above. NULL is fine. */
void guard_free(struct guard *guard);

/*
 * Makes the kernel's tables equal to those of rules in one batch: all of it or nothing; tables that rules do not
 * have are left alone. Adopts what it finds: no table, an orphan of an earlier run (taken over as it is first), a
 * plain table of the same name (replaced in the same batch); named counters keep their counts in every case. Then reads back and
 * compares. Where the kernel refused, the rules that stood before still stand and err names the refused object;
 * where reading back failed ("read back after loading"), the new ones may stand. -EBUSY: the tables belong to
 * another process.
 */
int guard_arm(struct guard *guard, const struct ruleset *rules, struct err *err) MX_MUST_CHECK;

/* Compares the kernel's tables with rules. 0 when they match; -ENOENT without a table; -EPROTO with
 * err naming the difference. */
int guard_verify(struct guard *guard, const struct ruleset *rules, struct err *err) MX_MUST_CHECK;

/*
 * Where `stands` is loaded: adds the chains of devices that only `rules` has, or that are others there (by their
 * numbers, see struct ruleset_devices), and removes those that only `stands` has, as fast as can be, without reading anything. On failure guard_arm() is the remedy.
 */
int guard_follow(struct guard *guard, const struct ruleset *stands, const struct ruleset *rules,
	struct err *err) MX_MUST_CHECK;

int guard_state(struct guard *guard, struct guard_state *state, struct err *err) MX_MUST_CHECK;

/*
 * As guard_state(), but tables that anybody may change are not taken for in force where their rules are not what was
 * loaded: then it gives 1, and err says what is missing.
 */
int guard_check(struct guard *guard, struct guard_state *state, struct err *err) MX_MUST_CHECK;

/*
 * How many of the devices of rules, which has tables for devices alone, have a chain in none of these: what goes past
 * IP leaves there. first: the name of one of them. Negative with err.
 */
int guard_bare(struct guard *guard, const struct ruleset *rules, char first[IFNAMSIZ],
	struct err *err) MX_MUST_CHECK;

/* Reads the named counters of tables (RULESET_OWNED or RULESET_STATIC). -ENOENT when one is missing. */
int guard_counts(
	struct guard *guard, unsigned tables, struct guard_counts *counts, struct err *err) MX_MUST_CHECK;

/* Deletes all tables: opens the way for port 25. Fine when there are none; -EBUSY as for guard_arm().
 */
int guard_disarm(struct guard *guard, struct err *err) MX_MUST_CHECK;

#endif
