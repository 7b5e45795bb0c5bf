#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conf_block.h"
#include "conf_key.h"

#define SMTP_PORT 25

static int port_order(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

static void ports_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	uint16_t ports[CONF_PORTS_MAX];
	bool has_25 = false;
	if (!conf_items_check(key, node, TOML_INTEGER, mistakes))
		return;
	if (node->count == 0 || node->count > CONF_PORTS_MAX) {
		conf_mistake(mistakes, node->line, "%s has %zu ports; write 1 to %d, as in %s = %s",
			key->path, node->count, CONF_PORTS_MAX, key->name, key->example);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		int64_t port = node->items[i].integer;
		if (port < 1 || port > UINT16_MAX) {
			conf_mistake(mistakes, node->items[i].line,
				"%s: %" PRId64 " is not a port; write a number from 1 to %d", key->path, port,
				UINT16_MAX);
			return;
		}
		ports[i] = (uint16_t)port;
		has_25 |= port == SMTP_PORT;
	}
	/* Everything that the program says of itself is about that one: it may not be open unnoticed. */
	if (!has_25) {
		conf_mistake(mistakes, node->line,
			"%s lacks port %d, which would be open: mail to the real MX hosts could leave; write "
			"ports = [%d, %u]",
			key->path, SMTP_PORT, SMTP_PORT, ports[0]);
		return;
	}
	qsort(ports, node->count, sizeof(*ports), port_order);
	conf->divert.port_count = 0;
	for (size_t i = 0; i < node->count; i++)
		if (i == 0 || ports[i] != ports[i - 1])
			conf->divert.ports[conf->divert.port_count++] = ports[i];
}

static void ports_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	(void)key;
	fputc('[', to);
	for (size_t i = 0; i < conf->divert.port_count; i++)
		fprintf(to, "%s%u", i ? ", " : "", conf->divert.ports[i]);
	fputc(']', to);
}

static bool ports_equal(const struct conf_key *key, const struct conf *a, const struct conf *b)
{
	(void)key;
	return a->divert.port_count == b->divert.port_count &&
	       memcmp(a->divert.ports, b->divert.ports, a->divert.port_count * sizeof(*a->divert.ports)) == 0;
}

const struct conf_kind conf_kind_ports = {
	.type = TOML_ARRAY,
	.wants = "an array of integers",
	.read = ports_read,
	.print = ports_print,
	.equal = ports_equal,
};

static void exclude_drop(const struct conf_key *key, struct conf *conf)
{
	(void)key;
	free(conf->divert.exclude);
	conf->divert.exclude = NULL;
	conf->divert.exclude_count = 0;
}

/* Fills blocks, one for each item; each item that is none is a mistake of its own. */
static bool blocks_parse(const struct conf_key *key, const struct toml_node *node, struct conf_block *blocks,
	struct conf_mistakes *mistakes)
{
	bool good = true;
	for (size_t i = 0; i < node->count; i++) {
		struct err why;
		if (conf_block_parse(node->items[i].string, &blocks[i], &why) < 0) {
			conf_mistake(mistakes, node->items[i].line, "%s: %s", key->path, why.text);
			good = false;
		}
	}
	return good;
}

/* What only shows once the blocks were merged. */
static bool blocks_check(const struct conf_key *key, const struct toml_node *node,
	const struct conf_block *blocks, size_t count, struct conf_mistakes *mistakes)
{
	for (size_t i = 0; i < count; i++)
		if (blocks[i].prefix == 0) {
			conf_mistake(mistakes, node->line,
				"%s: the blocks together are every IPv%c address: they would "
				"switch the "
				"protection off; name only the networks that mail may really go to",
				key->path, blocks[i].family == AF_INET ? '4' : '6');
			return false;
		}
	if (count > CONF_EXCLUDE_MAX) {
		conf_mistake(mistakes, node->line,
			"%s has %zu separate blocks; at most %d are possible, write fewer and "
			"larger ones",
			key->path, count, CONF_EXCLUDE_MAX);
		return false;
	}
	return true;
}

static void exclude_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	if (!conf_items_check(key, node, TOML_STRING, mistakes))
		return;
	if (node->count == 0) {
		exclude_drop(key, conf);
		return;
	}
	struct conf_block *blocks = calloc(node->count, sizeof(*blocks));
	if (!blocks) {
		conf_mistake(mistakes, node->line, "%s: out of memory", key->path);
		return;
	}
	if (!blocks_parse(key, node, blocks, mistakes))
		goto refused;
	size_t count = conf_block_merge(blocks, node->count);
	if (!blocks_check(key, node, blocks, count, mistakes))
		goto refused;
	exclude_drop(key, conf);
	conf->divert.exclude = blocks;
	conf->divert.exclude_count = count;
	return;
refused:
	free(blocks);
}

static void exclude_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	(void)key;
	fputc('[', to);
	for (size_t i = 0; i < conf->divert.exclude_count; i++) {
		char text[CONF_BLOCK_TEXT_MAX];
		conf_block_format(&conf->divert.exclude[i], text);
		/* One a line: the reader refuses lines without end. */
		fprintf(to, "\n\t\"%s\",", text);
	}
	fputs(conf->divert.exclude_count ? "\n]" : "]", to);
}

static bool exclude_equal(const struct conf_key *key, const struct conf *a, const struct conf *b)
{
	(void)key;
	if (a->divert.exclude_count != b->divert.exclude_count)
		return false;
	for (size_t i = 0; i < a->divert.exclude_count; i++)
		if (conf_block_compare(&a->divert.exclude[i], &b->divert.exclude[i]) != 0)
			return false;
	return true;
}

const struct conf_kind conf_kind_exclude = {
	.type = TOML_ARRAY,
	.wants = "an array of strings",
	.read = exclude_read,
	.print = exclude_print,
	.equal = exclude_equal,
	.drop = exclude_drop,
};

/* As the kernel's dev_valid_name(). */
static bool device_valid(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strcspn(name, "/: \t\n\v\f\r") == len;
}

static void devices_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	if (!conf_items_check(key, node, TOML_STRING, mistakes))
		return;
	if (node->count > CONF_DEVICES_MAX) {
		conf_mistake(mistakes, node->line,
			"%s names %zu devices; at most %d are possible: name only those that do not exist at "
			"the "
			"start",
			key->path, node->count, CONF_DEVICES_MAX);
		return;
	}
	for (size_t i = 0; i < node->count; i++)
		if (!device_valid(node->items[i].string)) {
			conf_mistake(mistakes, node->items[i].line,
				"%s: \"%.32s\" is not a device's name: 1 to %d characters, no space, \"/\" "
				"or \":\"",
				key->path, node->items[i].string, IFNAMSIZ - 1);
			return;
		}
	memset(conf->guard.devices, 0, sizeof(conf->guard.devices));
	for (size_t i = 0; i < node->count; i++)
		strcpy(conf->guard.devices[i], node->items[i].string);
	conf->guard.device_count = node->count;
}

static void devices_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	(void)key;
	struct toml_node items[CONF_DEVICES_MAX];
	for (size_t i = 0; i < conf->guard.device_count; i++)
		items[i] = (struct toml_node){.type = TOML_STRING, .string = conf->guard.devices[i]};
	conf_node_print(
		&(struct toml_node){.type = TOML_ARRAY, .items = items, .count = conf->guard.device_count},
		to);
}

static bool devices_equal(const struct conf_key *key, const struct conf *a, const struct conf *b)
{
	(void)key;
	return a->guard.device_count == b->guard.device_count &&
	       memcmp(a->guard.devices, b->guard.devices, sizeof(a->guard.devices)) == 0;
}

const struct conf_kind conf_kind_devices = {
	.type = TOML_ARRAY,
	.wants = "an array of strings",
	.read = devices_read,
	.print = devices_print,
	.equal = devices_equal,
};

/* A port number at the front of *text, which moves behind it; 0 where there is none. */
static unsigned port_take(const char **text)
{
	size_t len = strspn(*text, "0123456789");
	if (len == 0 || len > 5)
		return 0;
	unsigned port = (unsigned)strtoul(*text, NULL, 10);
	*text += len;
	return port <= UINT16_MAX ? port : 0;
}

static void range_read(const struct conf_key *key, const struct toml_node *node, struct conf *conf,
	struct conf_mistakes *mistakes)
{
	const char *text = node->string;
	unsigned first = port_take(&text);
	unsigned last = first;
	if (*text == '-') {
		text++;
		last = port_take(&text);
	}
	if (first == 0 || last == 0 || *text) {
		conf_mistake(mistakes, node->line,
			"%s = \"%.32s\" is not a port or range of ports from 1 to %d; write %s = "
			"%s",
			key->path, node->string, UINT16_MAX, key->name, key->example);
	} else if (first > last) {
		conf_mistake(mistakes, node->line, "%s = \"%s\" runs backwards; write \"%u-%u\"", key->path,
			node->string, last, first);
	} else if (last - first >= CONF_LISTEN_PORTS_MAX) {
		conf_mistake(mistakes, node->line,
			"%s = \"%s\" has %u ports; at most %d are possible, as in \"%u-%u\"", key->path,
			node->string, last - first + 1, CONF_LISTEN_PORTS_MAX, first,
			first + CONF_LISTEN_PORTS_MAX - 1);
	} else {
		conf->listen.port_first = (uint16_t)first;
		conf->listen.port_last = (uint16_t)last;
	}
}

static void range_print(const struct conf_key *key, const struct conf *conf, FILE *to)
{
	(void)key;
	if (conf->listen.port_first == conf->listen.port_last)
		fprintf(to, "\"%u\"", conf->listen.port_first);
	else
		fprintf(to, "\"%u-%u\"", conf->listen.port_first, conf->listen.port_last);
}

static bool range_equal(const struct conf_key *key, const struct conf *a, const struct conf *b)
{
	(void)key;
	return a->listen.port_first == b->listen.port_first && a->listen.port_last == b->listen.port_last;
}

const struct conf_kind conf_kind_range = {
	.type = TOML_STRING,
	.wants = "a string",
	.read = range_read,
	.print = range_print,
	.equal = range_equal,
};
