#include "conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf_key.h"
#include "conf_suggest.h"

static const struct conf_key *key_find(const char *section, const char *name)
{
	for (const struct conf_key *key = conf_keys; key->section; key++)
		if (strcmp(key->section, section) == 0 && strcmp(key->name, name) == 0)
			return key;
	return NULL;
}

static bool section_exists(const char *name)
{
	for (const struct conf_key *key = conf_keys; key->section; key++)
		if (strcmp(key->section, name) == 0)
			return true;
	return false;
}

/* Whether key is its section's first. */
static bool section_begins(const struct conf_key *key)
{
	return key == conf_keys || strcmp(key->section, key[-1].section) != 0;
}

/* Adds word to a list, as in "a, b, c". */
static void list_add(char *list, size_t size, const char *word)
{
	size_t used = strlen(list);
	snprintf(list + used, size - used, "%s%s", used ? ", " : "", word);
}

static void section_unknown(const struct toml_node *node, struct conf_mistakes *mistakes)
{
	char possible[256] = "";
	struct conf_suggest suggest = {.word = node->key};
	const struct conf_key *bare = NULL;
	for (const struct conf_key *key = conf_keys; key->section; key++) {
		if (section_begins(key)) {
			conf_suggest_offer(&suggest, key->section);
			list_add(possible, sizeof(possible), key->section);
		}
		if (!bare && node->type != TOML_TABLE && strcmp(key->name, node->key) == 0)
			bare = key;
	}
	/* Profiles have no rows: their tables are the user's to name. */
	static const char profile[] = "provider.\"name\"";
	conf_suggest_offer(&suggest, "provider");
	list_add(possible, sizeof(possible), profile);
	if (suggest.best && strcmp(suggest.best, "provider") == 0)
		suggest.best = profile;
	if (bare)
		conf_mistake(mistakes, node->line, "key \"%s\" stands outside a section; put it below [%s]",
			bare->name, bare->section);
	else if (suggest.best)
		conf_mistake(mistakes, node->line, "unknown section [%.64s] (did you mean [%s]?)", node->key,
			suggest.best);
	else
		conf_mistake(
			mistakes, node->line, "unknown section [%.64s]; there are %s", node->key, possible);
}

static void key_unknown(const char *section, const struct toml_node *node, struct conf_mistakes *mistakes)
{
	char possible[256] = "";
	struct conf_suggest suggest = {.word = node->key};
	const char *elsewhere = NULL;
	for (const struct conf_key *key = conf_keys; key->section; key++) {
		if (strcmp(key->section, section) == 0) {
			conf_suggest_offer(&suggest, key->name);
			list_add(possible, sizeof(possible), key->name);
		} else if (!elsewhere && strcmp(key->name, node->key) == 0) {
			elsewhere = key->section;
		}
	}
	if (elsewhere)
		conf_mistake(mistakes, node->line, "unknown key \"%.64s\" in [%s] (it belongs in [%s])",
			node->key, section, elsewhere);
	else if (suggest.best)
		conf_mistake(mistakes, node->line, "unknown key \"%.64s\" in [%s] (did you mean \"%s\"?)",
			node->key, section, suggest.best);
	else
		conf_mistake(mistakes, node->line, "unknown key \"%.64s\" in [%s]; there %s %s", node->key,
			section, strchr(possible, ',') ? "are" : "is only", possible);
}

static void section_read(const struct toml_node *section, struct conf *conf, struct conf_mistakes *mistakes)
{
	/* Profiles are provider.c's to read. */
	if (strcmp(section->key, "provider") == 0 && section->type == TOML_TABLE)
		return;
	if (!section_exists(section->key)) {
		section_unknown(section, mistakes);
		return;
	}
	if (section->type != TOML_TABLE) {
		conf_mistake(mistakes, section->line,
			"\"%s\" is a section; write [%s] on a line of its own and its keys below",
			section->key, section->key);
		return;
	}
	for (size_t i = 0; i < section->count; i++) {
		const struct toml_node *node = &section->items[i];
		const struct conf_key *key = key_find(section->key, node->key);
		if (!key) {
			key_unknown(section->key, node, mistakes);
			continue;
		}
		conf_key_read(key, node, conf, mistakes);
	}
}

/* The line on which the file gives a key; 0 where it does not. */
static unsigned line_find(const struct toml_node *root, const char *section, const char *name)
{
	for (size_t i = 0; root && i < root->count; i++) {
		const struct toml_node *table = &root->items[i];
		if (strcmp(table->key, section) != 0)
			continue;
		for (size_t j = 0; j < table->count; j++)
			if (strcmp(table->items[j].key, name) == 0)
				return table->items[j].line;
	}
	return 0;
}

/* What concerns two keys at once; each was found good by itself. */
static void pairs_check(const struct conf *conf, const struct toml_node *root, struct conf_mistakes *mistakes)
{
	for (size_t i = 0; i < conf->divert.port_count; i++) {
		unsigned port = conf->divert.ports[i];
		if (port < conf->listen.port_first || port > conf->listen.port_last)
			continue;
		unsigned line = line_find(root, "listen", "ports");
		if (!line)
			line = line_find(root, "divert", "ports");
		char range[16];
		snprintf(range, sizeof(range),
			conf->listen.port_first == conf->listen.port_last ? "%u" : "%u-%u",
			conf->listen.port_first, conf->listen.port_last);
		conf_mistake(mistakes, line,
			"listen.ports = \"%s\" holds port %u, which divert.ports diverts; "
			"give the listeners ports of their own",
			range, port);
		break;
	}
	if (strcmp(conf->admin.socket, conf->counts.file) == 0) {
		unsigned line = line_find(root, "counts", "file");
		if (!line)
			line = line_find(root, "admin", "socket");
		conf_mistake(
			mistakes, line, "counts.file and admin.socket are the same path; give each its own");
	}
}

/* processes is never 0: its range begins at 1. */
static unsigned workers_resolve(unsigned workers, unsigned processes, unsigned cpus)
{
	if (workers == 0)
		workers = cpus;
	if (workers > CONF_WORKERS_MAX)
		return CONF_WORKERS_MAX;
	return workers > processes ? workers : processes;
}

static void conf_free(struct conf *conf)
{
	for (const struct conf_key *key = conf_keys; key->section; key++)
		if (key->kind->drop)
			key->kind->drop(key, conf);
	free((char *)conf->file);
	free(conf);
}

struct conf *conf_new(const char *file, const struct toml_node *root, unsigned cpus, struct err *err)
{
	struct err unread;
	if (!file)
		file = "(defaults)";
	struct conf *conf = calloc(1, sizeof(*conf));
	if (conf)
		conf->file = strdup(file);
	if (!conf || !conf->file) {
		err_set(err, -ENOMEM, "%s: out of memory", file);
		free(conf);
		return NULL;
	}
	atomic_init(&conf->references, 1);

	struct conf_mistakes mistakes = {.file = conf->file, .err = err ? err : &unread};
	for (const struct conf_key *key = conf_keys; key->section; key++)
		conf_key_read(key, &key->preset, conf, &mistakes);
	for (size_t i = 0; root && i < root->count; i++)
		section_read(&root->items[i], conf, &mistakes);
	if (mistakes.count == 0)
		pairs_check(conf, root, &mistakes);
	if (conf_mistakes_end(&mistakes) < 0) {
		conf_free(conf);
		return NULL;
	}
	conf->listen.workers = workers_resolve(conf->listen.workers_written, conf->listen.processes, cpus);
	return conf;
}

const struct conf *conf_ref(const struct conf *conf)
{
	/* Whoever takes a share has one already: nothing is to be ordered. */
	if (conf)
		atomic_fetch_add_explicit(&((struct conf *)conf)->references, 1, memory_order_relaxed);
	return conf;
}

void conf_unref(const struct conf *conf)
{
	struct conf *shared = (struct conf *)conf;
	/* Release: our reads come before the free. Acquire: so do those of all others. */
	if (shared && atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1)
		conf_free(shared);
}

const char *conf_needs_restart(const struct conf *a, const struct conf *b)
{
	for (const struct conf_key *key = conf_keys; key->section; key++)
		if (key->restart && !key->kind->equal(key, a, b))
			return key->path;
	return NULL;
}

/* A meaning as comment lines. */
static void meaning_print(const char *meaning, FILE *to)
{
	fputs("# ", to);
	for (; *meaning; meaning++) {
		fputc(*meaning, to);
		if (*meaning == '\n')
			fputs("# ", to);
	}
	fputc('\n', to);
}

void conf_print(const struct conf *conf, FILE *to)
{
	fputs("# mxmirage: every key, with its value. Left out, a key has its default.\n", to);
	for (const struct conf_key *key = conf_keys; key->section; key++) {
		if (section_begins(key))
			fprintf(to, "\n[%s]\n", key->section);
		meaning_print(key->meaning, to);
		fputs("# Default: ", to);
		conf_node_print(&key->preset, to);
		fprintf(to, "%s\n%s = ", key->restart ? "; a change needs a restart" : "", key->name);
		key->kind->print(key, conf, to);
		fputc('\n', to);
	}
}
