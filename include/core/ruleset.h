/*
 * ruleset: the firewall rules that a configuration asks for, as plain data, and their printed form in
 * nft syntax. It talks to no kernel: kern/guard encodes the same data for netlink, so what
 * `check --dry-run` prints is what is loaded.
 *
 * The printed form is letter for letter what `nft --stateless list table inet mxmirage` prints once it
 * is loaded, and can be fed to `nft -f` as it is.
 */
#ifndef MX_RULESET_H
#define MX_RULESET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf.h"

#define RULESET_TABLE     "mxmirage"
#define RULESET_RULES_MAX 64
#define RULESET_TERMS_MAX 8

/* The named counters; they survive a replacement of the rules. */
enum ruleset_counter {
	RULESET_DIVERTED,
	RULESET_EXCLUDED,
	RULESET_REJECTED_OUTPUT,
	RULESET_REJECTED_FORWARD,
	RULESET_DROPPED_POSTROUTING,
	RULESET_UNDIVERTED_REFUSED,
	RULESET_COUNTERS,
};

/* "diverted" and so on: the counter's name in the kernel and its key in `status --json`. */
const char *ruleset_counter_name(enum ruleset_counter counter);

/* Chains, in the order in which a packet meets them. */
enum ruleset_chain {
	RULESET_DIVERT_PREROUTING, /* nat, -199: what containers and guests send through this host */
	RULESET_DIVERT_OUTPUT,     /* nat, -199: what this host sends */
	RULESET_GUARD_INPUT,       /* refuses undiverted connections to the listeners */
	RULESET_GUARD_FORWARD,     /* rejects, after every foreign chain */
	RULESET_GUARD_OUTPUT,      /* rejects, after every foreign chain */
	RULESET_GUARD_POSTROUTING, /* drops, last of all, also what a foreign nat rewrote */
	RULESET_CHAINS,
};

/*
 * The kinds of terms, sets and rules are this module's own vocabulary, defined here as plain data:
 * a rule is a chain and a short list of terms; each kind of term has one row in ruleset.c's table (how
 * it prints) and one in kern/encode.c's (how it is encoded).
 */
struct ruleset;

/* Builds the rules for conf. NULL on failure (out of memory). */
struct ruleset *ruleset_new(const struct conf *conf, struct err *err);
void ruleset_free(struct ruleset *ruleset);

/* Prints in nft syntax, see above. */
void ruleset_print(const struct ruleset *ruleset, FILE *to);

#endif
