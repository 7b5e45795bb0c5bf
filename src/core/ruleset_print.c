#include "ruleset.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <string.h>

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

static const char *hook_name(const struct ruleset_table *table, const struct ruleset_chain_spec *chain)
{
	return table->family == NFPROTO_NETDEV ? "egress" : hook_names[chain->hook];
}

/* A term's text is a format with at most one argument, of the sort that follows it. */
static const struct term_form {
	const char *format;
	enum {
		PLAIN,
		SET,
		COUNTER,
		LISTENERS,
		BYTES
	} argument;
} term_forms[RULESET_KINDS] = {
	[RULESET_DPORT_IN_SET] = {"tcp dport @", SET},
	[RULESET_DPORT_ANY] = {"tcp dport 0-65535", PLAIN},
	[RULESET_SPORT_IN_SET] = {"tcp sport @", SET},
	[RULESET_DPORT_LISTENERS] = {"tcp dport ", LISTENERS},
	[RULESET_DADDR4_IN_SET] = {"ip daddr @", SET},
	[RULESET_DADDR6_IN_SET] = {"ip6 daddr @", SET},
	[RULESET_SADDR4_IN_SET] = {"ip saddr @", SET},
	[RULESET_SADDR6_IN_SET] = {"ip6 saddr @", SET},
	[RULESET_DADDR_LOCAL] = {"fib daddr type local", PLAIN},
	[RULESET_SADDR_LOCAL] = {"fib saddr type local", PLAIN},
	[RULESET_SADDR_MISROUTED] = {"fib saddr . iif oif missing", PLAIN},
	[RULESET_OIF_LOOPBACK] = {"oif \"lo\"", PLAIN},
	[RULESET_OIF_ETHERNET] = {"meta oiftype ether", PLAIN},
	[RULESET_OIF_BARE] = {"meta oiftype 65534", PLAIN},
	[RULESET_NEXTHOP4_ELSEWHERE] = {"rt ip nexthop != 127.0.0.1", PLAIN},
	[RULESET_NEXTHOP6_ELSEWHERE] = {"rt ip6 nexthop != ::1", PLAIN},
	[RULESET_TCP] = {"meta l4proto tcp", PLAIN},
	[RULESET_IP4] = {"meta protocol ip", PLAIN},
	[RULESET_IP6] = {"meta protocol ip6", PLAIN},
	[RULESET_FRAGMENT4] = {"ip protocol tcp ip frag-off & 8191 != 0", PLAIN},
	[RULESET_FRAGMENT6] = {"meta l4proto tcp frag frag-off != 0", PLAIN},
	[RULESET_ROUTING6] = {"exthdr rt exists", PLAIN},
	/* 255 is reserved: nobody's. Where the kernel found none at all, nothing matches. */
	[RULESET_READABLE] = {"meta l4proto != 255", PLAIN},
	[RULESET_BYTES] = {"", BYTES},
	[RULESET_CT_ORIGINAL_DIRECTION] = {"ct direction original", PLAIN},
	[RULESET_CT_REPLY_DIRECTION] = {"ct direction reply", PLAIN},
	[RULESET_CT_ORIGINAL_PORT_IN] = {"ct original proto-dst @", SET},
	[RULESET_CT_REPLY_LOOPBACK4] = {"ct reply ip saddr 127.0.0.1", PLAIN},
	[RULESET_CT_REPLY_LOOPBACK6] = {"ct reply ip6 saddr ::1", PLAIN},
	[RULESET_CT_NOT_DNAT] = {"ct status ! dnat", PLAIN},
	[RULESET_CT_UNTRACKED] = {"ct state untracked", PLAIN},
	[RULESET_COUNT] = {"counter name ", COUNTER},
	[RULESET_LIMIT] = {"limit rate " TEXT(RULESET_ESCAPE_RATE) "/second burst " TEXT(
				   RULESET_ESCAPE_BURST) " packets",
		PLAIN},
	[RULESET_LOG] = {"log group " TEXT(RULESET_ESCAPE_NUMBER), PLAIN},
	[RULESET_QUEUE] = {"queue flags bypass to " TEXT(RULESET_ESCAPE_NUMBER), PLAIN},
	/* The xt target, as nft lists it with the help of libxtables. */
	[RULESET_QUEUE_XT] = {"queue num " TEXT(RULESET_ESCAPE_NUMBER) " bypass", PLAIN},
	[RULESET_ACCEPT] = {"accept", PLAIN},
	[RULESET_DROP] = {"drop", PLAIN},
	[RULESET_RESET] = {"reject with tcp reset", PLAIN},
	[RULESET_REDIRECT] = {"redirect to :", LISTENERS},
	[RULESET_JUMP_EGRESS] = {"jump egress", PLAIN},
	[RULESET_GOTO_STOPPED] = {"goto stopped", PLAIN},
};

static void bytes_print(const struct ruleset_bytes *bytes, FILE *to)
{
	fprintf(to, "@%s,%u,%u ", bytes->network ? "nh" : "ll", bytes->offset * 8u, bytes->len * 8u);
	if (bytes->mask)
		fprintf(to, "& 0x%x ", bytes->mask);
	fprintf(to, "%s0x%x", bytes->differ ? "!= " : bytes->mask ? "== " : "", bytes->value);
}

static void term_print(const struct ruleset_table *table, const struct ruleset_term *term, FILE *to)
{
	const struct term_form *form = &term_forms[term->kind];
	fputs(form->format, to);
	switch (form->argument) {
	case PLAIN:
		break;
	case SET:
		fputs(table->sets[term->set].name, to);
		break;
	case COUNTER:
		fprintf(to, "\"%s\"", ruleset_counter_name(term->counter));
		break;
	case LISTENERS:
		fprintf(to, "%u", table->listen_first);
		if (table->listen_last != table->listen_first)
			fprintf(to, "-%u", table->listen_last);
		break;
	case BYTES:
		bytes_print(&term->bytes, to);
		break;
	}
}

void ruleset_print_rule(const struct ruleset_table *table, const struct ruleset_rule *rule, FILE *to)
{
	for (size_t i = 0; i < rule->term_count; i++) {
		if (i > 0)
			fputc(' ', to);
		term_print(table, &rule->terms[i], to);
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

static void chain_print(const struct ruleset_table *table, const struct ruleset_chain_spec *chain, FILE *to)
{
	fprintf(to, "\tchain %s {\n", chain->name);
	if (chain->type) {
		fprintf(to, "\t\ttype %s hook %s ", chain->type, hook_name(table, chain));
		if (chain->device)
			fprintf(to, "device \"%s\" ", chain->device);
		/* nft knows 0 by name, and none of our other priorities. */
		if (chain->priority == 0)
			fputs("priority filter", to);
		else
			fprintf(to, "priority %d", chain->priority);
		fputs("; policy accept;\n", to);
	}
	for (size_t i = 0; i < table->rule_count; i++) {
		if (strcmp(table->rules[i].chain, chain->name) != 0)
			continue;
		fputs("\t\t", to);
		ruleset_print_rule(table, &table->rules[i], to);
		fputc('\n', to);
	}
	fputs("\t}\n", to);
}

static void table_print(const struct ruleset_table *table, FILE *to)
{
	fprintf(to, "table %s %s {\n", ruleset_family_name(table), table->name);
	for (int i = 0; i < RULESET_COUNTERS; i++)
		if (table->counters & 1u << i)
			fprintf(to, "\tcounter %s {\n\t}\n\n", ruleset_counter_name(i));
	for (int i = 0; i < RULESET_SETS; i++)
		set_print(&table->sets[i], to);
	for (size_t i = 0; i < table->chain_count; i++) {
		if (i > 0)
			fputc('\n', to);
		chain_print(table, &table->chains[i], to);
	}
	fputs("}\n", to);
}

void ruleset_print(const struct ruleset *ruleset, FILE *to)
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		table_print(&ruleset->tables[i], to);
}
