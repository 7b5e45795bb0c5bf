#include <string.h>

#include "conf_text.h"
#include "provider_key.h"
#include "provider_set.h"

/* More hosts than any provider names. */
#define LIST_MAX 1000

/* Names of a list without doubles are few: each is kept in lower case, without a closing dot. */
static const char **list_make(struct provider_reader *reader, const struct toml_node *node)
{
	if (node->type == TOML_ARRAY && node->count <= LIST_MAX)
		return provider_memory(reader->set, (node->count + 1) * sizeof(const char *));
	if (node->type == TOML_ARRAY)
		provider_mistake(reader, node, "has more than %d items", LIST_MAX);
	else
		provider_mistake(reader, node, "wants an array; write %s = [...]", node->key);
	return NULL;
}

/* A suffix or name of MX hosts; NULL after a mistake. */
static const char *host_read(struct provider_reader *reader, const struct toml_node *node)
{
	struct err err;
	if (node->type != TOML_STRING) {
		provider_mistake(reader, node, "wants a string");
		return NULL;
	}
	size_t len = strlen(node->string);
	if (len && node->string[len - 1] == '.') {
		provider_mistake(reader, node,
			"= \"%.64s\" ends in a dot, which MX hosts do not when they are compared: it would "
			"match none; write it without",
			node->string);
		return NULL;
	}
	if (conf_text_hostname(node->string + (node->string[0] == '.'), &err) < 0) {
		provider_mistake(reader, node, "= %s", err.text);
		return NULL;
	}
	return provider_text_lower(reader->set, node->string);
}

void provider_read_match(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	static const char *const words[] = {"MXSuffix", "HostName", "MXName", NULL};
	struct provider *provider = to;
	const char **suffixes = list_make(reader, node);
	const char **names = suffixes ? list_make(reader, node) : NULL;
	size_t suffix_count = 0, name_count = 0;
	if (!names)
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct toml_node *item = &node->items[i];
		if (item->type != TOML_TABLE || item->count != 1) {
			provider_mistake(
				reader, item, "match wants items such as {MXSuffix = \".example.com\"}");
			continue;
		}
		const struct toml_node word = {.type = TOML_STRING,
			.line = item->line,
			.key = "match",
			.string = item->items[0].key};
		int found = provider_word(reader, &word, words);
		const char *host = found < 0 ? NULL : host_read(reader, &item->items[0]);
		if (!host)
			continue;
		if (found == 0)
			suffixes[suffix_count++] = host;
		else
			names[name_count++] = host;
	}
	provider->mx_suffixes = suffixes;
	provider->mx_suffix_count = suffix_count;
	provider->mx_names = names;
	provider->mx_name_count = name_count;
}

void provider_read_domains(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	struct provider *provider = to;
	struct err err;
	const char **domains = list_make(reader, node);
	if (!domains)
		return;
	for (size_t i = 0; i < provider->domain_count; i++)
		if (provider_by_domain(reader->set, span_of(provider->domains[i])) == provider)
			provider_claim(reader->set, provider->domains[i], NULL);
	provider->domains = domains;
	provider->domain_count = 0;
	for (size_t i = 0; i < node->count; i++) {
		const struct toml_node *item = &node->items[i];
		if (item->type != TOML_STRING) {
			provider_mistake(reader, item, "domains wants strings");
		} else if (conf_text_hostname(item->string, &err) < 0) {
			provider_mistake(reader, item, "domains: %s", err.text);
		} else {
			const char *domain = provider_text_lower(reader->set, item->string);
			const struct provider *other = provider_by_domain(reader->set, span_of(domain));
			if (other && other != provider && other->file == reader->file)
				provider_mistake(reader, item,
					"domains: \"%s\" is already provider \"%.64s\"'s (line %u)", domain,
					other->name, other->line);
			domains[provider->domain_count++] = domain;
			provider_claim(reader->set, domain, provider);
		}
	}
}

/* What the engine understands: another keyword would promise what is not kept. */
static const char *const keywords[] = {
	"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "DSN", "SIZE", NULL};

static bool extension_check(struct provider_reader *reader, const struct toml_node *item)
{
	if (item->type != TOML_STRING) {
		provider_mistake(reader, item, "extensions wants strings");
		return false;
	}
	char keyword[32] = "";
	size_t len = strcspn(item->string, " ");
	memcpy(keyword, item->string, len < sizeof(keyword) ? len : sizeof(keyword) - 1);
	struct toml_node word = *item;
	word.key = "extensions";
	word.string = keyword;
	int found = provider_word(reader, &word, keywords);
	const char *digits = item->string + len + (item->string[len] == ' ');
	bool bare = item->string[len] == '\0';
	bool size = found >= 0 && strcmp(keywords[found], "SIZE") == 0;
	if (found < 0)
		return false;
	if (bare ||
		(size && *digits && strlen(digits) <= 18 && strspn(digits, "0123456789") == strlen(digits)))
		return true;
	provider_mistake(reader, item,
		"extensions: \"%.64s\" is no line of EHLO; write \"SIZE 35882577\" or a "
		"keyword alone",
		item->string);
	return false;
}

void provider_read_extensions(struct provider_reader *reader, const struct toml_node *node, void *to)
{
	struct provider *provider = to;
	size_t size = 1;
	const char **lines = list_make(reader, node);
	if (!lines)
		return;
	size_t count = 0;
	for (size_t i = 0; i < node->count; i++) {
		if (!extension_check(reader, &node->items[i]))
			continue;
		for (size_t j = 0; j < count; j++)
			if (strcmp(lines[j], node->items[i].string) == 0)
				provider_mistake(
					reader, &node->items[i], "extensions: \"%s\" stands twice", lines[j]);
		lines[count++] = node->items[i].string;
		size += strlen(node->items[i].string) + 1;
	}
	char *joined = provider_memory(reader->set, size);
	if (!joined)
		return;
	for (size_t i = 0; i < count; i++) {
		strcat(joined, i ? "\n" : "");
		strcat(joined, lines[i]);
	}
	provider->extensions = joined;
}
