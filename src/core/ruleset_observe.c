#include "ruleset_observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ruleset_internal.h"

/* A queued packet comes back to the next chain: the guard's. */
#define ESCAPE_OUTPUT "escape_output"
#define GUARD_OUTPUT  "guard_output"
/* Where all that is stopped at a device ends. */
#define STOPPED "stopped"

const char *ruleset_means_name(enum ruleset_means means)
{
	static const char *const names[RULESET_MEANS] = {
		[RULESET_BY_NFT_QUEUE] = "nft_queue",
		[RULESET_BY_XT_QUEUE] = "xt_nfqueue",
		[RULESET_BY_LOG] = "nflog",
		[RULESET_BY_COUNTERS] = "counters",
	};
	return names[means];
}

/* What is stopped on the way to a diverted port; replies from there are nobody's try. */
static bool is_stop(const struct ruleset_rule *rule)
{
	enum ruleset_kind last = rule->terms[rule->term_count - 1].kind;
	if (last != RULESET_RESET && last != RULESET_DROP)
		return false;
	for (size_t i = 0; i < rule->term_count; i++)
		if (rule->terms[i].kind == RULESET_COUNT && rule->terms[i].counter == RULESET_DROPPED_REPLIES)
			return false;
	return true;
}

static size_t match_count(const struct ruleset_rule *rule)
{
	size_t count = 0;
	while (count < rule->term_count && rule->terms[count].kind < RULESET_COUNT)
		count++;
	return count;
}

/*
 * The last of the stops from `at` on that each take what the one before leaves of the same packets (reset these, drop
 * the others): what it matches covers theirs, so that one look, and one limit, does for them all.
 */
static size_t stops_end(const struct ruleset_table *table, size_t at)
{
	for (; at + 1 < table->rule_count; at++) {
		const struct ruleset_rule *rule = &table->rules[at], *next = rule + 1;
		size_t matches = match_count(next);
		if (strcmp(rule->chain, next->chain) != 0 || !is_stop(next) || matches > match_count(rule) ||
			memcmp(rule->terms, next->terms, matches * sizeof(rule->terms[0])) != 0)
			break;
	}
	return at;
}

/* Puts `count` terms behind the matches, in the place of counter and verdict. */
static struct ruleset_rule rule_ending(
	const struct ruleset_rule *rule, size_t count, const enum ruleset_kind *kinds)
{
	struct ruleset_rule copy = *rule;
	copy.term_count = match_count(rule);
	for (size_t i = 0; i < count; i++)
		copy.terms[copy.term_count++] = (struct ruleset_term){.kind = kinds[i]};
	return copy;
}

static struct ruleset_rule rule_shown(const struct ruleset_rule *rule, enum ruleset_kind means)
{
	return rule_ending(rule, 2, (const enum ruleset_kind[]){RULESET_LIMIT, means});
}

/* Before the one that stands at `at`. */
static bool chain_insert(struct ruleset_table *table, size_t at, struct ruleset_chain_spec chain)
{
	if (!ruleset_add_chain(table, &chain))
		return false;
	memmove(&table->chains[at + 1], &table->chains[at],
		(table->chain_count - 1 - at) * sizeof(table->chains[0]));
	table->chains[at] = chain;
	return true;
}

static bool rule_insert(struct ruleset_table *table, size_t at, struct ruleset_rule rule)
{
	if (!ruleset_add_rule(table, &rule))
		return false;
	memmove(&table->rules[at + 1], &table->rules[at],
		(table->rule_count - 1 - at) * sizeof(table->rules[0]));
	table->rules[at] = rule;
	return true;
}

/*
 * The guard's rules again, in a chain before it, exceptions and verdict included: what is above the limit is
 * rejected there and looked at once only, what was queued meets them again.
 */
static bool output_queue(struct ruleset_table *table, enum ruleset_kind queue)
{
	size_t at = 0, count = table->rule_count;
	while (strcmp(table->chains[at].name, GUARD_OUTPUT) != 0)
		at++;
	struct ruleset_chain_spec chain = table->chains[at];
	chain.name = ESCAPE_OUTPUT;
	chain.priority--;
	bool ok = chain_insert(table, at, chain);
	size_t seen = 0; /* rules before this one need not be shown any more */
	for (size_t i = 0; i < count && ok; i++) {
		struct ruleset_rule rule = table->rules[i];
		if (strcmp(rule.chain, GUARD_OUTPUT) != 0)
			continue;
		rule.chain = ESCAPE_OUTPUT;
		if (i >= seen && is_stop(&rule)) {
			size_t last = stops_end(table, i);
			struct ruleset_rule shown = rule_shown(&table->rules[last], queue);
			shown.chain = ESCAPE_OUTPUT;
			ok = ruleset_add_rule(table, &shown);
			seen = last + 1;
		}
		ok = ok && ruleset_add_rule(table, &rule);
	}
	return ok;
}

static bool chain_log(struct ruleset_table *table, const char *chain)
{
	bool ok = true;
	for (size_t i = 0; i < table->rule_count && ok; i++)
		if (strcmp(table->rules[i].chain, chain) == 0 && is_stop(&table->rules[i])) {
			size_t last = stops_end(table, i);
			ok = rule_insert(table, i, rule_shown(&table->rules[last], RULESET_LOG));
			i = last + 1;
		}
	return ok;
}

/* There are many rules at a device: they end in one place, which shows, counts and drops. */
static bool egress_log(struct ruleset_table *table)
{
	static const enum ruleset_kind end[] = {RULESET_GOTO_STOPPED};
	for (size_t i = 0; i < table->rule_count; i++)
		if (is_stop(&table->rules[i]))
			table->rules[i] = rule_ending(&table->rules[i], 1, end);
	const struct ruleset_rule stop = {
		.chain = STOPPED,
		.terms = {{.kind = RULESET_COUNT, .counter = RULESET_DROPPED_EGRESS}, {.kind = RULESET_DROP}},
		.term_count = 2,
	};
	struct ruleset_rule shown = rule_shown(&stop, RULESET_LOG);
	return chain_insert(table, 0, (struct ruleset_chain_spec){.name = STOPPED}) &&
	       ruleset_add_rule(table, &shown) && ruleset_add_rule(table, &stop);
}

static bool table_observe(struct ruleset_table *table, const struct ruleset_observation *observation)
{
	if (table->id == RULESET_EGRESS || table->id == RULESET_BRIDGE)
		return !observation->log || egress_log(table);
	if (table->id != RULESET_GUARD)
		return true;
	bool ok = true;
	if (observation->output == RULESET_BY_NFT_QUEUE)
		ok = output_queue(table, RULESET_QUEUE);
	else if (observation->output == RULESET_BY_XT_QUEUE)
		ok = output_queue(table, RULESET_QUEUE_XT);
	else if (observation->output == RULESET_BY_LOG)
		ok = chain_log(table, GUARD_OUTPUT);
	if (ok && observation->log)
		ok = chain_log(table, "guard_forward") && chain_log(table, "guard_postrouting");
	return ok;
}

int ruleset_observe(struct ruleset *ruleset, const struct ruleset_observation *observation, struct err *err)
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		if (!table_observe(&ruleset->tables[i], observation))
			return err_set(err, -ENOMEM, "no memory for the rules that show what is stopped");
	return 0;
}
