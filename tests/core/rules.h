/*
 * rules: configurations filled by hand, whose rules the files in rules/ hold in nft syntax, for
 * tests of the rules and of what loads them.
 */
#ifndef TEST_RULES_H
#define TEST_RULES_H

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ruleset.h"

#define RULES_DEFAULT_FILE SOURCE_DIR "/rules/mxmirage.nft"
#define RULES_EXAMPLE_FILE SOURCE_DIR "/rules/example-exclude.nft"

/* What a configuration without a file asks for. */
static inline struct conf conf_default(void)
{
	return (struct conf){.divert = {.ports = {25}, .port_count = 1},
		.listen = {.port_first = 4025, .port_last = 4032}};
}

static inline struct conf_block block(const char *address, uint8_t prefix)
{
	struct conf_block block = {.prefix = prefix};
	block.family = strchr(address, ':') ? AF_INET6 : AF_INET;
	ck_assert_int_eq(inet_pton(block.family, address, block.address), 1);
	return block;
}

static inline struct ruleset *rules_of(const struct conf *conf, unsigned tables)
{
	static const char names[][IFNAMSIZ] = {"eth0", "br-lan"};
	static const struct ruleset_devices devices = {names, 2, NULL};
	struct err err = {""};
	struct ruleset *rules = ruleset_new(conf, tables, &devices, &err);
	ck_assert_msg(rules != NULL, "%s", err.text);
	return rules;
}

static inline struct ruleset *rules_default_tables(unsigned tables)
{
	struct conf conf = conf_default();
	return rules_of(&conf, tables);
}

static inline struct ruleset *rules_default(void)
{
	return rules_default_tables(RULESET_ALL);
}

/* More ports and blocks than fit a line, blocks that touch, single addresses, both ends of the
 * space. */
static inline struct ruleset *rules_example_tables(unsigned tables)
{
	struct conf_block blocks[] = {
		block("0.0.0.0", 8),
		block("10.0.0.0", 8),
		block("192.168.0.0", 24),
		block("192.168.1.0", 24),
		block("203.0.113.5", 32),
		block("203.0.113.6", 32),
		block("240.0.0.0", 4),
		block("::1", 128),
		block("2001:db8:1::", 48),
		block("fe80::", 10),
		block("ff00::", 8),
	};
	struct conf conf = conf_default();
	static const uint16_t ports[] = {25, 465, 587, 2525, 10025, 10026};
	memcpy(conf.divert.ports, ports, sizeof(ports));
	conf.divert.port_count = sizeof(ports) / sizeof(ports[0]);
	conf.divert.exclude = blocks;
	conf.divert.exclude_count = sizeof(blocks) / sizeof(blocks[0]);
	conf.listen.port_last = conf.listen.port_first;
	strcpy(conf.guard.devices[0], "tun_0");
	conf.guard.device_count = 1;
	return rules_of(&conf, tables);
}

static inline struct ruleset *rules_example(void)
{
	return rules_example_tables(RULESET_ALL);
}

/* The printed form, to be freed. */
static inline char *rules_text(const struct ruleset *rules)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(to);
	ruleset_print(rules, to);
	ck_assert_int_eq(fclose(to), 0);
	return text;
}

#endif
