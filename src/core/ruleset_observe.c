#include "ruleset_observe.h"

#include <string.h>

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

static bool is_stop(const struct ruleset_rule *rule)
{
	enum ruleset_kind last = rule->terms[rule->term_count - 1].kind;
	return last == RULESET_RESET || last == RULESET_DROP;
}

/* The same matches, with `shown` in the place of counter and verdict. */
static struct ruleset_rule rule_shown(
	const struct ruleset_rule *rule, enum ruleset_chain chain, enum ruleset_kind shown)
{
	struct ruleset_rule copy = *rule;
	size_t matches = 0;
	while (matches < rule->term_count && rule->terms[matches].kind < RULESET_COUNT)
		matches++;
	copy.chain = chain;
	copy.terms[matches] = (struct ruleset_term){.kind = RULESET_LIMIT};
	copy.terms[matches + 1] = (struct ruleset_term){.kind = shown};
	copy.term_count = matches + 2;
	return copy;
}

static void rule_insert(struct ruleset *ruleset, size_t at, struct ruleset_rule rule)
{
	memmove(&ruleset->rules[at + 1], &ruleset->rules[at],
		(ruleset->rule_count - at) * sizeof(ruleset->rules[0]));
	ruleset->rules[at] = rule;
	ruleset->rule_count++;
}

/*
 * A queued packet comes back to the next chain, not to the next rule: the guard's rules again, in a chain before
 * it, exceptions and verdict included, so that what is above the limit is looked at once only.
 */
static void output_queue(struct ruleset *ruleset, enum ruleset_kind queue)
{
	size_t count = ruleset->rule_count;
	for (size_t i = 0; i < count; i++) {
		struct ruleset_rule rule = ruleset->rules[i];
		if (rule.chain != RULESET_GUARD_OUTPUT)
			continue;
		rule.chain = RULESET_ESCAPE_OUTPUT;
		if (is_stop(&rule))
			rule_insert(ruleset, ruleset->rule_count, rule_shown(&rule, rule.chain, queue));
		rule_insert(ruleset, ruleset->rule_count, rule);
	}
}

static void chain_log(struct ruleset *ruleset, enum ruleset_chain chain)
{
	for (size_t i = 0; i < ruleset->rule_count; i++)
		if (ruleset->rules[i].chain == chain && is_stop(&ruleset->rules[i])) {
			rule_insert(ruleset, i, rule_shown(&ruleset->rules[i], chain, RULESET_LOG));
			i++;
		}
}

void ruleset_observe(struct ruleset *ruleset, const struct ruleset_observation *observation)
{
	switch (observation->output) {
	case RULESET_BY_NFT_QUEUE:
		output_queue(ruleset, RULESET_QUEUE);
		break;
	case RULESET_BY_XT_QUEUE:
		output_queue(ruleset, RULESET_QUEUE_XT);
		break;
	case RULESET_BY_LOG:
		chain_log(ruleset, RULESET_GUARD_OUTPUT);
		break;
	default:
		break;
	}
	if (!observation->log)
		return;
	chain_log(ruleset, RULESET_GUARD_FORWARD);
	chain_log(ruleset, RULESET_GUARD_POSTROUTING);
}
