#include "shaping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf_suggest.h"

struct source {
	struct shaping *shaping;
	const char *file;
	struct err *err;
};

static const struct {
	const char *key;
	enum shaping_match_form form;
} match_forms[] = {
	{"MXSuffix", SHAPING_MX_SUFFIX},
	{"MXName", SHAPING_MX_NAME},
	{"HostName", SHAPING_MX_NAME},
	{"DomainSuffix", SHAPING_DOMAIN_SUFFIX},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Makes room for one more item, zeroed, at the end of an array. NULL when out of memory. */
static void *append(void **items, size_t *count, size_t size)
{
	/* One by one: a file holds hundreds at most. */
	void *grown = reallocarray(*items, *count + 1, size);
	if (!grown)
		return NULL;
	*items = grown;
	return memset((char *)*items + (*count)++ * size, 0, size);
}

#define APPEND(items, count) append((void **)&(items), &(count), sizeof(*(items)))

static int out_of_memory(const struct source *source)
{
	return err_set(source->err, -ENOMEM, "%s: out of memory", source->file);
}

void shaping_done(struct shaping *shaping)
{
	for (size_t i = 0; i < shaping->block_count; i++)
		free(shaping->blocks[i].matches);
	free(shaping->blocks);
	free(shaping->patterns);
	free(shaping->classes);
	free(shaping->class_patterns);
	*shaping = (struct shaping){0};
}

static const struct toml_node *item_of(const struct toml_node *table, const char *key)
{
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->items[i].key, key) == 0)
			return &table->items[i];
	return NULL;
}

static int add_pattern(const struct source *source, const struct toml_node *node, size_t block)
{
	if (node->type != TOML_STRING)
		return err_set(source->err, -EINVAL,
			"%s:%u: a regex is a text, or an array of texts: write regex = '''text'''",
			source->file, node->line);
	struct shaping_pattern *pattern = APPEND(source->shaping->patterns, source->shaping->pattern_count);
	if (!pattern)
		return out_of_memory(source);
	*pattern = (struct shaping_pattern){node->string, source->file, node->line, block};
	return 0;
}

static int add_automation(const struct source *source, const struct toml_node *rule, size_t block)
{
	const struct toml_node *regex = rule->type == TOML_TABLE ? item_of(rule, "regex") : NULL;
	if (!regex)
		return err_set(source->err, -EINVAL,
			"%s:%u: an automation without a regex is none; write regex = '''text''' in a "
			"[[\"%s\".automation]] section",
			source->file, rule->line, source->shaping->blocks[block].name);
	if (regex->type != TOML_ARRAY)
		return add_pattern(source, regex, block);
	for (size_t i = 0; i < regex->count; i++) {
		int code = add_pattern(source, &regex->items[i], block);
		if (code < 0)
			return code;
	}
	return 0;
}

static int add_match(const struct source *source, const struct toml_node *node, struct shaping_block *block)
{
	if (node->type != TOML_TABLE || node->count != 1 || node->items[0].type != TOML_STRING)
		return err_set(source->err, -EINVAL,
			"%s:%u: a match is one rule a table; write match = [{MXSuffix = \".example.net\"}]",
			source->file, node->line);
	const struct toml_node *rule = &node->items[0];
	struct conf_suggest suggest = {.word = rule->key};
	for (size_t i = 0; i < COUNT(match_forms); i++) {
		if (strcmp(rule->key, match_forms[i].key) == 0) {
			struct shaping_match *match = APPEND(block->matches, block->match_count);
			if (!match)
				return out_of_memory(source);
			*match = (struct shaping_match){match_forms[i].form, rule->string};
			return 0;
		}
		conf_suggest_offer(&suggest, match_forms[i].key);
	}
	if (suggest.best)
		return err_set(source->err, -EINVAL, "%s:%u: unknown match \"%s\" (did you mean \"%s\"?)",
			source->file, rule->line, rule->key, suggest.best);
	return err_set(source->err, -EINVAL,
		"%s:%u: unknown match \"%s\"; there are MXSuffix, MXName (or HostName) and DomainSuffix",
		source->file, rule->line, rule->key);
}

/* The block of that name, made where there is none yet. */
static struct shaping_block *block_of(
	const struct source *source, enum shaping_block_kind kind, const char *name)
{
	struct shaping *shaping = source->shaping;
	for (size_t i = 0; i < shaping->block_count; i++)
		if (shaping->blocks[i].kind == kind && strcmp(shaping->blocks[i].name, name) == 0)
			return &shaping->blocks[i];
	struct shaping_block *block = APPEND(shaping->blocks, shaping->block_count);
	if (block)
		*block = (struct shaping_block){.kind = kind, .name = name};
	return block;
}

static void forget(struct shaping *shaping, size_t block)
{
	size_t kept = 0;
	for (size_t i = 0; i < shaping->pattern_count; i++)
		if (shaping->patterns[i].owner != block)
			shaping->patterns[kept++] = shaping->patterns[i];
	shaping->pattern_count = kept;
	free(shaping->blocks[block].matches);
	shaping->blocks[block].matches = NULL;
	shaping->blocks[block].match_count = 0;
}

/* Both `key = {…}` and an array of tables: `each` for the one or for all. */
static int add_items(const struct source *source, const struct toml_node *node, size_t block,
	int (*each)(const struct source *, const struct toml_node *, size_t))
{
	if (!node)
		return 0;
	if (node->type != TOML_ARRAY)
		return each(source, node, block);
	for (size_t i = 0; i < node->count; i++) {
		int code = each(source, &node->items[i], block);
		if (code < 0)
			return code;
	}
	return 0;
}

static int add_match_at(const struct source *source, const struct toml_node *node, size_t block)
{
	return add_match(source, node, &source->shaping->blocks[block]);
}

static int add_block(const struct source *source, enum shaping_block_kind kind, const struct toml_node *table)
{
	if (table->type != TOML_TABLE)
		return err_set(source->err, -EINVAL,
			"%s:%u: \"%s\" is no section; a shaping file has [\"DOMAIN\"] and "
			"[provider.\"NAME\"]",
			source->file, table->line, table->key);
	const struct shaping_block *block = block_of(source, kind, table->key);
	if (!block)
		return out_of_memory(source);
	size_t index = (size_t)(block - source->shaping->blocks);
	const struct toml_node *replace = item_of(table, "replace_base");
	if (replace && replace->type == TOML_BOOLEAN && replace->boolean)
		forget(source->shaping, index);
	int code = 0;
	if (kind == SHAPING_PROVIDER)
		code = add_items(source, item_of(table, "match"), index, add_match_at);
	if (code == 0)
		code = add_items(source, item_of(table, "automation"), index, add_automation);
	return code;
}

static int by_line(const void *a, const void *b)
{
	const struct shaping_pattern *one = a, *other = b;
	return one->line < other->line ? -1 : one->line > other->line;
}

int shaping_add(struct shaping *shaping, const char *file, const struct toml_node *root, struct err *err)
{
	struct source source = {shaping, file, err};
	int code = 0;
	for (size_t i = 0; i < root->count && code == 0; i++) {
		const struct toml_node *item = &root->items[i];
		bool providers = strcmp(item->key, "provider") == 0 && item->type == TOML_TABLE;
		if (!providers)
			code = add_block(&source,
				strcmp(item->key, "default") == 0 ? SHAPING_DEFAULT : SHAPING_DOMAIN, item);
		for (size_t k = 0; providers && k < item->count && code == 0; k++)
			code = add_block(&source, SHAPING_PROVIDER, &item->items[k]);
	}
	/* A block's automations stand together in the tree, wherever they stand in the file. */
	size_t first = shaping->pattern_count;
	while (first > 0 && shaping->patterns[first - 1].file == file)
		first--;
	if (first < shaping->pattern_count)
		qsort(shaping->patterns + first, shaping->pattern_count - first, sizeof(*shaping->patterns),
			by_line);
	return code;
}

static int add_class(const struct source *source, const struct toml_node *list)
{
	struct shaping *shaping = source->shaping;
	if (list->type != TOML_ARRAY)
		return err_set(source->err, -EINVAL,
			"%s:%u: class \"%s\" is no array of patterns; write %s = ['''pattern''']",
			source->file, list->line, list->key, list->key);
	struct shaping_class *class = APPEND(shaping->classes, shaping->class_count);
	if (!class)
		return out_of_memory(source);
	*class = (struct shaping_class){list->key, source->file, list->line};
	for (size_t i = 0; i < list->count; i++) {
		const struct toml_node *node = &list->items[i];
		if (node->type != TOML_STRING)
			return err_set(source->err, -EINVAL,
				"%s:%u: a pattern is a text; write '''pattern'''", source->file, node->line);
		struct shaping_pattern *pattern =
			APPEND(shaping->class_patterns, shaping->class_pattern_count);
		if (!pattern)
			return out_of_memory(source);
		*pattern = (struct shaping_pattern){
			node->string, source->file, node->line, shaping->class_count - 1};
	}
	return 0;
}

int shaping_add_classes(
	struct shaping *shaping, const char *file, const struct toml_node *root, struct err *err)
{
	struct source source = {shaping, file, err};
	const struct toml_node *rules = item_of(root, "rules");
	if (!rules || rules->type != TOML_TABLE)
		return err_set(err, -EINVAL,
			"%s: no [rules] section, so no bounce classes; is it a shaping file, to be named "
			"before --classes?",
			file);
	int code = 0;
	for (size_t i = 0; i < rules->count && code == 0; i++)
		code = add_class(&source, &rules->items[i]);
	return code;
}
