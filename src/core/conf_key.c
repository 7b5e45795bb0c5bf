#include "conf_key.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conf_suggest.h"

static void *place(const struct conf_key *key, const struct conf *conf)
{
	return (char *)conf + key->offset;
}

static bool place_equal(const struct conf_key *key, const struct conf *a, const struct conf *b)
{
	return memcmp(place(key, a), place(key, b), key->size) == 0;
}

/* A TOML basic string: quotes and backslashes escaped, control characters by number. */
static void text_print(const char *text, FILE *to)
{
	fputc('"', to);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(to, "\\%c", *p);
		else if (*p < ' ' || *p == 0x7f)
			fprintf(to, "\\u%04X", *p);
		else
			fputc(*p, to);
	}
	fputc('"', to);
}

void conf_node_print(const struct toml_node *node, FILE *to)
{
	switch (node->type) {
	case TOML_INTEGER:
		fprintf(to, "%" PRId64, node->integer);
		break;
	case TOML_STRING:
		text_print(node->string, to);
		break;
	case TOML_ARRAY:
		fputc('[', to);
		for (size_t i = 0; i < node->count; i++) {
			fputs(i ? ", " : "", to);
			conf_node_print(&node->items[i], to);
		}
		fputc(']', to);
		break;
	case TOML_TABLE:
	case TOML_FLOAT:
	case TOML_BOOLEAN:
	case TOML_OTHER:
		/* No key takes one. */
		break;
	}
}

static void type_mistake(
	const struct conf_key *key, const struct toml_node *node, struct conf_mistakes *mistakes)
{
	conf_mistake(mistakes, node->line, "%s wants %s, not %s; write %s = %s", key->path, key->kind->wants,
		toml_type_name(node->type), key->name, key->example);
}

void conf_key_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	if (node->type == key->kind->type)
		key->kind->read(key, node, conf, mistakes);
	else
		type_mistake(key, node, mistakes);
}

bool conf_items_check(const struct conf_key *key, const struct toml_node *node, enum toml_type type,
	struct conf_mistakes *mistakes)
{
	for (size_t i = 0; i < node->count; i++)
		if (node->items[i].type != type) {
			conf_mistake(mistakes, node->items[i].line,
				"%s wants %s; item %zu is %s; write %s = %s", key->path, key->kind->wants,
				i + 1, toml_type_name(node->items[i].type), key->name, key->example);
			return false;
		}
	return true;
}

static bool in_range(int64_t value, uint64_t min, uint64_t max)
{
	return value >= 0 && (uint64_t)value >= min && (uint64_t)value <= max;
}

static void number_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	if (!in_range(node->integer, key->min, key->max)) {
		conf_mistake(mistakes, node->line,
			"%s = %" PRId64 " is out of range; write a number from %" PRIu64 " to %" PRIu64,
			key->path, node->integer, key->min, key->max);
		return;
	}
	uint64_t wide = (uint64_t)node->integer;
	uint32_t narrow = (uint32_t)wide;
	memcpy(place(key, conf), key->size == sizeof(wide) ? (void *)&wide : (void *)&narrow, key->size);
}

static void number_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	uint64_t wide;
	uint32_t narrow;
	if (key->size == sizeof(wide)) {
		memcpy(&wide, place(key, conf), sizeof(wide));
	} else {
		memcpy(&narrow, place(key, conf), sizeof(narrow));
		wide = narrow;
	}
	fprintf(to, "%" PRIu64, wide);
}

const struct conf_kind conf_kind_number = {
	.type = TOML_INTEGER,
	.wants = "an integer",
	.read = number_read,
	.print = number_print,
	.equal = place_equal,
};

static void choice_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	char possible[128] = "";
	struct conf_suggest suggest = {.word = node->string};
	for (unsigned i = 0; key->choices[i]; i++) {
		if (strcmp(node->string, key->choices[i]) == 0) {
			memcpy(place(key, conf), &i, sizeof(i));
			return;
		}
		conf_suggest_offer(&suggest, key->choices[i]);
		size_t used = strlen(possible);
		snprintf(possible + used, sizeof(possible) - used, "%s\"%s\"", i ? " or " : "",
			key->choices[i]);
	}
	conf_mistake(mistakes, node->line, "%s = \"%.32s\" is not possible; write %s%s%s%s", key->path,
		node->string, possible, suggest.best ? " (did you mean \"" : "",
		suggest.best ? suggest.best : "", suggest.best ? "\"?)" : "");
}

static void choice_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	unsigned index;
	memcpy(&index, place(key, conf), sizeof(index));
	text_print(key->choices[index], to);
}

const struct conf_kind conf_kind_choice = {
	.type = TOML_STRING,
	.wants = "a string",
	.read = choice_read,
	.print = choice_print,
	.equal = place_equal,
};

/* The bit of a word; false, with a mistake, where it is none of the choices. */
static bool word_find(const struct conf_key *key, const struct toml_node *node, uint32_t *bit,
	struct conf_mistakes *mistakes)
{
	char possible[128] = "";
	for (unsigned i = 0; key->choices[i]; i++) {
		if (strcmp(node->string, key->choices[i]) == 0) {
			*bit = UINT32_C(1) << i;
			return true;
		}
		size_t used = strlen(possible);
		snprintf(
			possible + used, sizeof(possible) - used, "%s\"%s\"", i ? ", " : "", key->choices[i]);
	}
	conf_mistake(mistakes, node->line, "%s: \"%.32s\" is not possible; there are %s", key->path,
		node->string, possible);
	return false;
}

static void words_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	uint32_t bits = 0, bit;
	if (!conf_items_check(key, node, TOML_STRING, mistakes))
		return;
	for (size_t i = 0; i < node->count; i++) {
		if (!word_find(key, &node->items[i], &bit, mistakes))
			return;
		bits |= bit;
	}
	memcpy(place(key, conf), &bits, sizeof(bits));
}

static void words_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	uint32_t bits;
	memcpy(&bits, place(key, conf), sizeof(bits));
	const char *divider = "";
	fputc('[', to);
	for (unsigned i = 0; key->choices[i]; i++) {
		if (!(bits & UINT32_C(1) << i))
			continue;
		fputs(divider, to);
		text_print(key->choices[i], to);
		divider = ", ";
	}
	fputc(']', to);
}

const struct conf_kind conf_kind_words = {
	.type = TOML_ARRAY,
	.wants = "an array of strings",
	.read = words_read,
	.print = words_print,
	.equal = place_equal,
};

static char **text_place(const struct conf_key *key, const struct conf *conf)
{
	return place(key, conf);
}

static void text_drop(const struct conf_key *key, struct conf *conf)
{
	free(*text_place(key, conf));
	*text_place(key, conf) = NULL;
}

static void text_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	struct err why;
	if (key->check(node->string, &why) < 0) {
		conf_mistake(mistakes, node->line, "%s: %s", key->path, why.text);
		return;
	}
	char *copy = strdup(node->string);
	if (!copy) {
		conf_mistake(mistakes, node->line, "%s: out of memory", key->path);
		return;
	}
	text_drop(key, conf);
	*text_place(key, conf) = copy;
}

static void text_value_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	text_print(*text_place(key, conf), to);
}

static bool text_equal(const struct conf_key *key, const struct conf *a, const struct conf *b)
{
	return strcmp(*text_place(key, a), *text_place(key, b)) == 0;
}

const struct conf_kind conf_kind_text = {
	.type = TOML_STRING,
	.wants = "a string",
	.read = text_read,
	.print = text_value_print,
	.equal = text_equal,
	.drop = text_drop,
};
