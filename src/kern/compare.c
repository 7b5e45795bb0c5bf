#include "compare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"

/* Always one of the diverted ports. */
#define SMTP_PORT 25

struct comparison {
	const struct kernel_table *table;
	const struct ruleset_table *rules;
	bool devices_by_name; /* chains of devices that do not exist are expected, too */
	struct err *err;
	int code; /* the first difference's; later ones are not looked for */
};

#define differ(comparison, format, ...)                                                                    \
	((comparison)->code = err_set((comparison)->err, -EPROTO,                                          \
		 "table %s %s is not as it was loaded: " format, ruleset_family_name((comparison)->rules), \
		 (comparison)->rules->name, ##__VA_ARGS__))

static int no_memory(struct comparison *comparison)
{
	return comparison->code = err_set(comparison->err, -ENOMEM, "no memory to compare the rules");
}

/* The device of a chain that the kernel listed, or NULL. */
static const char *chain_device(const struct nftnl_chain *chain)
{
	if (nftnl_chain_is_set(chain, NFTNL_CHAIN_DEV))
		return nftnl_chain_get_str(chain, NFTNL_CHAIN_DEV);
	const char *const *devices = nftnl_chain_get(chain, NFTNL_CHAIN_DEVICES);
	return devices && devices[0] && !devices[1] ? devices[0] : NULL;
}

bool compare_is_chain(const struct nftnl_chain *chain, const struct ruleset_chain_spec *spec)
{
	bool hooked = nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM);
	if (!spec->type || !hooked)
		return !spec->type && !hooked;
	const char *device = chain_device(chain);
	return strcmp(nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE), spec->type) == 0 &&
	       nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM) == spec->hook &&
	       nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO) == spec->priority &&
	       (spec->device ? device && strcmp(device, spec->device) == 0 : !device);
}

static int chain_is_known(struct nftnl_chain *chain, void *data)
{
	struct comparison *comparison = data;
	const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
	if (ruleset_chain_find(comparison->rules, name))
		return 0;
	differ(comparison, "chain %s does not belong there", name);
	return -1;
}

static void chain_compare(struct comparison *comparison, const struct ruleset_chain_spec *spec)
{
	struct nftnl_chain *chain = nftnl_chain_list_lookup_byname(comparison->table->chains, spec->name);
	if (!chain)
		differ(comparison, "chain %s is missing", spec->name);
	else if (!compare_is_chain(chain, spec))
		differ(comparison, "chain %s has another type, hook, device or priority", spec->name);
	else if (spec->type && nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) != NF_ACCEPT)
		differ(comparison, "chain %s has another policy than accept", spec->name);
}

/* An expression in libnftnl's words, its name first: two that read alike are alike. */
static void expr_text(const struct nftnl_expr *expr, char *text, size_t size)
{
	int used = snprintf(text, size, "%s ", nftnl_expr_get_str(expr, NFTNL_EXPR_NAME));
	nftnl_expr_snprintf(text + used, size - (size_t)used, expr, NFTNL_OUTPUT_DEFAULT, NFTNL_OF_EVENT_ANY);
}

/* Steps both rules to their end; writes the texts of the first pair that differs. */
static bool rules_equal(
	const struct nftnl_rule *want, const struct nftnl_rule *have, char wanted[256], char found[256])
{
	struct nftnl_expr_iter *want_iter = nftnl_expr_iter_create(want);
	struct nftnl_expr_iter *have_iter = nftnl_expr_iter_create(have);
	bool equal = want_iter && have_iter;
	while (equal) {
		struct nftnl_expr *want_expr = nftnl_expr_iter_next(want_iter);
		struct nftnl_expr *have_expr = nftnl_expr_iter_next(have_iter);
		if (!want_expr && !have_expr)
			break;
		strcpy(wanted, "its end");
		strcpy(found, "its end");
		if (want_expr)
			expr_text(want_expr, wanted, 256);
		if (have_expr)
			expr_text(have_expr, found, 256);
		equal = strcmp(wanted, found) == 0;
	}
	if (want_iter)
		nftnl_expr_iter_destroy(want_iter);
	if (have_iter)
		nftnl_expr_iter_destroy(have_iter);
	return equal;
}

static void rule_compare(struct comparison *comparison, const struct ruleset_rule *rule, unsigned number,
	const struct nftnl_rule *have)
{
	const char *chain = rule->chain;
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	struct nftnl_rule *want = encode_rule(comparison->rules, rule);
	if (to) {
		ruleset_print_rule(comparison->rules, rule, to);
		fclose(to);
	}
	char wanted[256] = "", found[256] = "";
	if (!text || !want)
		no_memory(comparison);
	else if (!have)
		differ(comparison, "rule %u of chain %s is missing (%s)", number, chain, text);
	else if (!rules_equal(want, have, wanted, found))
		differ(comparison, "rule %u of chain %s is not `%s`: [ %s] stands for [ %s]", number, chain,
			text, found, wanted);
	if (want)
		nftnl_rule_free(want);
	free(text);
}

/* The next of the kernel's rules that is of this chain, or NULL. */
static struct nftnl_rule *rule_next(struct nftnl_rule_list_iter *iter, const char *chain)
{
	struct nftnl_rule *rule;
	while ((rule = nftnl_rule_list_iter_next(iter)))
		if (strcmp(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN), chain) == 0)
			break;
	return rule;
}

bool compare_chain_leads(const struct kernel_table *table, const struct ruleset_chain_spec *spec)
{
	struct nftnl_chain *chain =
		table->exists ? nftnl_chain_list_lookup_byname(table->chains, spec->name) : NULL;
	struct nftnl_rule_list_iter *iter =
		chain && compare_is_chain(chain, spec) ? nftnl_rule_list_iter_create(table->rules) : NULL;
	bool leads = iter && rule_next(iter, spec->name);
	if (iter)
		nftnl_rule_list_iter_destroy(iter);
	return leads;
}

static void rules_compare(struct comparison *comparison, const char *name)
{
	const struct ruleset_table *rules = comparison->rules;
	struct nftnl_rule_list_iter *iter = nftnl_rule_list_iter_create(comparison->table->rules);
	if (!iter) {
		no_memory(comparison);
		return;
	}
	unsigned number = 0;
	for (size_t i = 0; i < rules->rule_count && comparison->code == 0; i++)
		if (strcmp(rules->rules[i].chain, name) == 0)
			rule_compare(comparison, &rules->rules[i], ++number, rule_next(iter, name));
	if (comparison->code == 0 && rule_next(iter, name))
		differ(comparison, "chain %s has rules behind its rule %u that do not belong there", name,
			number);
	nftnl_rule_list_iter_destroy(iter);
}

static int set_is_known(struct nftnl_set *set, void *data)
{
	struct comparison *comparison = data;
	const char *name = nftnl_set_get_str(set, NFTNL_SET_NAME);
	for (int i = 0; i < RULESET_SETS; i++)
		if (strcmp(name, comparison->rules->sets[i].name) == 0)
			return 0;
	differ(comparison, "set %s does not belong there", name);
	return -1;
}

/* Ends sort before beginnings: where two blocks touch, the first ends before the second begins. */
static int element_order(const void *left, const void *right)
{
	const struct encode_element *a = left, *b = right;
	int order = memcmp(a->key, b->key, sizeof(a->key));
	return order ? order : (int)b->end - (int)a->end;
}

/* The kernel's elements of a set, sorted, into *elements (the caller's to free); their number or
 * -ENOMEM. */
static ssize_t elements_list(const struct nftnl_set *set, struct encode_element **elements)
{
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	if (!iter)
		return -ENOMEM;
	size_t count = 0, room = 0;
	struct nftnl_set_elem *elem;
	*elements = NULL;
	while ((elem = nftnl_set_elems_iter_next(iter))) {
		if (count == room) {
			room = room * 2 + 64;
			struct encode_element *more = realloc(*elements, room * sizeof(*more));
			if (!more) {
				nftnl_set_elems_iter_destroy(iter);
				return -ENOMEM;
			}
			*elements = more;
		}
		uint32_t len;
		const void *key = nftnl_set_elem_get(elem, NFTNL_SET_ELEM_KEY, &len);
		struct encode_element *element = &(*elements)[count];
		*element = (struct encode_element){0};
		if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_FLAGS))
			element->end = nftnl_set_elem_get_u32(elem, NFTNL_SET_ELEM_FLAGS) &
				       NFT_SET_ELEM_INTERVAL_END;
		if (key && len <= sizeof(element->key))
			memcpy(element->key, key, len);
		/* nft puts one before the first interval: the space up to there ends nothing. */
		static const uint8_t lowest[sizeof(element->key)];
		if (!element->end || memcmp(element->key, lowest, sizeof(lowest)) != 0)
			count++;
	}
	nftnl_set_elems_iter_destroy(iter);
	if (count > 0)
		qsort(*elements, count, sizeof(**elements), element_order);
	return (ssize_t)count;
}

static void element_differ(struct comparison *comparison, const struct ruleset_set_spec *spec,
	const struct encode_element *element, const char *how)
{
	char key[INET6_ADDRSTRLEN];
	if (spec->type == RULESET_SET_SERVICE)
		snprintf(key, sizeof(key), "%u", element->key[0] << 8 | element->key[1]);
	else
		inet_ntop(
			spec->type == RULESET_SET_IPV4 ? AF_INET : AF_INET6, element->key, key, sizeof(key));
	differ(comparison, "set %s: %s %s %s", spec->name,
		element->end ? "the end of a block before" : "element", key, how);
}

static void elements_compare(
	struct comparison *comparison, const struct ruleset_set_spec *spec, const struct nftnl_set *set)
{
	struct encode_element *have = NULL;
	struct encode_element *want = calloc(spec->count * 2 + 1, sizeof(*want));
	ssize_t have_count = elements_list(set, &have);
	if (!want || have_count < 0) {
		no_memory(comparison);
		goto out;
	}
	size_t want_count = encode_elements(spec, want);
	qsort(want, want_count, sizeof(*want), element_order);
	size_t i = 0;
	while (i < want_count && i < (size_t)have_count && element_order(&want[i], &have[i]) == 0)
		i++;
	bool wanted = i < want_count, found = i < (size_t)have_count;
	if (wanted && (!found || element_order(&want[i], &have[i]) < 0))
		element_differ(comparison, spec, &want[i], "is missing");
	else if (found)
		element_differ(comparison, spec, &have[i], "does not belong there");
out:
	free(want);
	free(have);
}

static void set_compare(struct comparison *comparison, const struct ruleset_set_spec *spec)
{
	struct nftnl_set *set = nftnl_set_list_lookup_byname(comparison->table->sets, spec->name);
	if (!set) {
		differ(comparison, "set %s is missing", spec->name);
		return;
	}
	struct nftnl_set *want = encode_set(comparison->rules, spec, 0);
	if (!want) {
		no_memory(comparison);
		return;
	}
	static const uint16_t attributes[] = {NFTNL_SET_FLAGS, NFTNL_SET_KEY_TYPE, NFTNL_SET_KEY_LEN};
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (nftnl_set_get_u32(set, attributes[i]) != nftnl_set_get_u32(want, attributes[i])) {
			differ(comparison, "set %s has another type or other flags", spec->name);
			break;
		}
	nftnl_set_free(want);
	if (comparison->code == 0)
		elements_compare(comparison, spec, set);
}

/* Whether the chain is to stand: one of a device that went, or is yet to come, may not be possible. */
static bool chain_expected(const struct comparison *comparison, const struct ruleset_chain_spec *spec)
{
	return !spec->device || comparison->devices_by_name || if_nametoindex(spec->device) != 0;
}

int compare_table(const struct kernel_table *table, const struct ruleset_table *rules, bool devices_by_name,
	struct err *err)
{
	struct comparison comparison = {table, rules, devices_by_name, err, 0};
	if (table->flags & KERNEL_TABLE_DORMANT)
		return differ(&comparison, "it is dormant (none of its rules is in force)");

	for (int i = 0; i < RULESET_COUNTERS && comparison.code == 0; i++)
		if (rules->counters & 1u << i &&
			!kernel_counter_find(table->objects, ruleset_counter_name(i)))
			differ(&comparison, "counter %s is missing", ruleset_counter_name(i));
	for (int i = 0; i < RULESET_SETS && comparison.code == 0; i++)
		set_compare(&comparison, &rules->sets[i]);
	for (size_t i = 0; i < rules->chain_count && comparison.code == 0; i++) {
		if (!chain_expected(&comparison, &rules->chains[i]))
			continue;
		chain_compare(&comparison, &rules->chains[i]);
		if (comparison.code == 0)
			rules_compare(&comparison, rules->chains[i].name);
	}
	if (comparison.code == 0)
		nftnl_set_list_foreach(table->sets, set_is_known, &comparison);
	if (comparison.code == 0)
		nftnl_chain_list_foreach(table->chains, chain_is_known, &comparison);
	return comparison.code;
}

/* The ports that the table itself says it is about, into ports; their number or -ENOMEM. */
static ssize_t ports_list(const struct kernel_table *table, uint16_t ports[CONF_PORTS_MAX])
{
	struct nftnl_set *set = nftnl_set_list_lookup_byname(table->sets, "ports");
	struct encode_element *elements = NULL;
	ssize_t count = set ? elements_list(set, &elements) : 0;
	if (count > CONF_PORTS_MAX)
		count = CONF_PORTS_MAX;
	for (ssize_t i = 0; i < count; i++)
		ports[i] = (uint16_t)(elements[i].key[0] << 8 | elements[i].key[1]);
	free(elements);
	return count;
}

/* What shows escapes has rules of its own in the owned tables: there they are only counted. */
static void rules_stand(struct comparison *comparison, const char *name)
{
	if (!comparison->rules->owned) {
		rules_compare(comparison, name);
		return;
	}
	struct nftnl_rule_list_iter *iter = nftnl_rule_list_iter_create(comparison->table->rules);
	if (!iter) {
		no_memory(comparison);
		return;
	}
	for (size_t i = 0; i < comparison->rules->rule_count && comparison->code == 0; i++)
		if (strcmp(comparison->rules->rules[i].chain, name) == 0 && !rule_next(iter, name))
			differ(comparison, "rules of chain %s are missing", name);
	nftnl_rule_list_iter_destroy(iter);
}

int compare_stands(const struct kernel_table *table, struct err *err)
{
	struct conf conf = {.divert = {.port_count = 0}};
	ssize_t count = ports_list(table, conf.divert.ports);
	if (count < 0)
		return err_set(err, -ENOMEM, "no memory to compare the rules");
	conf.divert.port_count = (size_t)count;
	struct ruleset *rules = ruleset_new(&conf, 1u << table->identity->id, NULL, err);
	if (!rules)
		return -ENOMEM;
	struct comparison comparison = {table, &rules->tables[0], false, err, 0};
	bool smtp = false;
	for (ssize_t i = 0; i < count; i++)
		smtp |= conf.divert.ports[i] == SMTP_PORT;
	if (!smtp)
		differ(&comparison, "port 25 is not among its ports");
	for (size_t i = 0; i < rules->tables[0].chain_count && comparison.code == 0; i++) {
		chain_compare(&comparison, &rules->tables[0].chains[i]);
		if (comparison.code == 0)
			rules_stand(&comparison, rules->tables[0].chains[i].name);
	}
	ruleset_free(rules);
	return comparison.code;
}
