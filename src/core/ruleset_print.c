#include "ruleset.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>

static const struct set_form {
	const char *type;
	const char *flags;
	unsigned per_line; /* elements, as nft breaks its lines */
} set_forms[] = {
	[RULESET_SET_SERVICE] = {"inet_service", NULL, 5},
	[RULESET_SET_IPV4] = {"ipv4_addr", "interval", 2},
	[RULESET_SET_IPV6] = {"ipv6_addr", "interval", 1},
};

static const char *const hook_names[] = {
	[NF_INET_PRE_ROUTING] = "prerouting",
	[NF_INET_LOCAL_IN] = "input",
	[NF_INET_FORWARD] = "forward",
	[NF_INET_LOCAL_OUT] = "output",
	[NF_INET_POST_ROUTING] = "postrouting",
};

#define TEXT_OF(number) #number
#define TEXT(name)      TEXT_OF(name)

/* A term's text is a format with at most one argument, of the sort that follows it. */
static const struct term_form {
	const char *format;
	enum {
		PLAIN,
		SET,
		COUNTER,
		LISTENERS
	} argument;
} term_forms[RULESET_KINDS] = {
	[RULESET_DPORT_IN_SET] = {"tcp dport @", SET},
	[RULESET_DPORT_LISTENERS] = {"tcp dport ", LISTENERS},
	[RULESET_DADDR4_IN_SET] = {"ip daddr @", SET},
	[RULESET_DADDR6_IN_SET] = {"ip6 daddr @", SET},
	[RULESET_DADDR_LOCAL] = {"fib daddr type local", PLAIN},
	[RULESET_OIF_LOOPBACK] = {"oif \"lo\"", PLAIN},
	[RULESET_TCP] = {"meta l4proto tcp", PLAIN},
	[RULESET_CT_ORIGINAL_DIRECTION] = {"ct direction original", PLAIN},
	[RULESET_CT_ORIGINAL_PORT_IN] = {"ct original proto-dst @", SET},
	[RULESET_CT_NOT_DNAT] = {"ct status ! dnat", PLAIN},
	[RULESET_CT_UNTRACKED] = {"ct state untracked", PLAIN},
	[RULESET_COUNT] = {"counter name ", COUNTER},
	[RULESET_LIMIT] = {"limit rate " TEXT(RULESET_ESCAPE_RATE) "/second burst " TEXT(
				   RULESET_ESCAPE_BURST) " packets",
		PLAIN},
	[RULESET_LOG] = {"log group " TEXT(RULESET_ESCAPE_NUMBER), PLAIN},
	[RULESET_QUEUE] = {"queue flags bypass to " TEXT(RULESET_ESCAPE_NUMBER), PLAIN},
	/* nft has no words for it; this is what it lists. */
	[RULESET_QUEUE_XT] = {"xt target \"NFQUEUE\"", PLAIN},
	[RULESET_ACCEPT] = {"accept", PLAIN},
	[RULESET_DROP] = {"drop", PLAIN},
	[RULESET_RESET] = {"reject with tcp reset", PLAIN},
	[RULESET_REDIRECT] = {"redirect to :", LISTENERS},
};

static void term_print(const struct ruleset *ruleset, const struct ruleset_term *term, FILE *to)
{
	const struct term_form *form = &term_forms[term->kind];
	fputs(form->format, to);
	switch (form->argument) {
	case PLAIN:
		break;
	case SET:
		fputs(ruleset->sets[term->set].name, to);
		break;
	case COUNTER:
		fprintf(to, "\"%s\"", ruleset_counter_name(term->counter));
		break;
	case LISTENERS:
		fprintf(to, "%u", ruleset->listen_first);
		if (ruleset->listen_last != ruleset->listen_first)
			fprintf(to, "-%u", ruleset->listen_last);
		break;
	}
}

void ruleset_print_rule(const struct ruleset *ruleset, const struct ruleset_rule *rule, FILE *to)
{
	for (size_t i = 0; i < rule->term_count; i++) {
		if (i > 0)
			fputc(' ', to);
		term_print(ruleset, &rule->terms[i], to);
	}
}

static void element_print(const struct ruleset_set_spec *set, size_t index, FILE *to)
{
	if (set->type == RULESET_SET_SERVICE) {
		fprintf(to, "%u", set->ports[index]);
		return;
	}
	const struct conf_block *block = &set->blocks[index];
	char text[INET6_ADDRSTRLEN];
	fputs(inet_ntop(block->family, block->address, text, sizeof(text)), to);
	if (block->prefix != (block->family == AF_INET ? 32 : 128))
		fprintf(to, "/%u", block->prefix);
}

static void set_print(const struct ruleset_set_spec *set, FILE *to)
{
	const struct set_form *form = &set_forms[set->type];
	fprintf(to, "\tset %s {\n\t\ttype %s\n", set->name, form->type);
	if (form->flags)
		fprintf(to, "\t\tflags %s\n", form->flags);
	if (set->count > 0) {
		fputs("\t\telements = { ", to);
		for (size_t i = 0; i < set->count; i++) {
			if (i > 0)
				fputs(i % form->per_line == 0 ? ",\n\t\t\t     " : ", ", to);
			element_print(set, i, to);
		}
		fputs(" }\n", to);
	}
	fputs("\t}\n\n", to);
}

static void chain_print(const struct ruleset *ruleset, enum ruleset_chain chain, FILE *to)
{
	const struct ruleset_chain_spec *spec = &ruleset->chains[chain];
	fprintf(to, "\tchain %s {\n\t\ttype %s hook %s priority ", spec->name, spec->type,
		hook_names[spec->hook]);
	/* nft knows 0 by name, and none of our other priorities. */
	if (spec->priority == 0)
		fputs("filter", to);
	else
		fprintf(to, "%d", spec->priority);
	fputs("; policy accept;\n", to);
	for (size_t i = 0; i < ruleset->rule_count; i++) {
		if (ruleset->rules[i].chain != chain)
			continue;
		fputs("\t\t", to);
		ruleset_print_rule(ruleset, &ruleset->rules[i], to);
		fputc('\n', to);
	}
	fputs("\t}\n", to);
}

void ruleset_print(const struct ruleset *ruleset, FILE *to)
{
	fprintf(to, "table inet %s {\n", RULESET_TABLE);
	for (int i = 0; i < RULESET_COUNTERS; i++)
		fprintf(to, "\tcounter %s {\n\t}\n\n", ruleset_counter_name(i));
	for (int i = 0; i < RULESET_SETS; i++)
		set_print(&ruleset->sets[i], to);
	for (int i = 0; i < RULESET_CHAINS; i++) {
		if (i > 0)
			fputc('\n', to);
		chain_print(ruleset, i, to);
	}
	fputs("}\n", to);
}
