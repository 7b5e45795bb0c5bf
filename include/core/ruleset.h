/*
 * ruleset: the firewall rules that a configuration asks for, as plain data, and their printed form
 * in nft syntax. It talks to no kernel: kern/guard encodes the same data for netlink, so what
 * `check --dry-run` prints is what is loaded.
 *
 * The rules stand in up to six tables:
 *
 *   inet mxmirage            divert and guard; belongs to the netlink socket that loaded it
 *   netdev mxmirage          the guard on every device, where packet sockets and bridges pass; the same
 *   bridge mxmirage          the guard in every bridge, for frames that pass by the devices' chains; the same
 *   inet mxmirage_static     the static wall: the guard alone, belonging to nobody, so that it stands
 *   netdev mxmirage_static   when the owner of the others is gone
 *   bridge mxmirage_static
 *
 * The printed form is letter for letter what `nft --stateless list table …` prints once they are
 * loaded, and can be fed to `nft -f` as it is. One thing is left out on purpose: of an owned
 * table nft 1.0.6 also lists a comment with its owner's name and a line `flags owner`, and a table
 * loaded with that line by nft would vanish with the nft process.
 */
#ifndef MX_RULESET_H
#define MX_RULESET_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf.h"

#define RULESET_TERMS_MAX 8

/* In the order in which they are loaded; see above. */
enum ruleset_table_id {
	RULESET_GUARD,
	RULESET_EGRESS,
	RULESET_BRIDGE,
	RULESET_WALL,
	RULESET_WALL_EGRESS,
	RULESET_WALL_BRIDGE,
	RULESET_TABLES,
};

/* Sets of tables. */
#define RULESET_OWNED  (1u << RULESET_GUARD | 1u << RULESET_EGRESS | 1u << RULESET_BRIDGE)
#define RULESET_STATIC (1u << RULESET_WALL | 1u << RULESET_WALL_EGRESS | 1u << RULESET_WALL_BRIDGE)
#define RULESET_ALL    (RULESET_OWNED | RULESET_STATIC)

/* The named counters; they survive a replacement of the rules. Each table has those that its rules count in. */
enum ruleset_counter {
	RULESET_DIVERTED,        /* connections */
	RULESET_EXCLUDED,        /* connections */
	RULESET_REJECTED_OUTPUT, /* packets, as are all that follow */
	RULESET_REJECTED_FORWARD,
	RULESET_DROPPED_POSTROUTING,
	RULESET_DROPPED_REPLIES, /* from a diverted port, and not of a server of this host */
	RULESET_DROPPED_EGRESS,
	RULESET_UNDIVERTED_REFUSED,
	RULESET_COUNTERS,
};

/* "diverted" and so on: the counter's name in the kernel and its key in `status --json`. */
const char *ruleset_counter_name(enum ruleset_counter counter);

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
	RULESET_DPORT_IN_SET,       /* TCP, destination port in .set */
	RULESET_DPORT_ANY,          /* TCP that is long enough to have a destination port */
	RULESET_SPORT_IN_SET,       /* TCP, source port in .set */
	RULESET_DPORT_LISTENERS,    /* TCP, destination port is one of the listeners' */
	RULESET_DADDR4_IN_SET,      /* IPv4, destination in .set */
	RULESET_DADDR6_IN_SET,      /* IPv6, destination in .set */
	RULESET_SADDR4_IN_SET,      /* IPv4, source in .set */
	RULESET_SADDR6_IN_SET,      /* IPv6, source in .set */
	RULESET_DADDR_LOCAL,        /* the destination is an address of this host */
	RULESET_SADDR_LOCAL,        /* the source is an address of this host */
	RULESET_SADDR_MISROUTED,    /* an answer would not leave by the device that this came in by */
	RULESET_OIF_LOOPBACK,       /* leaves through lo, so it does not leave */
	RULESET_NEXTHOP4_ELSEWHERE, /* IPv4, and its route does not lead to 127.0.0.1 */
	RULESET_NEXTHOP6_ELSEWHERE, /* IPv6, and its route does not lead to ::1 */
	RULESET_OIF_ETHERNET,       /* leaves through a device whose frames begin as Ethernet's do */
	RULESET_OIF_BARE,  /* leaves through a device whose packets have nothing before IP: a tunnel */
	RULESET_TCP,       /* any TCP */
	RULESET_IP4,       /* IPv4, whether it can be read or not */
	RULESET_IP6,       /* IPv6, likewise */
	RULESET_FRAGMENT4, /* an IPv4 TCP fragment that is not the first, so without ports */
	RULESET_FRAGMENT6, /* likewise IPv6 */
	RULESET_ROUTING6,  /* IPv6 with a routing header: its destination is a stop on the way */
	RULESET_READABLE,  /* the kernel found the upper layer's protocol */
	RULESET_BYTES,     /* .bytes of the frame */
	RULESET_CT_ORIGINAL_DIRECTION, /* sent by the side that opened the connection */
	RULESET_CT_REPLY_DIRECTION,    /* sent by the other side */
	RULESET_CT_ORIGINAL_PORT_IN,   /* before any nat its destination port was in .set */
	RULESET_CT_REPLY_LOOPBACK4,    /* answered by 127.0.0.1: so diverted on its way out of this host */
	RULESET_CT_REPLY_LOOPBACK6,    /* answered by ::1 */
	RULESET_CT_NOT_DNAT,           /* no nat rewrote its destination */
	RULESET_CT_UNTRACKED,          /* exempt from connection tracking, so from nat */
	RULESET_COUNT,                 /* counts in .counter, goes on */
	RULESET_LIMIT,                 /* not more often than RULESET_ESCAPE_RATE */
	RULESET_LOG,                   /* shows the packet to RULESET_ESCAPE_NUMBER's listener, goes on */
	RULESET_QUEUE,                 /* the same, and waits for its word where somebody listens */
	RULESET_QUEUE_XT,              /* the same for kernels without nft_queue */
	RULESET_ACCEPT,                /* leaves the chain */
	RULESET_DROP,
	RULESET_RESET,        /* drops, and answers with a TCP reset */
	RULESET_REDIRECT,     /* to the listeners */
	RULESET_JUMP_EGRESS,  /* to the chain of that name */
	RULESET_GOTO_STOPPED, /* to the chain of that name, and not back */
	RULESET_KINDS,
};

/* The nfnetlink_log group and nfnetlink_queue number by which packets are shown. */
#define RULESET_ESCAPE_NUMBER 2525
/*
 * Packets a second and chain that are shown, and at once: a flood above it meets the guard alone. The burst is
 * less than the kernel's queue holds (1,024), so that no packet is lost there while the listener is at work.
 */
#define RULESET_ESCAPE_RATE  1200
#define RULESET_ESCAPE_BURST 900

/* One or two bytes of the frame, network order, compared with a value. */
struct ruleset_bytes {
	bool network; /* offset is from where the network header is said to be, else from the frame's beginning */
	uint8_t offset;
	uint8_t len;   /* 1 or 2 */
	bool differ;   /* matches when they are not equal */
	uint16_t mask; /* 0: none */
	uint16_t value;
};

struct ruleset_term {
	enum ruleset_kind kind;
	union {
		enum ruleset_set set;
		enum ruleset_counter counter;
		struct ruleset_bytes bytes;
	};
};

struct ruleset_rule {
	const char *chain;
	struct ruleset_term terms[RULESET_TERMS_MAX];
	size_t term_count;
};

struct ruleset_chain_spec {
	const char *name;
	const char *type;   /* "nat" or "filter"; NULL for a chain without a hook */
	uint32_t hook;      /* enum nf_inet_hooks, or nf_dev_hooks in a netdev table */
	int32_t priority;   /* policy is accept throughout */
	const char *device; /* its name, for hooks of a device; else NULL */
	unsigned since;     /* of the device: see struct ruleset_devices */
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

struct ruleset_table {
	enum ruleset_table_id id;
	const char *name;
	uint8_t family;    /* NFPROTO_INET, NFPROTO_NETDEV or NFPROTO_BRIDGE */
	bool owned;        /* to belong to the socket that loads it */
	unsigned counters; /* 1u << enum ruleset_counter */
	const struct ruleset_set_spec *sets;
	struct ruleset_chain_spec
		*chains; /* in the order in which a packet meets them; those of devices last */
	size_t chain_count;
	struct ruleset_rule *rules; /* those of one chain stand together */
	size_t rule_count;
	uint16_t listen_first, listen_last; /* inclusive */
};

struct ruleset {
	struct ruleset_table tables[RULESET_TABLES]; /* those asked for, in order */
	size_t table_count;
};

/*
 * Names of devices. since: a number for each, another one where another device has the name by now, and never 0; or
 * NULL, where nobody follows them.
 */
struct ruleset_devices {
	const char (*names)[IFNAMSIZ];
	size_t count;
	const unsigned *since;
};

/*
 * Builds the rules for conf with those tables (RULESET_OWNED, RULESET_STATIC, RULESET_ALL): chains for devices
 * and for conf's guard.devices. Keeps nothing of either. NULL on failure (out of memory), err filled.
 */
struct ruleset *ruleset_new(
	const struct conf *conf, unsigned tables, const struct ruleset_devices *devices, struct err *err);
/* NULL is fine. */
void ruleset_free(struct ruleset *ruleset);

/* "inet", "netdev" or "bridge": as nft calls the table's family. */
const char *ruleset_family_name(const struct ruleset_table *table);

/* What the table of that id is called, whether or not a ruleset has it. */
const struct ruleset_table *ruleset_table_identity(enum ruleset_table_id id);

/* The table's chain of that name, or NULL. */
const struct ruleset_chain_spec *ruleset_chain_find(const struct ruleset_table *table, const char *name);

/* Prints in nft syntax, see above. */
void ruleset_print(const struct ruleset *ruleset, FILE *to);

/* Prints one rule without its chain and newline: `tcp dport @ports fib daddr type local accept`. */
void ruleset_print_rule(const struct ruleset_table *table, const struct ruleset_rule *rule, FILE *to);

#endif
