/*
 * conf_key: what a key of the configuration is, and what each kind of value can do: be read from a
 * node, printed as TOML, compared, given up. The keys themselves are the table in conf_keys.c; a
 * kind knows none of them by name but where its value takes two members of struct conf.
 */
#ifndef MX_CONF_KEY_H
#define MX_CONF_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf.h"
#include "conf_mistake.h"

struct conf_key {
	const char *section;
	const char *name;
	const char *path; /* "section.name" */
	const struct conf_kind *kind;
	size_t offset;              /* in struct conf, of what number, choice and text are stored in */
	size_t size;                /* bytes there; 4 or 8 for a number, 4 for a choice */
	struct toml_node preset;    /* the default, read as if the file held it */
	uint64_t min, max;          /* number: the range */
	const char *const *choices; /* choice: the words in the order of their enum, NULL behind them */
	/* text: 0, or a negative errno with err naming what is wrong and the remedy. */
	int (*check)(const char *text, struct err *err);
	const char *example; /* as it stands behind `=` */
	const char *meaning; /* a sentence or two; '\n' divides lines */
	bool restart;        /* only a restart can change it */
};

struct conf_kind {
	enum toml_type type;
	const char *wants; /* "an integer" */
	/* Puts node, which is of type, in the place of what conf holds; a mistake leaves that
	 * alone. */
	void (*read)(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
		struct conf_mistakes *mistakes);
	void (*print)(const struct conf_key *key, const struct conf *conf, FILE *to);
	bool (*equal)(const struct conf_key *key, const struct conf *a, const struct conf *b);
	void (*drop)(const struct conf_key *key, struct conf *conf); /* frees what conf owns; may be NULL */
};

/* Every key there is, the keys of a section together; ends with a NULL section. */
extern const struct conf_key conf_keys[];

extern const struct conf_kind conf_kind_number;
extern const struct conf_kind conf_kind_choice;
extern const struct conf_kind conf_kind_words; /* an array of choices: a bit each */
extern const struct conf_kind conf_kind_text;
extern const struct conf_kind conf_kind_ports;   /* divert.ports */
extern const struct conf_kind conf_kind_exclude; /* divert.exclude */
extern const struct conf_kind conf_kind_devices; /* guard.devices */
extern const struct conf_kind conf_kind_range;   /* listen.port_first and port_last */

/* Reads node as key's value; says so where it is of another type than key's kind. */
void conf_key_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes);

/* Whether all items of an array are of type; the first that is not is a mistake. */
bool conf_items_check(const struct conf_key *key, const struct toml_node *node, enum toml_type type,
	struct conf_mistakes *mistakes);

/* Prints a string, an integer or an array of these as TOML. */
void conf_node_print(const struct toml_node *node, FILE *to);

#endif
