/*
 * survey: what the nftables rules of other programs, iptables-nft's among them, do with the ports that are
 * diverted: reads every table of the network namespace and follows the nat chains as a packet would. It
 * changes nothing, and our own tables are none of its business.
 *
 * Where a rule's condition is beyond it, the rule counts as one that may match: it would rather name a rule
 * too many.
 */
#ifndef MX_SURVEY_H
#define MX_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "nlsock.h"

/* Names are cut to fit; the kernel's own limit is 255. */
#define SURVEY_NAME_MAX 64
/* Each kind of finding; a host with more has other worries. */
#define SURVEY_FINDINGS_MAX 64

struct survey_table {
	char family[8]; /* "ip", "inet", ... as nft says it */
	char name[SURVEY_NAME_MAX];
	uint32_t flags; /* KERNEL_TABLE_... */
	uint32_t owner; /* the owner's netlink address, 0 without one */
	bool iptables;  /* has expressions of x_tables' */
};

/* A rule that rewrites the destination of connections to a diverted port, or rewrites to such a port. */
struct survey_nat {
	char family[8], table[SURVEY_NAME_MAX], chain[SURVEY_NAME_MAX];
	uint64_t handle;
	char base[SURVEY_NAME_MAX]; /* the base chain by which a packet gets there */
	bool prerouting;            /* its hook; else output */
	int32_t priority;
	uint16_t from_port; /* the diverted port that it matches; 0: it matches none, but rewrites to one */
	bool any_port;      /* it matches every other port, too */
	uint16_t to_port;   /* 0: the port stays */
	uint32_t owner;
	bool iptables;
	char words[256]; /* "tcp dport 25 dnat to 192.0.2.9:2525" */
};

struct survey_flowtable {
	char family[8], table[SURVEY_NAME_MAX], name[SURVEY_NAME_MAX];
};

struct survey {
	struct survey_table tables[SURVEY_FINDINGS_MAX]; /* all foreign tables */
	size_t table_count;
	struct survey_nat nats[SURVEY_FINDINGS_MAX];
	size_t nat_count;
	struct survey_flowtable flowtables[SURVEY_FINDINGS_MAX];
	size_t flowtable_count;
	size_t unread;    /* rules, chains and so on of a kind that libnftnl does not know */
	bool own_dormant; /* one of our own tables is asleep */
	bool cut;         /* there was more than fits */
};

/*
 * Fills survey. ports are those that are diverted, at most CONF_PORTS_MAX. 0 or a negative errno with err:
 * -EPERM without CAP_NET_ADMIN.
 */
int survey_read(struct survey *survey, struct nlsock *sock, const uint16_t *ports, size_t port_count,
	struct err *err) MX_MUST_CHECK;

#endif
