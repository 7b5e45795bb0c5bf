/*
 * survey_rule: reads one foreign rule: which of the diverted ports it lets through to its end, what it does
 * there, and how a person would say it. It follows no jump and asks no kernel; sets come from the caller.
 */
#ifndef MX_SURVEY_RULE_H
#define MX_SURVEY_RULE_H

#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of ports: bit i is the i-th diverted port, the last bit stands for all others. */
typedef uint32_t port_mask;
#define PORT_MASK_OTHERS (1u << 31)

struct survey_ports {
	const uint16_t *ports; /* host order */
	size_t count;          /* at most 31 */
};

/* A jump, or the way on that an element of a verdict map shows. */
struct survey_jump {
	const char *chain; /* the rule's or set's own storage */
	port_mask ports;
};

#define SURVEY_JUMPS_MAX 32

struct survey_reading {
	port_mask ports; /* that get to the rule's end */
	bool exact;      /* all that do match: nothing but ports and protocol was asked for */
	/*
	 * Who gets to the end does not go on behind the rule. Not set for one that rewrites: what it hides would
	 * be next once it is removed.
	 */
	bool terminal;
	bool rewrites;    /* destination nat */
	uint16_t to_port; /* 0: the port stays, or is not known */
	bool iptables;    /* x_tables' expressions */
	struct survey_jump jumps[SURVEY_JUMPS_MAX];
	size_t jump_count;
	char words[256];
};

/* Gives the set of that name with its elements, or NULL. */
typedef const struct nftnl_set *survey_set_find(void *data, const char *name);

/* ports: those that get to the rule. */
void survey_rule_read(struct survey_reading *reading, const struct nftnl_rule *rule,
	const struct survey_ports *known, port_mask ports, survey_set_find *find, void *data);

#endif
