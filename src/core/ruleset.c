#include "ruleset.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * -200 is conntrack, and nat in output is refused there, so -199 is ahead of every other nat. The
 * guard chains come as late as the kernel allows, so that every foreign rule has had its turn.
 */
#define DIVERT_PRIORITY (-199)
#define GUARD_PRIORITY  INT_MAX

static const struct ruleset_chain_spec chains[RULESET_CHAINS] = {
	[RULESET_DIVERT_PREROUTING] = {"divert_prerouting", "nat", NF_INET_PRE_ROUTING, DIVERT_PRIORITY},
	[RULESET_DIVERT_OUTPUT] = {"divert_output", "nat", NF_INET_LOCAL_OUT, DIVERT_PRIORITY},
	[RULESET_GUARD_INPUT] = {"guard_input", "filter", NF_INET_LOCAL_IN, 0},
	[RULESET_GUARD_FORWARD] = {"guard_forward", "filter", NF_INET_FORWARD, GUARD_PRIORITY},
	[RULESET_ESCAPE_OUTPUT] = {"escape_output", "filter", NF_INET_LOCAL_OUT, GUARD_PRIORITY - 1},
	[RULESET_GUARD_OUTPUT] = {"guard_output", "filter", NF_INET_LOCAL_OUT, GUARD_PRIORITY},
	[RULESET_GUARD_POSTROUTING] = {"guard_postrouting", "filter", NF_INET_POST_ROUTING, GUARD_PRIORITY},
};

#define TERM(name, ...)                               \
	{                                             \
		.kind = RULESET_##name, ##__VA_ARGS__ \
	}
#define DPORT       TERM(DPORT_IN_SET, .set = RULESET_PORTS)
#define LISTENERS   TERM(DPORT_LISTENERS)
#define EXCLUDED4   TERM(DADDR4_IN_SET, .set = RULESET_EXCLUDE4)
#define EXCLUDED6   TERM(DADDR6_IN_SET, .set = RULESET_EXCLUDE6)
#define LOCAL       TERM(DADDR_LOCAL)
#define LOOPBACK    TERM(OIF_LOOPBACK)
#define TCP         TERM(TCP)
#define ORIGINAL    TERM(CT_ORIGINAL_DIRECTION)
#define WAS_DPORT   TERM(CT_ORIGINAL_PORT_IN, .set = RULESET_PORTS)
#define NOT_DNAT    TERM(CT_NOT_DNAT)
#define UNTRACKED   TERM(CT_UNTRACKED)
#define COUNT(name) TERM(COUNT, .counter = RULESET_##name)
#define ACCEPT      TERM(ACCEPT)
#define DROP        TERM(DROP)
#define RESET       TERM(RESET)
#define REDIRECT    TERM(REDIRECT)

/* The number of terms counts itself. */
#define RULE(in, ...)                                                                                     \
	{                                                                                                 \
		.chain = RULESET_##in, .terms = {__VA_ARGS__},                                            \
		.term_count = sizeof((struct ruleset_term[]){__VA_ARGS__}) / sizeof(struct ruleset_term), \
	}

/*
 * What goes to the host's own addresses is left alone throughout: injection into the mail server
 * under test must keep working. Exclusions look at the destination on the wire, so no foreign nat
 * can carry a packet through an exclusion to somewhere else.
 */
static const struct ruleset_rule rules[] = {
	RULE(DIVERT_PREROUTING, DPORT, LOCAL, ACCEPT),
	RULE(DIVERT_PREROUTING, DPORT, EXCLUDED4, COUNT(EXCLUDED), ACCEPT),
	RULE(DIVERT_PREROUTING, DPORT, EXCLUDED6, COUNT(EXCLUDED), ACCEPT),
	RULE(DIVERT_PREROUTING, DPORT, COUNT(DIVERTED), REDIRECT),

	RULE(DIVERT_OUTPUT, DPORT, LOCAL, ACCEPT),
	RULE(DIVERT_OUTPUT, DPORT, EXCLUDED4, COUNT(EXCLUDED), ACCEPT),
	RULE(DIVERT_OUTPUT, DPORT, EXCLUDED6, COUNT(EXCLUDED), ACCEPT),
	RULE(DIVERT_OUTPUT, DPORT, COUNT(DIVERTED), REDIRECT),

	/*
	 * Only packets of the side that connected: a program of this host may have one of these
	 * ports as its own end of a connection while no daemon listens there.
	 */
	RULE(GUARD_INPUT, LISTENERS, ORIGINAL, NOT_DNAT, COUNT(UNDIVERTED_REFUSED), RESET),
	RULE(GUARD_INPUT, LISTENERS, UNTRACKED, COUNT(UNDIVERTED_REFUSED), RESET),

	RULE(GUARD_FORWARD, DPORT, EXCLUDED4, ACCEPT),
	RULE(GUARD_FORWARD, DPORT, EXCLUDED6, ACCEPT),
	RULE(GUARD_FORWARD, DPORT, COUNT(REJECTED_FORWARD), RESET),

	RULE(GUARD_OUTPUT, DPORT, LOCAL, ACCEPT),
	RULE(GUARD_OUTPUT, DPORT, EXCLUDED4, ACCEPT),
	RULE(GUARD_OUTPUT, DPORT, EXCLUDED6, ACCEPT),
	RULE(GUARD_OUTPUT, DPORT, COUNT(REJECTED_OUTPUT), RESET),

	/*
	 * What reaches lo stays here. The last rule is for what a foreign nat took from a diverted
	 * port to another one, and for diverted packets that are about to leave after all; replies,
	 * those of a mail server of this host among them, run in the other direction and pass.
	 * Untracked packets have no original port: their own one says it all.
	 */
	RULE(GUARD_POSTROUTING, LOOPBACK, ACCEPT),
	RULE(GUARD_POSTROUTING, EXCLUDED4, ACCEPT),
	RULE(GUARD_POSTROUTING, EXCLUDED6, ACCEPT),
	RULE(GUARD_POSTROUTING, DPORT, COUNT(DROPPED_POSTROUTING), DROP),
	RULE(GUARD_POSTROUTING, TCP, ORIGINAL, WAS_DPORT, COUNT(DROPPED_POSTROUTING), DROP),
};

_Static_assert(sizeof(rules) / sizeof(rules[0]) <= RULESET_RULES_MAX, "RULESET_RULES_MAX is too small");

const char *ruleset_counter_name(enum ruleset_counter counter)
{
	static const char *const names[RULESET_COUNTERS] = {
		[RULESET_DIVERTED] = "diverted",
		[RULESET_EXCLUDED] = "excluded",
		[RULESET_REJECTED_OUTPUT] = "rejected_output",
		[RULESET_REJECTED_FORWARD] = "rejected_forward",
		[RULESET_DROPPED_POSTROUTING] = "dropped_postrouting",
		[RULESET_UNDIVERTED_REFUSED] = "undiverted_refused",
	};
	return names[counter];
}

/* The ruleset and what its sets point to, in one piece: a reload frees the conf that it came from.
 */
struct storage {
	struct ruleset ruleset;
	uint16_t ports[CONF_PORTS_MAX];
	struct conf_block blocks[];
};

struct ruleset *ruleset_new(const struct conf *conf, struct err *err)
{
	size_t count = conf->divert.exclude_count;
	struct storage *storage = calloc(1, sizeof(*storage) + count * sizeof(storage->blocks[0]));
	if (!storage) {
		err_set(err, -ENOMEM, "no memory for the rules (%zu exclusions)", count);
		return NULL;
	}

	struct ruleset *ruleset = &storage->ruleset;
	memcpy(ruleset->chains, chains, sizeof(chains));
	memcpy(ruleset->rules, rules, sizeof(rules));
	ruleset->rule_count = sizeof(rules) / sizeof(rules[0]);
	ruleset->listen_first = conf->listen.port_first;
	ruleset->listen_last = conf->listen.port_last;

	memcpy(storage->ports, conf->divert.ports, sizeof(storage->ports));
	ruleset->sets[RULESET_PORTS] = (struct ruleset_set_spec){
		"ports", RULESET_SET_SERVICE, .ports = storage->ports, .count = conf->divert.port_count};

	size_t v4 = 0;
	for (size_t i = 0; i < count; i++) {
		storage->blocks[i] = conf->divert.exclude[i];
		v4 += storage->blocks[i].family == AF_INET;
	}
	ruleset->sets[RULESET_EXCLUDE4] = (struct ruleset_set_spec){
		"exclude4", RULESET_SET_IPV4, .blocks = storage->blocks, .count = v4};
	ruleset->sets[RULESET_EXCLUDE6] = (struct ruleset_set_spec){
		"exclude6", RULESET_SET_IPV6, .blocks = storage->blocks + v4, .count = count - v4};
	return ruleset;
}

void ruleset_free(struct ruleset *ruleset)
{
	/* The ruleset is the first member of its storage. */
	free(ruleset);
}
