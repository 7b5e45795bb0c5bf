#include "survey_rule.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "survey_reader.h"

void survey_say(struct survey_reader *reader, const char *format, ...)
{
	char *to = reader->reading->words;
	size_t size = sizeof(reader->reading->words);
	if (reader->words + 1 >= size)
		return;
	if (reader->words > 0)
		to[reader->words++] = ' ';
	va_list args;
	va_start(args, format);
	int len = vsnprintf(to + reader->words, size - reader->words, format, args);
	va_end(args);
	reader->words += len > 0 ? (size_t)len : 0;
	if (reader->words >= size)
		reader->words = size - 1;
}

struct survey_slot *survey_slot(struct survey_reader *reader, uint32_t reg)
{
	uint32_t number = reg >= NFT_REG32_00 ? reg - NFT_REG32_00 : reg == 0 ? SURVEY_SLOTS : (reg - 1) * 4;
	reader->fallback = (struct survey_slot){.name = "?"};
	return number < SURVEY_SLOTS ? &reader->slots[number] : &reader->fallback;
}

struct survey_slot *survey_load(
	struct survey_reader *reader, uint32_t reg, enum survey_load load, const char *name)
{
	struct survey_slot *slot = survey_slot(reader, reg);
	*slot = (struct survey_slot){.load = load, .name = name, .prefix = -1};
	return slot;
}

/* The known ports of a range. */
static port_mask known_in(const struct survey_reader *reader, uint16_t first, uint16_t last)
{
	port_mask mask = 0;
	for (size_t i = 0; i < reader->known->count; i++)
		if (reader->known->ports[i] >= first && reader->known->ports[i] <= last)
			mask |= 1u << i;
	return mask;
}

port_mask survey_ports_in(const struct survey_reader *reader, uint16_t first, uint16_t last)
{
	port_mask known = known_in(reader, first, last);
	/* Only where every port of the range is a known one, none of the others matches. */
	return (unsigned)__builtin_popcount(known) == last - first + 1u ? known : known | PORT_MASK_OTHERS;
}

port_mask survey_ports_not_in(const struct survey_reader *reader, uint16_t first, uint16_t last)
{
	return ~known_in(reader, first, last);
}

uint16_t survey_port_at(const void *data, uint32_t len, uint32_t at)
{
	uint16_t port = 0;
	if (at + sizeof(port) <= len)
		memcpy(&port, (const char *)data + at, sizeof(port));
	return ntohs(port);
}

void survey_jump(struct survey_reader *reader, const char *chain, port_mask ports)
{
	struct survey_reading *reading = reader->reading;
	if (ports && chain && reading->jump_count < SURVEY_JUMPS_MAX)
		reading->jumps[reading->jump_count++] = (struct survey_jump){chain, ports};
}

static void read_payload(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	if (nftnl_expr_is_set(expr, NFTNL_EXPR_PAYLOAD_SREG)) {
		reader->reading->exact = false;
		return;
	}
	uint32_t base = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t len = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_LEN);
	uint32_t reg = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_DREG);
	static const struct {
		uint32_t base, offset, least, most;
		enum survey_load load;
		const char *name;
	} known[] = {
		{NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 2, LOAD_DPORT, "tcp dport"},
		{NFT_PAYLOAD_TRANSPORT_HEADER, 0, 4, 16, LOAD_DPORT, "tcp sport and dport"},
		{NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, 2, LOAD_SPORT, "tcp sport"},
		{NFT_PAYLOAD_NETWORK_HEADER, 9, 1, 1, LOAD_PROTOCOL, "ip protocol"},
		{NFT_PAYLOAD_NETWORK_HEADER, 12, 1, 4, LOAD_ADDRESS4, "ip saddr"},
		{NFT_PAYLOAD_NETWORK_HEADER, 16, 1, 4, LOAD_ADDRESS4, "ip daddr"},
		{NFT_PAYLOAD_NETWORK_HEADER, 8, 1, 16, LOAD_ADDRESS6, "ip6 saddr"},
		{NFT_PAYLOAD_NETWORK_HEADER, 24, 1, 16, LOAD_ADDRESS6, "ip6 daddr"},
	};
	struct survey_slot *slot = survey_load(reader, reg, LOAD_OPAQUE, "packet bytes");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (base != known[i].base || offset != known[i].offset || len < known[i].least ||
			len > known[i].most)
			continue;
		slot->load = known[i].load;
		slot->name = known[i].name;
		slot->at = 2 - offset;
		if (slot->load == LOAD_ADDRESS4 || slot->load == LOAD_ADDRESS6)
			slot->prefix = (int)len * 8;
		return;
	}
}

static void read_meta(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	if (!nftnl_expr_is_set(expr, NFTNL_EXPR_META_DREG)) {
		survey_say(reader, "meta set …");
		return;
	}
	static const struct {
		uint32_t key;
		enum survey_load load;
		const char *name;
	} known[] = {
		{NFT_META_L4PROTO, LOAD_PROTOCOL, "meta l4proto"},
		{NFT_META_NFPROTO, LOAD_FAMILY, "meta nfproto"},
		{NFT_META_SKUID, LOAD_NUMBER, "meta skuid"},
		{NFT_META_SKGID, LOAD_NUMBER, "meta skgid"},
		{NFT_META_MARK, LOAD_NUMBER, "meta mark"},
		{NFT_META_CGROUP, LOAD_NUMBER, "meta cgroup"},
		{NFT_META_IIF, LOAD_NUMBER, "iif"},
		{NFT_META_OIF, LOAD_NUMBER, "oif"},
		{NFT_META_IIFNAME, LOAD_NAME, "iifname"},
		{NFT_META_OIFNAME, LOAD_NAME, "oifname"},
	};
	uint32_t key = nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY);
	uint32_t reg = nftnl_expr_get_u32(expr, NFTNL_EXPR_META_DREG);
	struct survey_slot *slot = survey_load(reader, reg, LOAD_OPAQUE, "meta");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].key == key) {
			slot->load = known[i].load;
			slot->name = known[i].name;
		}
}

static void read_bitwise(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	const struct survey_slot *from =
		survey_slot(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_SREG));
	struct survey_slot masked = *from;
	uint32_t len = 0;
	const uint8_t *mask = nftnl_expr_get(expr, NFTNL_EXPR_BITWISE_MASK, &len);
	if ((masked.load == LOAD_ADDRESS4 || masked.load == LOAD_ADDRESS6) && mask) {
		masked.prefix = 0;
		for (uint32_t i = 0; i < len; i++)
			masked.prefix += __builtin_popcount(mask[i]);
	} else {
		masked.load = LOAD_OPAQUE;
	}
	*survey_slot(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_DREG)) = masked;
}

static void read_immediate(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	struct survey_reading *reading = reader->reading;
	uint32_t reg = nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_DREG);
	if (reg != NFT_REG_VERDICT) {
		struct survey_slot *slot = survey_load(reader, reg, LOAD_VALUE, "value");
		uint32_t len = 0;
		const void *data = nftnl_expr_get(expr, NFTNL_EXPR_IMM_DATA, &len);
		slot->len = len < sizeof(slot->value) ? len : sizeof(slot->value);
		if (data)
			memcpy(slot->value, data, slot->len);
		return;
	}
	int verdict = (int)nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT);
	const char *chain = nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_CHAIN)
				    ? nftnl_expr_get_str(expr, NFTNL_EXPR_IMM_CHAIN)
				    : NULL;
	if (chain) {
		survey_say(reader, "%s %s", verdict == NFT_GOTO ? "goto" : "jump", chain);
		survey_jump(reader, chain, reading->ports);
	}
	reading->terminal = verdict != NFT_JUMP && verdict != NFT_CONTINUE;
}

static void read_ct(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	if (nftnl_expr_is_set(expr, NFTNL_EXPR_CT_DREG))
		survey_load(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_DREG), LOAD_OPAQUE, "ct");
}

static void read_fib(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	survey_load(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_DREG), LOAD_OPAQUE, "fib");
}

static void read_end(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	survey_say(reader, "%s", nftnl_expr_get_str(expr, NFTNL_EXPR_NAME));
	reader->reading->terminal = true;
}

static void read_aside(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	(void)reader;
	(void)expr;
}

static const struct {
	const char *name;
	void (*read)(struct survey_reader *reader, const struct nftnl_expr *expr);
} readers[] = {
	{"payload", read_payload},
	{"meta", read_meta},
	{"ct", read_ct},
	{"fib", read_fib},
	{"bitwise", read_bitwise},
	{"cmp", survey_read_cmp},
	{"range", survey_read_range},
	{"lookup", survey_read_lookup},
	{"immediate", read_immediate},
	{"nat", survey_read_nat},
	{"redir", survey_read_redir},
	{"match", survey_read_match},
	{"target", survey_read_target},
	{"masq", read_end},
	{"reject", read_end},
	{"counter", read_aside},
	{"objref", read_aside},
	{"log", read_aside},
};

static int expr_read(struct nftnl_expr *expr, void *data)
{
	struct survey_reader *reader = data;
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (strcmp(name, readers[i].name) == 0) {
			readers[i].read(reader, expr);
			return 0;
		}
	/* A condition or an effect that this module does not know: it may match. */
	survey_say(reader, "%s …", name);
	reader->reading->exact = false;
	return 0;
}

void survey_rule_read(struct survey_reading *reading, const struct nftnl_rule *rule,
	const struct survey_ports *known, port_mask ports, survey_set_find *find, void *data)
{
	*reading = (struct survey_reading){.ports = ports, .exact = true};
	struct survey_reader reader = {
		.reading = reading,
		.known = known,
		.find = find,
		.find_data = data,
		.family = nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY),
	};
	nftnl_expr_foreach((struct nftnl_rule *)rule, expr_read, &reader);
	if (reader.tcp && !reader.port_said) {
		char words[sizeof(reading->words)];
		memcpy(words, reading->words, sizeof(words));
		snprintf(reading->words, sizeof(reading->words), "meta l4proto tcp %.*s",
			(int)sizeof(words) - 20, words);
	}
}
