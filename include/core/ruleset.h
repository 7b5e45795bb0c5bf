/*
 * ruleset: the firewall rules that a configuration asks for, as plain data, and their printed form
 * in nft syntax. It talks to no kernel: kern/guard encodes the same data for netlink, so what
 * `check --dry-run` prints is what is loaded.
 *
 * The printed form is letter for letter what `nft --stateless list table inet mxmirage` prints once
 * it is loaded, and can be fed to `nft -f` as it is. One thing is left out on purpose: of an owned
 * table nft 1.0.6 also lists a comment with its owner's name and a line `flags owner`, and a table
 * loaded with that line by nft would vanish with the nft process.
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
	RULESET_DIVERTED,        /* connections */
	RULESET_EXCLUDED,        /* connections */
	RULESET_REJECTED_OUTPUT, /* packets, as are the next three */
	RULESET_REJECTED_FORWARD,
	RULESET_DROPPED_POSTROUTING,
	RULESET_UNDIVERTED_REFUSED,
	RULESET_COUNTERS,
};

/* "diverted" and so on: the counter's name in the kernel and its key in `status --json`. */
const char *ruleset_counter_name(enum ruleset_counter counter);

/* Chains, in the order in which a packet meets them. */
enum ruleset_chain {
	RULESET_DIVERT_PREROUTING, /* nat, -199: what containers and guests send through this host
				    */
	RULESET_DIVERT_OUTPUT,     /* nat, -199: what this host sends */
	RULESET_GUARD_INPUT,       /* refuses undiverted connections to the listeners */
	RULESET_GUARD_FORWARD,     /* rejects, after every foreign chain */
	RULESET_ESCAPE_OUTPUT,     /* shows what the next chain is about to reject; decides nothing */
	RULESET_GUARD_OUTPUT,      /* rejects, after every foreign chain */
	RULESET_GUARD_POSTROUTING, /* drops, last of all, also what a foreign nat rewrote */
	RULESET_CHAINS,
};

enum ruleset_set {
	RULESET_PORTS,    /* the diverted ports */
	RULESET_EXCLUDE4, /* IPv4 destinations left alone */
	RULESET_EXCLUDE6, /* IPv6 destinations left alone */
	RULESET_SETS,
};

/*
 * What a term matches or does. Each kind has one row in ruleset_print.c's table (how it prints) and
 * one in kern/encode.c's (how it is encoded).
 */
enum ruleset_kind {
	RULESET_DPORT_IN_SET,          /* TCP, destination port in .set */
	RULESET_DPORT_LISTENERS,       /* TCP, destination port is one of the listeners' */
	RULESET_DADDR4_IN_SET,         /* IPv4, destination in .set */
	RULESET_DADDR6_IN_SET,         /* IPv6, destination in .set */
	RULESET_DADDR_LOCAL,           /* the destination is an address of this host */
	RULESET_OIF_LOOPBACK,          /* leaves through lo, so it does not leave */
	RULESET_TCP,                   /* any TCP */
	RULESET_CT_ORIGINAL_DIRECTION, /* sent by the side that opened the connection */
	RULESET_CT_ORIGINAL_PORT_IN,   /* before any nat its destination port was in .set */
	RULESET_CT_NOT_DNAT,           /* no nat rewrote its destination */
	RULESET_CT_UNTRACKED,          /* exempt from connection tracking, so from nat */
	RULESET_COUNT,                 /* counts in .counter, goes on */
	RULESET_LIMIT,                 /* not more often than RULESET_ESCAPE_RATE */
	RULESET_LOG,                   /* shows the packet to RULESET_ESCAPE_NUMBER's listener, goes on */
	RULESET_QUEUE,                 /* the same, and waits for its word where somebody listens */
	RULESET_QUEUE_XT,              /* the same for kernels without nft_queue */
	RULESET_ACCEPT,                /* leaves the chain */
	RULESET_DROP,
	RULESET_RESET,    /* drops, and answers with a TCP reset */
	RULESET_REDIRECT, /* to the listeners */
	RULESET_KINDS,
};

/* The nfnetlink_log group and nfnetlink_queue number by which packets are shown. */
#define RULESET_ESCAPE_NUMBER 2525
/*
 * Packets a second and chain that are shown, and at once: a flood above it meets the guard alone. The burst is
 * less than the kernel's queue holds (1,024), so that no packet is lost there while the listener is at work.
 */
#define RULESET_ESCAPE_RATE  2000
#define RULESET_ESCAPE_BURST 900

struct ruleset_term {
	enum ruleset_kind kind;
	union {
		enum ruleset_set set;
		enum ruleset_counter counter;
	};
};

struct ruleset_rule {
	enum ruleset_chain chain;
	struct ruleset_term terms[RULESET_TERMS_MAX];
	size_t term_count;
};

struct ruleset_chain_spec {
	const char *name;
	const char *type; /* "nat" or "filter" */
	uint32_t hook;    /* enum nf_inet_hooks */
	int32_t priority; /* policy is accept throughout */
};

enum ruleset_set_type {
	RULESET_SET_SERVICE, /* ports, single values */
	RULESET_SET_IPV4,    /* blocks, held as intervals */
	RULESET_SET_IPV6,
};

struct ruleset_set_spec {
	const char *name;
	enum ruleset_set_type type;
	const uint16_t *ports;           /* of RULESET_SET_SERVICE: host order, ascending */
	const struct conf_block *blocks; /* of the others: ascending, disjoint */
	size_t count;
};

struct ruleset {
	struct ruleset_set_spec sets[RULESET_SETS];
	struct ruleset_chain_spec chains[RULESET_CHAINS];
	struct ruleset_rule rules[RULESET_RULES_MAX]; /* those of one chain stand together */
	size_t rule_count;
	uint16_t listen_first, listen_last; /* inclusive */
};

/* Builds the rules for conf, of which it keeps nothing. NULL on failure (out of memory), err
 * filled. */
struct ruleset *ruleset_new(const struct conf *conf, struct err *err);
/* NULL is fine. */
void ruleset_free(struct ruleset *ruleset);

/* Prints in nft syntax, see above. */
void ruleset_print(const struct ruleset *ruleset, FILE *to);

/* Prints one rule without its chain and newline: `tcp dport @ports fib daddr type local accept`. */
void ruleset_print_rule(const struct ruleset *ruleset, const struct ruleset_rule *rule, FILE *to);

#endif
