/*
 * plan: the batch that turns the table that stands into the one that is wanted, without a moment in
 * between. It decides what is kept (counters always, and the table itself where the kernel lets
 * us), and sends nothing.
 */
#ifndef MX_PLAN_H
#define MX_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "kernel_table.h"
#include "nlsock.h"
#include "ruleset.h"

/*
 * Fills batch. table may be read without contents; it is nobody else's. flags are those of the new
 * table (KERNEL_TABLE_...). *table_message is the index of the message that sets them. 0, or
 * -ENOMEM with err.
 */
int plan_arm(struct nlbatch *batch, const struct kernel_table *table, const struct ruleset *rules,
	uint32_t flags, size_t *table_message, struct err *err) MX_MUST_CHECK;

/* Fills batch with the removal of the table. 0 or -ENOMEM. */
int plan_disarm(struct nlbatch *batch) MX_MUST_CHECK;

#endif
