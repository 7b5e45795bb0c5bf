#include "provider_key.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf_suggest.h"
#include "provider_set.h"

/* Behind a comma of a percentage: a part per million has four places. */
#define PPM_PER_PERCENT 10000

void provider_mistake(struct provider_reader *reader, const struct toml_node *node, const char *format, ...)
{
	char text[768];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	conf_mistake(&reader->mistakes, node->line, "provider \"%.64s\": %s%s%s", reader->provider->name,
		node->key ? node->key : "", node->key ? " " : "", text);
}

static void type_mistake(struct provider_reader *reader, const struct toml_node *node, const char *wants)
{
	provider_mistake(reader, node, "wants %s, not %s", wants, toml_type_name(node->type));
}

const struct toml_node *provider_item(const struct toml_node *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->items[i].key, name) == 0)
			return &table->items[i];
	return NULL;
}

void provider_keys_read(struct provider_reader *reader, const struct provider_key *keys, const char *where,
	const struct toml_node *table, void *to)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct toml_node *node = &table->items[i];
		struct conf_suggest suggest = {.word = node->key};
		const struct provider_key *key = keys;
		while (key->name && strcmp(key->name, node->key) != 0)
			conf_suggest_offer(&suggest, key++->name);
		if (key->name)
			key->read(reader, node, (char *)to + key->offset);
		else if (suggest.best)
			conf_mistake(&reader->mistakes, node->line,
				"provider \"%.64s\": unknown key \"%.64s\" in %s (did you mean \"%s\"?)",
				reader->provider->name, node->key, where, suggest.best);
		else
			conf_mistake(&reader->mistakes, node->line,
				"provider \"%.64s\": unknown key \"%.64s\" in %s; leave it out",
				reader->provider->name, node->key, where);
	}
}

int provider_word(struct provider_reader *reader, const struct toml_node *node, const char *const *words)
{
	char possible[256] = "";
	if (node->type != TOML_STRING) {
		type_mistake(reader, node, "a string");
		return -1;
	}
	struct conf_suggest suggest = {.word = node->string};
	for (int i = 0; words[i]; i++) {
		size_t used = strlen(possible);
		if (strcmp(words[i], node->string) == 0)
			return i;
		conf_suggest_offer(&suggest, words[i]);
		snprintf(possible + used, sizeof(possible) - used, "%s%s", used ? ", " : "", words[i]);
	}
	if (suggest.best)
		provider_mistake(reader, node, "\"%.64s\" is unknown (did you mean \"%s\"?)", node->string,
			suggest.best);
	else
		provider_mistake(reader, node, "\"%.64s\" is unknown; there are %s", node->string, possible);
	return -1;
}

void provider_read_percent(struct provider_reader *reader, const struct toml_node *node, void *ppm)
{
	double percent = node->type == TOML_INTEGER ? (double)node->integer
			 : node->type == TOML_FLOAT ? node->real
						    : -1;
	if (node->type != TOML_INTEGER && node->type != TOML_FLOAT) {
		type_mistake(reader, node, "a percentage such as 10 or 0.5");
		return;
	}
	/* Not the other way round: a NaN fails this. */
	if (!(percent >= 0 && percent <= 100)) {
		provider_mistake(reader, node, "= %g is no percentage; write one from 0 to 100", percent);
		return;
	}
	uint32_t whole = (uint32_t)(percent * PPM_PER_PERCENT + 0.5);
	double off = percent * PPM_PER_PERCENT - whole;
	if (off > 1e-6 || off < -1e-6) {
		provider_mistake(reader, node,
			"= %.10g is finer than a millionth; write at most four places behind the point",
			percent);
		return;
	}
	*(uint32_t *)ppm = whole;
}

/* A number not above max, also as shaping files write one that is not shared: "local:5". */
static bool number_read(
	struct provider_reader *reader, const struct toml_node *node, uint64_t max, uint64_t *number)
{
	static const char local[] = "local:";
	int64_t value = -1;
	int used = 0;
	if (node->type == TOML_INTEGER) {
		value = node->integer;
	} else if (node->type == TOML_STRING && strncmp(node->string, local, strlen(local)) == 0 &&
		   sscanf(node->string + strlen(local), "%18" SCNd64 "%n", &value, &used) == 1 &&
		   node->string[strlen(local) + (size_t)used] == '\0') {
		;
	} else {
		type_mistake(reader, node, "a number");
		return false;
	}
	if (value < 0 || (uint64_t)value > max) {
		provider_mistake(reader, node,
			"= %" PRId64 " is out of range; write a number from 0 (no limit) to %" PRIu64, value,
			max);
		return false;
	}
	*number = (uint64_t)value;
	return true;
}

void provider_read_count(struct provider_reader *reader, const struct toml_node *node, void *count)
{
	uint64_t number;
	if (number_read(reader, node, UINT32_MAX, &number))
		*(uint32_t *)count = (uint32_t)number;
}

void provider_read_octets(struct provider_reader *reader, const struct toml_node *node, void *octets)
{
	uint64_t number;
	if (number_read(reader, node, INT64_MAX, &number))
		*(uint64_t *)octets = number;
}

void provider_read_rate(struct provider_reader *reader, const struct toml_node *node, void *rate)
{
	struct err err;
	if (node->type != TOML_STRING)
		type_mistake(reader, node, "a rate such as \"100/min\"");
	else if (rate_read(span_of(node->string), rate, &err) < 0)
		provider_mistake(reader, node, "= %s", err.text);
}

void provider_read_seconds(struct provider_reader *reader, const struct toml_node *node, void *seconds)
{
	struct err err;
	uint64_t ms;
	if (node->type != TOML_STRING)
		type_mistake(reader, node, "a time such as \"5m\"");
	else if (rate_read_duration(span_of(node->string), &ms, &err) < 0)
		provider_mistake(reader, node, "= %s", err.text);
	else if (ms % 1000)
		provider_mistake(reader, node, "= \"%.64s\" is no whole number of seconds", node->string);
	else
		*(uint32_t *)seconds = (uint32_t)(ms / 1000);
}

void provider_read_text(struct provider_reader *reader, const struct toml_node *node, void *text)
{
	if (node->type == TOML_STRING)
		*(const char **)text = provider_text(reader->set, node->string);
	else
		type_mistake(reader, node, "a string");
}

void provider_read_phase(struct provider_reader *reader, const struct toml_node *node, void *phase)
{
	const char *words[PROVIDER_PHASES + 1] = {NULL};
	for (int i = 0; i < PROVIDER_PHASES; i++)
		words[i] = provider_phase_name(i);
	int found = provider_word(reader, node, words);
	if (found >= 0)
		*(enum smtp_phase *)phase = (enum smtp_phase)found;
}
