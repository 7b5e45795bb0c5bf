/*
 * plan: the batch that turns a table that stands into the one that is wanted, without a moment in
 * between. It decides what is kept (counters always, and the table itself where the kernel lets
 * us), and sends nothing.
 */
#ifndef MX_PLAN_H
#define MX_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "kernel_table.h"
#include "nlsock.h"
#include "ruleset.h"

/* The batch's tags, by which a refusal tells what else to try. */
enum plan_tag {
	PLAN_TABLE = 1, /* the message that sets a table's flags */
	PLAN_DEVICE,    /* a device's chain */
};

struct plan_options {
	uint32_t flags;       /* of the new table: KERNEL_TABLE_... */
	bool devices_by_name; /* the kernel takes chains for devices that do not exist */
};

/* Adds to batch. table may be read without contents; it is nobody else's. 0, or -ENOMEM with err. */
int plan_arm(struct nlbatch *batch, const struct kernel_table *table, const struct ruleset_table *rules,
	const struct plan_options *options, struct err *err) MX_MUST_CHECK;

/* Whether the table was left behind by an owner that died. */
bool plan_is_orphan(const struct kernel_table *table);

/*
 * Adds the taking over of an orphan, as it is: 0 or -ENOMEM. A batch of its own, since the kernel adds no hook to
 * a table in the batch that changes its flags.
 */
int plan_adopt(struct nlbatch *batch, const struct ruleset_table *identity, uint32_t flags) MX_MUST_CHECK;

/* Adds a table with a chain for bridges, and its removal: whether the kernel takes it. 0 or -ENOMEM. */
int plan_try_bridge(struct nlbatch *batch) MX_MUST_CHECK;

/* Adds the removal of a table. 0 or -ENOMEM. */
int plan_disarm(struct nlbatch *batch, const struct ruleset_table *identity) MX_MUST_CHECK;

/* Adds the chain of a device, with its rules, to a table that stands, if it is not there. 0 or -ENOMEM. */
int plan_device(struct nlbatch *batch, const struct ruleset_table *rules,
	const struct ruleset_chain_spec *chain) MX_MUST_CHECK;

/* Adds the removal of a chain of rules. 0 or -ENOMEM. */
int plan_remove_chain(
	struct nlbatch *batch, const struct ruleset_table *rules, const char *name) MX_MUST_CHECK;

#endif
