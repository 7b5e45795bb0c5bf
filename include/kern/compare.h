/*
 * compare: holds the table that the kernel lists against the ruleset that was asked for. It says
 * what differs and mends nothing.
 */
#ifndef MX_COMPARE_H
#define MX_COMPARE_H

#include "err.h"
#include "kernel_table.h"
#include "ruleset.h"

/*
 * table was read with its contents and exists. 0 when it holds what rules ask for and nothing else;
 * -EPROTO with err naming the first difference; -ENOMEM. Chains of devices that do not exist must be there only
 * with devices_by_name: older kernels take none.
 */
int compare_table(const struct kernel_table *table, const struct ruleset_table *rules, bool devices_by_name,
	struct err *err) MX_MUST_CHECK;

/*
 * Whether a table of which nobody knows what was asked for, read with its contents, still stops what goes to port 25:
 * its chains and their rules are there. Exclusions and chains of devices are not looked at. -EPROTO and -ENOMEM as above.
 */
int compare_stands(const struct kernel_table *table, struct err *err) MX_MUST_CHECK;

/* True when chain is the chain that spec asks for, but for its policy. */
bool compare_is_chain(const struct nftnl_chain *chain, const struct ruleset_chain_spec *spec);

/* Whether the table has that chain, with a rule in it. */
bool compare_chain_leads(const struct kernel_table *table, const struct ruleset_chain_spec *spec);

#endif
