/*
 * provider_key: what the keys of a profile's tables are: a name, how its value is read, where that
 * goes. The tables are in provider_read.c, provider_reply_read.c and provider_fault_read.c; the ways to
 * read are here. Part of the provider module behind provider.h; nobody else includes this.
 *
 * A way to read takes a node and the place of its value; where the node is wrong it says so and leaves
 * the place alone.
 */
#ifndef MX_PROVIDER_KEY_H
#define MX_PROVIDER_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "conf_mistake.h"
#include "provider.h"
#include "toml_node.h"

/* What is being read, and for whom. */
struct provider_reader {
	struct provider_set *set;
	struct provider *provider;
	const char *file; /* of the set's life */
	const char *wordings;
	struct conf_mistakes mistakes;
};

struct provider_key {
	const char *name; /* NULL behind the last */
	void (*read)(struct provider_reader *reader, const struct toml_node *node, void *to);
	size_t offset; /* in what the table describes */
};

/*
 * Reads every key of a table into `to`. A key that is not in `keys` is a mistake, told with the key
 * that was probably meant; `where` names the table there.
 */
void provider_keys_read(struct provider_reader *reader, const struct provider_key *keys, const char *where,
	const struct toml_node *table, void *to);

/* The item of a table with a key; NULL where there is none. */
const struct toml_node *provider_item(const struct toml_node *table, const char *name);

/* A mistake in the value of node: `file:line: provider "google": bounce …`. */
void provider_mistake(struct provider_reader *reader, const struct toml_node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The place of node's text among words (NULL behind the last); -1 after a mistake. */
int provider_word(struct provider_reader *reader, const struct toml_node *node, const char *const *words);

/* Into a uint32_t: parts per million, a number, seconds. */
void provider_read_percent(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_count(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_seconds(struct provider_reader *reader, const struct toml_node *node, void *to);
/* Into a uint64_t, a struct rate, a const char * of the set's life, an enum smtp_phase. */
void provider_read_octets(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_rate(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_text(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_phase(struct provider_reader *reader, const struct toml_node *node, void *to);

/* Ways that have a file of their own; `to` is the provider. */
void provider_read_match(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_domains(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_extensions(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_replies(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_delays(struct provider_reader *reader, const struct toml_node *node, void *to);
void provider_read_faults(struct provider_reader *reader, const struct toml_node *node, void *to);

/* Says which replies of the reader's file no event of the provider ever asks for. */
void provider_replies_check(struct provider_reader *reader, const struct toml_node *table);

#endif
