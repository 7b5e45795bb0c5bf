/*
 * survey_reader: what the parts of survey_rule share: a rule is read expression by expression, and what its
 * registers hold is kept in words. For survey_rule.c, survey_condition.c and survey_target.c alone.
 */
#ifndef MX_SURVEY_READER_H
#define MX_SURVEY_READER_H

#include <libnftnl/expr.h>

#include "survey_rule.h"

/* The kernel's registers in units of 4 bytes. */
#define SURVEY_SLOTS 16

enum survey_load {
	LOAD_OPAQUE, /* not looked into */
	LOAD_DPORT,
	LOAD_SPORT,
	LOAD_PROTOCOL,
	LOAD_FAMILY, /* nft's own addition to a condition on addresses */
	LOAD_ADDRESS4,
	LOAD_ADDRESS6,
	LOAD_NUMBER, /* 32 bits in host order */
	LOAD_NAME,   /* of a device */
	LOAD_VALUE,  /* an immediate */
};

struct survey_slot {
	enum survey_load load;
	const char *name;  /* in nft's words */
	uint32_t at;       /* a destination port's place in what was loaded, in bytes */
	uint8_t value[16]; /* of an immediate */
	uint32_t len;
	int prefix; /* bits that a mask left of an address; -1: all */
};

struct survey_reader {
	struct survey_reading *reading;
	const struct survey_ports *known;
	survey_set_find *find;
	void *find_data;
	uint32_t family;
	struct survey_slot slots[SURVEY_SLOTS];
	struct survey_slot fallback; /* for a register that there is not */
	bool tcp, port_said;
	size_t words;
};

/* Adds to the rule's words, a blank before it. */
void survey_say(struct survey_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a register holds; and, made anew, for what is loaded into it. Never NULL. */
struct survey_slot *survey_slot(struct survey_reader *reader, uint32_t reg);
struct survey_slot *survey_load(
	struct survey_reader *reader, uint32_t reg, enum survey_load load, const char *name);

/* The ports inside of a range, and those outside of it. */
port_mask survey_ports_in(const struct survey_reader *reader, uint16_t first, uint16_t last);
port_mask survey_ports_not_in(const struct survey_reader *reader, uint16_t first, uint16_t last);

/* The port in network order at a place; 0 where there is none. */
uint16_t survey_port_at(const void *data, uint32_t len, uint32_t at);

void survey_jump(struct survey_reader *reader, const char *chain, port_mask ports);

/* Readers of expressions, by file. */
void survey_read_cmp(struct survey_reader *reader, const struct nftnl_expr *expr);
void survey_read_range(struct survey_reader *reader, const struct nftnl_expr *expr);
void survey_read_lookup(struct survey_reader *reader, const struct nftnl_expr *expr);
void survey_read_match(struct survey_reader *reader, const struct nftnl_expr *expr);

void survey_read_nat(struct survey_reader *reader, const struct nftnl_expr *expr);
void survey_read_redir(struct survey_reader *reader, const struct nftnl_expr *expr);
void survey_read_target(struct survey_reader *reader, const struct nftnl_expr *expr);

#endif
