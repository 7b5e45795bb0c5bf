#include "ruleset.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ruleset_internal.h"

/*
 * -200 is conntrack, and nat in output is refused there, so -199 is ahead of every other nat. The
 * guard chains come as late as the kernel allows, so that every foreign rule has had its turn; the
 * static wall behind them, so that what both would stop is counted where the daemon counts.
 */
#define DIVERT_PRIORITY (-199)
#define GUARD_PRIORITY  (INT_MAX - 1)
#define WALL_PRIORITY   INT_MAX

#define DIVERT_PREROUTING "divert_prerouting" /* what containers and guests send through this host */
#define DIVERT_OUTPUT     "divert_output"     /* what this host sends */
#define GUARD_INPUT       "guard_input"       /* refuses undiverted connections to the listeners */
#define GUARD_FORWARD     "guard_forward"     /* rejects, after every foreign chain */
#define GUARD_OUTPUT      "guard_output"      /* rejects, after every foreign chain */
#define GUARD_POSTROUTING "guard_postrouting" /* drops, last of all, also what a foreign nat rewrote */

static const struct ruleset_chain_spec guard_chains[] = {
	{DIVERT_PREROUTING, "nat", NF_INET_PRE_ROUTING, DIVERT_PRIORITY, NULL, 0},
	{DIVERT_OUTPUT, "nat", NF_INET_LOCAL_OUT, DIVERT_PRIORITY, NULL, 0},
	{GUARD_INPUT, "filter", NF_INET_LOCAL_IN, 0, NULL, 0},
	{GUARD_FORWARD, "filter", NF_INET_FORWARD, GUARD_PRIORITY, NULL, 0},
	{GUARD_OUTPUT, "filter", NF_INET_LOCAL_OUT, GUARD_PRIORITY, NULL, 0},
	{GUARD_POSTROUTING, "filter", NF_INET_POST_ROUTING, GUARD_PRIORITY, NULL, 0},
};

static const struct ruleset_chain_spec wall_chains[] = {
	{GUARD_FORWARD, "filter", NF_INET_FORWARD, WALL_PRIORITY, NULL, 0},
	{GUARD_OUTPUT, "filter", NF_INET_LOCAL_OUT, WALL_PRIORITY, NULL, 0},
	{GUARD_POSTROUTING, "filter", NF_INET_POST_ROUTING, WALL_PRIORITY, NULL, 0},
};

#define TERM(name, ...)                               \
	{                                             \
		.kind = RULESET_##name, ##__VA_ARGS__ \
	}
#define DPORT          TERM(DPORT_IN_SET, .set = RULESET_PORTS)
#define SPORT          TERM(SPORT_IN_SET, .set = RULESET_PORTS)
#define LISTENERS      TERM(DPORT_LISTENERS)
#define EXCLUDED4      TERM(DADDR4_IN_SET, .set = RULESET_EXCLUDE4)
#define EXCLUDED6      TERM(DADDR6_IN_SET, .set = RULESET_EXCLUDE6)
#define FROM_EXCLUDED4 TERM(SADDR4_IN_SET, .set = RULESET_EXCLUDE4)
#define FROM_EXCLUDED6 TERM(SADDR6_IN_SET, .set = RULESET_EXCLUDE6)
#define LOCAL          TERM(DADDR_LOCAL)
#define FROM_LOCAL     TERM(SADDR_LOCAL)
#define MISROUTED      TERM(SADDR_MISROUTED)
#define LOOPBACK       TERM(OIF_LOOPBACK)
#define ELSEWHERE4     TERM(NEXTHOP4_ELSEWHERE)
#define ELSEWHERE6     TERM(NEXTHOP6_ELSEWHERE)
#define TCP            TERM(TCP)
#define ORIGINAL       TERM(CT_ORIGINAL_DIRECTION)
#define REPLY          TERM(CT_REPLY_DIRECTION)
#define WAS_DPORT      TERM(CT_ORIGINAL_PORT_IN, .set = RULESET_PORTS)
#define BY_LOOPBACK4   TERM(CT_REPLY_LOOPBACK4)
#define BY_LOOPBACK6   TERM(CT_REPLY_LOOPBACK6)
#define NOT_DNAT       TERM(CT_NOT_DNAT)
#define UNTRACKED      TERM(CT_UNTRACKED)
#define COUNT(name)    TERM(COUNT, .counter = RULESET_##name)
#define ACCEPT         TERM(ACCEPT)
#define DROP           TERM(DROP)
#define RESET          TERM(RESET)
#define REDIRECT       TERM(REDIRECT)
#define ROUTING6       TERM(ROUTING6)

/* IPv4, and its header longer than without options. */
#define FIRST_WORD(...) TERM(BYTES, .bytes = {.network = true, .len = 2, __VA_ARGS__})
#define VERSION4        FIRST_WORD(.mask = 0xf000, .value = 0x4000)
#define OPTIONS4        FIRST_WORD(.mask = 0x0f00, .value = 0x0500, .differ = true)

/* The number of terms counts itself. */
#define RULE(in, ...)                                                                                     \
	{                                                                                                 \
		.chain = in, .terms = {__VA_ARGS__},                                                      \
		.term_count = sizeof((struct ruleset_term[]){__VA_ARGS__}) / sizeof(struct ruleset_term), \
	}

/*
 * What goes to the host's own addresses is left alone throughout: injection into the mail server
 * under test must keep working. Exclusions look at the destination on the wire, so no foreign nat
 * can carry a packet through an exclusion to somewhere else.
 */
static const struct ruleset_rule divert_rules[] = {
	RULE(DIVERT_PREROUTING, DPORT, LOCAL, ACCEPT),
	RULE(DIVERT_PREROUTING, DPORT, EXCLUDED4, COUNT(EXCLUDED), ACCEPT),
	RULE(DIVERT_PREROUTING, DPORT, EXCLUDED6, COUNT(EXCLUDED), ACCEPT),
	/* A spoofed source: the listener's answers would leave by another device. The guard rejects it. */
	RULE(DIVERT_PREROUTING, DPORT, MISROUTED, ACCEPT),
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
};

/*
 * A spoofed source gets no reset: that would leave. The last rules of forward and output are for what a foreign nat
 * took from a diverted port to another one, and for a diverted connection whose socket is bound to a
 * device, so that its route does not lead to lo: postrouting would stop them, too, but only here can they be told so. What
 * goes to an excluded network is let go to whatever port: a container's published port 25 is another one in there.
 */
static const struct ruleset_rule guard_rules[] = {
	RULE(GUARD_FORWARD, EXCLUDED4, ACCEPT),
	RULE(GUARD_FORWARD, EXCLUDED6, ACCEPT),
	RULE(GUARD_FORWARD, DPORT, MISROUTED, COUNT(REJECTED_FORWARD), DROP),
	RULE(GUARD_FORWARD, DPORT, COUNT(REJECTED_FORWARD), RESET),
	RULE(GUARD_FORWARD, TCP, ORIGINAL, WAS_DPORT, MISROUTED, COUNT(REJECTED_FORWARD), DROP),
	RULE(GUARD_FORWARD, TCP, ORIGINAL, WAS_DPORT, COUNT(REJECTED_FORWARD), RESET),

	RULE(GUARD_OUTPUT, DPORT, LOCAL, ACCEPT),
	RULE(GUARD_OUTPUT, EXCLUDED4, ACCEPT),
	RULE(GUARD_OUTPUT, EXCLUDED6, ACCEPT),
	RULE(GUARD_OUTPUT, DPORT, FROM_LOCAL, COUNT(REJECTED_OUTPUT), RESET),
	RULE(GUARD_OUTPUT, DPORT, COUNT(REJECTED_OUTPUT), DROP),
	RULE(GUARD_OUTPUT, TCP, ORIGINAL, WAS_DPORT, ELSEWHERE4, FROM_LOCAL, COUNT(REJECTED_OUTPUT), RESET),
	RULE(GUARD_OUTPUT, TCP, ORIGINAL, WAS_DPORT, ELSEWHERE6, FROM_LOCAL, COUNT(REJECTED_OUTPUT), RESET),

	/*
	 * What reaches lo stays here. A source route (an IPv4 option, a routing header) would carry mail for an
	 * excluded neighbour on to somebody else: the exclusions come behind that. The seventh rule is for what a
	 * foreign nat took from a diverted port to another one, and for diverted packets that are about to leave
	 * after all. Untracked packets have no original port: their own one says it all.
	 */
	RULE(GUARD_POSTROUTING, LOOPBACK, ACCEPT),
	RULE(GUARD_POSTROUTING, DPORT, VERSION4, OPTIONS4, COUNT(DROPPED_POSTROUTING), DROP),
	RULE(GUARD_POSTROUTING, ROUTING6, DPORT, COUNT(DROPPED_POSTROUTING), DROP),
	RULE(GUARD_POSTROUTING, EXCLUDED4, ACCEPT),
	RULE(GUARD_POSTROUTING, EXCLUDED6, ACCEPT),
	RULE(GUARD_POSTROUTING, DPORT, COUNT(DROPPED_POSTROUTING), DROP),
	RULE(GUARD_POSTROUTING, TCP, ORIGINAL, WAS_DPORT, COUNT(DROPPED_POSTROUTING), DROP),

	/*
	 * Replies. A connection that was diverted in output was this host's own, so its replies go to
	 * lo; where they do not, its source was spoofed. One that was diverted in prerouting, or rejected in
	 * forward, belongs to a container or guest, to whom its replies go (MISROUTED, above). Then the
	 * host's own mail server, and those of excluded networks. Who else speaks from a diverted port says
	 * to somebody outside that mail was sent.
	 */
	RULE(GUARD_POSTROUTING, SPORT, REPLY, BY_LOOPBACK4, COUNT(DROPPED_REPLIES), DROP),
	RULE(GUARD_POSTROUTING, SPORT, REPLY, BY_LOOPBACK6, COUNT(DROPPED_REPLIES), DROP),
	RULE(GUARD_POSTROUTING, SPORT, REPLY, ACCEPT),
	RULE(GUARD_POSTROUTING, SPORT, FROM_LOCAL, ACCEPT),
	RULE(GUARD_POSTROUTING, SPORT, FROM_EXCLUDED4, ACCEPT),
	RULE(GUARD_POSTROUTING, SPORT, FROM_EXCLUDED6, ACCEPT),
	RULE(GUARD_POSTROUTING, SPORT, COUNT(DROPPED_REPLIES), DROP),
};

static const struct ruleset_table identities[RULESET_TABLES] = {
	[RULESET_GUARD] = {RULESET_GUARD, "mxmirage", NFPROTO_INET, true},
	[RULESET_EGRESS] = {RULESET_EGRESS, "mxmirage", NFPROTO_NETDEV, true},
	[RULESET_BRIDGE] = {RULESET_BRIDGE, "mxmirage", NFPROTO_BRIDGE, true},
	[RULESET_WALL] = {RULESET_WALL, "mxmirage_static", NFPROTO_INET, false},
	[RULESET_WALL_EGRESS] = {RULESET_WALL_EGRESS, "mxmirage_static", NFPROTO_NETDEV, false},
	[RULESET_WALL_BRIDGE] = {RULESET_WALL_BRIDGE, "mxmirage_static", NFPROTO_BRIDGE, false},
};

const struct ruleset_table *ruleset_table_identity(enum ruleset_table_id id)
{
	return &identities[id];
}

const char *ruleset_family_name(const struct ruleset_table *table)
{
	switch (table->family) {
	case NFPROTO_NETDEV:
		return "netdev";
	case NFPROTO_BRIDGE:
		return "bridge";
	default:
		return "inet";
	}
}

const struct ruleset_chain_spec *ruleset_chain_find(const struct ruleset_table *table, const char *name)
{
	for (size_t i = 0; i < table->chain_count; i++)
		if (strcmp(table->chains[i].name, name) == 0)
			return &table->chains[i];
	return NULL;
}

const char *ruleset_counter_name(enum ruleset_counter counter)
{
	static const char *const names[RULESET_COUNTERS] = {
		[RULESET_DIVERTED] = "diverted",
		[RULESET_EXCLUDED] = "excluded",
		[RULESET_REJECTED_OUTPUT] = "rejected_output",
		[RULESET_REJECTED_FORWARD] = "rejected_forward",
		[RULESET_DROPPED_POSTROUTING] = "dropped_postrouting",
		[RULESET_DROPPED_REPLIES] = "dropped_replies",
		[RULESET_DROPPED_EGRESS] = "dropped_egress",
		[RULESET_UNDIVERTED_REFUSED] = "undiverted_refused",
	};
	return names[counter];
}

bool ruleset_add_chain(struct ruleset_table *table, const struct ruleset_chain_spec *chain)
{
	struct ruleset_chain_spec *more =
		realloc(table->chains, (table->chain_count + 1) * sizeof(*table->chains));
	if (!more)
		return false;
	table->chains = more;
	table->chains[table->chain_count++] = *chain;
	return true;
}

bool ruleset_add_rule(struct ruleset_table *table, const struct ruleset_rule *rule)
{
	struct ruleset_rule *more = realloc(table->rules, (table->rule_count + 1) * sizeof(*table->rules));
	if (!more)
		return false;
	table->rules = more;
	table->rules[table->rule_count++] = *rule;
	for (size_t i = 0; i < rule->term_count; i++)
		if (rule->terms[i].kind == RULESET_COUNT)
			table->counters |= 1u << rule->terms[i].counter;
	return true;
}

/* The ruleset and what its tables point to: a reload frees the conf that it came from. */
struct storage {
	struct ruleset ruleset;
	struct ruleset_set_spec sets[RULESET_SETS];
	uint16_t ports[CONF_PORTS_MAX];
	struct ruleset_device *devices;
	size_t device_count;
	struct conf_block blocks[];
};

static void storage_sets(struct storage *storage, const struct conf *conf)
{
	memcpy(storage->ports, conf->divert.ports, sizeof(storage->ports));
	storage->sets[RULESET_PORTS] = (struct ruleset_set_spec){
		"ports", RULESET_SET_SERVICE, .ports = storage->ports, .count = conf->divert.port_count};

	size_t count = conf->divert.exclude_count, v4 = 0;
	for (size_t i = 0; i < count; i++) {
		storage->blocks[i] = conf->divert.exclude[i];
		v4 += storage->blocks[i].family == AF_INET;
	}
	storage->sets[RULESET_EXCLUDE4] = (struct ruleset_set_spec){
		"exclude4", RULESET_SET_IPV4, .blocks = storage->blocks, .count = v4};
	storage->sets[RULESET_EXCLUDE6] = (struct ruleset_set_spec){
		"exclude6", RULESET_SET_IPV6, .blocks = storage->blocks + v4, .count = count - v4};
}

#define ADD_ALL(table, chains, add)                                             \
	for (size_t i = 0; i < sizeof(chains) / sizeof((chains)[0]) && ok; i++) \
		ok = add(table, &(chains)[i]);

static bool table_fill(struct storage *storage, struct ruleset_table *table, enum ruleset_table_id id,
	const struct conf *conf)
{
	*table = identities[id];
	table->sets = storage->sets;
	table->listen_first = conf->listen.port_first;
	table->listen_last = conf->listen.port_last;
	bool ok = true;
	switch (id) {
	case RULESET_GUARD:
		ADD_ALL(table, guard_chains, ruleset_add_chain)
		ADD_ALL(table, divert_rules, ruleset_add_rule)
		ADD_ALL(table, guard_rules, ruleset_add_rule)
		return ok;
	case RULESET_WALL:
		ADD_ALL(table, wall_chains, ruleset_add_chain)
		ADD_ALL(table, guard_rules, ruleset_add_rule)
		return ok;
	case RULESET_EGRESS:
		return ruleset_fill_egress(table, GUARD_PRIORITY, storage->devices, storage->device_count);
	case RULESET_WALL_EGRESS:
		return ruleset_fill_egress(table, WALL_PRIORITY, storage->devices, storage->device_count);
	case RULESET_BRIDGE:
		return ruleset_fill_bridge(table, GUARD_PRIORITY);
	case RULESET_WALL_BRIDGE:
		return ruleset_fill_bridge(table, WALL_PRIORITY);
	case RULESET_TABLES:
		break;
	}
	return false;
}

struct ruleset *ruleset_new(
	const struct conf *conf, unsigned tables, const struct ruleset_devices *devices, struct err *err)
{
	size_t excluded = conf->divert.exclude_count;
	struct storage *storage = calloc(1, sizeof(*storage) + excluded * sizeof(storage->blocks[0]));
	if (!storage)
		goto fail;
	storage_sets(storage, conf);
	if (!ruleset_name_devices(&storage->devices, &storage->device_count, devices, conf))
		goto fail;
	for (enum ruleset_table_id id = 0; id < RULESET_TABLES; id++)
		if (tables & 1u << id) {
			struct ruleset_table *table =
				&storage->ruleset.tables[storage->ruleset.table_count++];
			if (!table_fill(storage, table, id, conf))
				goto fail;
		}
	return &storage->ruleset;
fail:
	if (storage)
		ruleset_free(&storage->ruleset);
	err_set(err, -ENOMEM, "no memory for the rules (%zu exclusions, %zu devices)", excluded,
		devices ? devices->count : 0);
	return NULL;
}

void ruleset_free(struct ruleset *ruleset)
{
	if (!ruleset)
		return;
	for (size_t i = 0; i < ruleset->table_count; i++) {
		free(ruleset->tables[i].chains);
		free(ruleset->tables[i].rules);
	}
	/* The ruleset is the first member of its storage. */
	struct storage *storage = (struct storage *)ruleset;
	free(storage->devices);
	free(storage);
}
