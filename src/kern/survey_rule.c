#include "survey_rule.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The kernel's registers in units of 4 bytes. */
#define SLOTS 16

enum load {
	LOAD_OPAQUE, /* not looked into */
	LOAD_DPORT,
	LOAD_SPORT,
	LOAD_PROTOCOL,
	LOAD_ADDRESS4,
	LOAD_ADDRESS6,
	LOAD_NUMBER, /* 32 bits in host order */
	LOAD_NAME,   /* of a device */
	LOAD_VALUE,  /* an immediate */
};

struct slot {
	enum load load;
	const char *name;  /* in nft's words */
	uint32_t at;       /* a destination port's place in what was loaded, in bytes */
	uint8_t value[16]; /* of an immediate */
	uint32_t len;
	int prefix; /* bits that a mask left of an address; -1: all */
};

struct reader {
	struct survey_reading *reading;
	const struct survey_ports *known;
	survey_set_find *find;
	void *find_data;
	uint32_t family;
	struct slot slots[SLOTS];
	struct slot fallback; /* for a register that there is not */
	bool tcp, port_said;
	size_t words;
};

static void say(struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct reader *reader, const char *format, ...)
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

static struct slot *slot_of(struct reader *reader, uint32_t reg)
{
	uint32_t number = reg >= NFT_REG32_00 ? reg - NFT_REG32_00 : reg == 0 ? SLOTS : (reg - 1) * 4;
	reader->fallback = (struct slot){.name = "?"};
	return number < SLOTS ? &reader->slots[number] : &reader->fallback;
}

static struct slot *slot_load(struct reader *reader, uint32_t reg, enum load load, const char *name)
{
	struct slot *slot = slot_of(reader, reg);
	*slot = (struct slot){.load = load, .name = name, .prefix = -1};
	return slot;
}

/* The ports that satisfy a test; those that are not known one by one are kept unless `others` says no. */
static port_mask ports_where(const struct reader *reader, bool (*test)(uint16_t port, const void *arg),
	const void *arg, bool others)
{
	port_mask mask = others ? PORT_MASK_OTHERS : 0;
	for (size_t i = 0; i < reader->known->count; i++)
		if (test(reader->known->ports[i], arg))
			mask |= 1u << i;
	return mask;
}

struct port_range {
	uint16_t first, last;
};

static bool in_range(uint16_t port, const void *arg)
{
	const struct port_range *range = arg;
	return port >= range->first && port <= range->last;
}

static port_mask ports_in(const struct reader *reader, uint16_t first, uint16_t last)
{
	struct port_range range = {first, last};
	port_mask known = ports_where(reader, in_range, &range, false);
	/* Only where every port of the range is a known one, none of the others matches. */
	return (unsigned)__builtin_popcount(known) == last - first + 1u ? known : known | PORT_MASK_OTHERS;
}

static port_mask ports_not_in(const struct reader *reader, uint16_t first, uint16_t last)
{
	struct port_range range = {first, last};
	return ~ports_where(reader, in_range, &range, false);
}

static uint16_t port_at(const void *data, uint32_t len, uint32_t at)
{
	uint16_t port = 0;
	if (at + sizeof(port) <= len)
		memcpy(&port, (const char *)data + at, sizeof(port));
	return ntohs(port);
}

static void read_payload(struct reader *reader, const struct nftnl_expr *expr)
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
		enum load load;
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
	struct slot *slot = slot_load(reader, reg, LOAD_OPAQUE, "packet bytes");
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

static void read_meta(struct reader *reader, const struct nftnl_expr *expr)
{
	if (!nftnl_expr_is_set(expr, NFTNL_EXPR_META_DREG)) {
		say(reader, "meta set …");
		return;
	}
	static const struct {
		uint32_t key;
		enum load load;
		const char *name;
	} known[] = {
		{NFT_META_L4PROTO, LOAD_PROTOCOL, "meta l4proto"},
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
	struct slot *slot = slot_load(reader, reg, LOAD_OPAQUE, "meta");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].key == key) {
			slot->load = known[i].load;
			slot->name = known[i].name;
		}
}

static void read_bitwise(struct reader *reader, const struct nftnl_expr *expr)
{
	const struct slot *from = slot_of(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_SREG));
	struct slot masked = *from;
	uint32_t len = 0;
	const uint8_t *mask = nftnl_expr_get(expr, NFTNL_EXPR_BITWISE_MASK, &len);
	if ((masked.load == LOAD_ADDRESS4 || masked.load == LOAD_ADDRESS6) && mask) {
		masked.prefix = 0;
		for (uint32_t i = 0; i < len; i++)
			masked.prefix += __builtin_popcount(mask[i]);
	} else {
		masked.load = LOAD_OPAQUE;
	}
	*slot_of(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_DREG)) = masked;
}

static const char *op_words(uint32_t op)
{
	static const char *const words[] = {"", "!= ", "< ", "<= ", "> ", ">= "};
	return op < sizeof(words) / sizeof(words[0]) ? words[op] : "? ";
}

/* "192.0.2.0/24" of the bytes that were compared. */
static void address_say(
	struct reader *reader, const struct slot *slot, const char *op, const void *data, uint32_t len)
{
	bool four = slot->load == LOAD_ADDRESS4;
	uint8_t bytes[16] = {0};
	char text[INET6_ADDRSTRLEN] = "?";
	int bits = four ? 32 : 128;
	memcpy(bytes, data, len < sizeof(bytes) ? len : sizeof(bytes));
	inet_ntop(four ? AF_INET : AF_INET6, bytes, text, sizeof(text));
	if (slot->prefix >= 0 && slot->prefix < bits)
		say(reader, "%s %s%s/%d", slot->name, op, text, slot->prefix);
	else
		say(reader, "%s %s%s", slot->name, op, text);
}

static void compare_port(
	struct reader *reader, const struct slot *slot, uint32_t op, const void *data, uint32_t len)
{
	uint16_t port = port_at(data, len, slot->at);
	struct survey_reading *reading = reader->reading;
	static const struct {
		bool negated;
		int first, last; /* 0: the port, else what is added to it; 65536: the end */
	} ranges[] = {
		[NFT_CMP_EQ] = {false, 0, 0},
		[NFT_CMP_NEQ] = {true, 0, 0},
		[NFT_CMP_LT] = {false, -65536, -1},
		[NFT_CMP_LTE] = {false, -65536, 0},
		[NFT_CMP_GT] = {false, 1, 65536},
		[NFT_CMP_GTE] = {false, 0, 65536},
	};
	say(reader, "tcp dport %s%u", op_words(op), port);
	reader->port_said = true;
	if (op >= sizeof(ranges) / sizeof(ranges[0]) || (len != 2 && op != NFT_CMP_EQ)) {
		reading->exact = false;
		return;
	}
	int first = port + ranges[op].first, last = port + ranges[op].last;
	first = first < 0 ? 0 : first;
	last = last > 65535 ? 65535 : last;
	if (first > last)
		reading->ports = 0;
	else
		reading->ports &= ranges[op].negated ? ports_not_in(reader, (uint16_t)first, (uint16_t)last)
						     : ports_in(reader, (uint16_t)first, (uint16_t)last);
	/* Ports of the source were compared, too. */
	if (len != 2)
		reading->exact = false;
}

static void read_cmp(struct reader *reader, const struct nftnl_expr *expr)
{
	const struct slot *slot = slot_of(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_SREG));
	uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_OP), len = 0;
	const uint8_t *data = nftnl_expr_get(expr, NFTNL_EXPR_CMP_DATA, &len);
	if (!data || len == 0)
		return;
	if (slot->load == LOAD_DPORT) {
		compare_port(reader, slot, op, data, len);
		return;
	}
	if (slot->load == LOAD_PROTOCOL && (op == NFT_CMP_EQ || op == NFT_CMP_NEQ)) {
		if ((data[0] == IPPROTO_TCP) != (op == NFT_CMP_EQ))
			reader->reading->ports = 0;
		else if (op == NFT_CMP_EQ)
			reader->tcp = true;
		return;
	}
	reader->reading->exact = false;
	uint32_t number = 0;
	memcpy(&number, data, len < sizeof(number) ? len : sizeof(number));
	switch (slot->load) {
	case LOAD_SPORT:
		say(reader, "tcp sport %s%u", op_words(op), port_at(data, len, 0));
		break;
	case LOAD_ADDRESS4:
	case LOAD_ADDRESS6:
		address_say(reader, slot, op_words(op), data, len);
		break;
	case LOAD_NUMBER:
		say(reader, "%s %s%u", slot->name, op_words(op), number);
		break;
	case LOAD_NAME:
		/* A prefix of a name has no NUL: nft's and iptables' "eth+". */
		say(reader, "%s %s\"%.*s%s\"", slot->name, op_words(op),
			(int)strnlen((const char *)data, len), (const char *)data,
			memchr(data, 0, len) || len >= 16 ? "" : "*");
		break;
	default:
		say(reader, "%s …", slot->name ? slot->name : "?");
	}
}

static void read_range(struct reader *reader, const struct nftnl_expr *expr)
{
	const struct slot *slot = slot_of(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_SREG));
	uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_OP), from_len = 0, to_len = 0;
	const void *from = nftnl_expr_get(expr, NFTNL_EXPR_RANGE_FROM_DATA, &from_len);
	const void *to = nftnl_expr_get(expr, NFTNL_EXPR_RANGE_TO_DATA, &to_len);
	if (slot->load != LOAD_DPORT || !from || !to || from_len != 2 || to_len != 2) {
		reader->reading->exact = false;
		say(reader, "%s in a range", slot->name ? slot->name : "?");
		return;
	}
	uint16_t first = port_at(from, 2, 0), last = port_at(to, 2, 0);
	say(reader, "tcp dport %s%u-%u", op_words(op), first, last);
	reader->port_said = true;
	reader->reading->ports &=
		op == NFT_RANGE_NEQ ? ports_not_in(reader, first, last) : ports_in(reader, first, last);
}

/* Calls take for each interval of a set of ports; one-port intervals for single elements. */
static void set_each(const struct nftnl_set *set, bool intervals, void *arg,
	void (*take)(void *arg, uint16_t first, uint16_t last, const struct nftnl_set_elem *elem))
{
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	const struct nftnl_set_elem *elem;
	while (iter && (elem = nftnl_set_elems_iter_next(iter))) {
		uint32_t len = 0;
		const void *key = nftnl_set_elem_get((struct nftnl_set_elem *)elem, NFTNL_SET_ELEM_KEY, &len);
		bool end = nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_FLAGS) &&
			   (nftnl_set_elem_get_u32((struct nftnl_set_elem *)elem, NFTNL_SET_ELEM_FLAGS) &
				   NFT_SET_ELEM_INTERVAL_END);
		if (!key || len < 2 || end)
			continue;
		uint16_t first = port_at(key, len, 0), last = first;
		if (intervals) {
			/* The interval ends before the nearest end above its beginning. */
			unsigned limit = 65536;
			struct nftnl_set_elems_iter *others = nftnl_set_elems_iter_create(set);
			const struct nftnl_set_elem *other;
			while (others && (other = nftnl_set_elems_iter_next(others))) {
				const void *above = nftnl_set_elem_get(
					(struct nftnl_set_elem *)other, NFTNL_SET_ELEM_KEY, &len);
				if (above && len >= 2 && port_at(above, len, 0) > first &&
					port_at(above, len, 0) < limit)
					limit = port_at(above, len, 0);
			}
			if (others)
				nftnl_set_elems_iter_destroy(others);
			last = (uint16_t)(limit - 1);
		}
		take(arg, first, last, elem);
	}
	if (iter)
		nftnl_set_elems_iter_destroy(iter);
}

struct lookup {
	struct reader *reader;
	port_mask ports;
	bool verdicts;
	unsigned said;
	char text[128];
	size_t len;
};

static void jump_add(struct reader *reader, const char *chain, port_mask ports)
{
	struct survey_reading *reading = reader->reading;
	if (ports && chain && reading->jump_count < SURVEY_JUMPS_MAX)
		reading->jumps[reading->jump_count++] = (struct survey_jump){chain, ports};
}

static void lookup_take(void *arg, uint16_t first, uint16_t last, const struct nftnl_set_elem *elem)
{
	struct lookup *lookup = arg;
	port_mask ports = ports_in(lookup->reader, first, last);
	lookup->ports |= ports;
	if (lookup->said++ < 8 && lookup->len < sizeof(lookup->text)) {
		int used = snprintf(lookup->text + lookup->len, sizeof(lookup->text) - lookup->len,
			first == last ? "%s%u" : "%s%u-%u", lookup->len ? ", " : "", first, last);
		lookup->len += used > 0 ? (size_t)used : 0;
	}
	if (lookup->verdicts)
		jump_add(lookup->reader,
			nftnl_set_elem_get_str((struct nftnl_set_elem *)elem, NFTNL_SET_ELEM_CHAIN),
			ports & lookup->reader->reading->ports);
}

static void read_lookup(struct reader *reader, const struct nftnl_expr *expr)
{
	const struct slot *slot = slot_of(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_SREG));
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_LOOKUP_SET);
	bool inverted = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_FLAGS) &&
			(nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV);
	bool is_map = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG);
	uint32_t to = is_map ? nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_DREG) : 0;
	const struct nftnl_set *set = reader->find(reader->find_data, name);
	uint32_t flags = set ? nftnl_set_get_u32(set, NFTNL_SET_FLAGS) : 0;
	uint32_t key_len = set ? nftnl_set_get_u32(set, NFTNL_SET_KEY_LEN) : 0;
	struct lookup lookup = {.reader = reader, .verdicts = is_map && to == NFT_REG_VERDICT};
	if (slot->load == LOAD_DPORT && slot->at == 0 && key_len == 2) {
		set_each(set, flags & NFT_SET_INTERVAL, &lookup, lookup_take);
		say(reader, "tcp dport %s%s{ %s%s }", inverted ? "!= " : "", is_map ? "map " : "",
			lookup.text, lookup.said > 8 ? ", …" : "");
		reader->port_said = true;
		if (inverted)
			/* Which of the others are in it, is not known. */
			reader->reading->ports &= ~(lookup.ports & ~PORT_MASK_OTHERS);
		else
			reader->reading->ports &= lookup.ports;
		if (!(flags & NFT_SET_CONSTANT))
			reader->reading->exact = false;
	} else {
		/* A key that is not the port alone: it may match, and every way that it shows may be taken. */
		say(reader, "%s%s %s@%s", slot->name ? slot->name : "?", is_map ? " map" : "",
			inverted ? "!= " : "", name ? name : "?");
		reader->reading->exact = false;
		struct nftnl_set_elems_iter *iter =
			set && lookup.verdicts ? nftnl_set_elems_iter_create(set) : NULL;
		struct nftnl_set_elem *elem;
		while (iter && (elem = nftnl_set_elems_iter_next(iter)))
			jump_add(reader, nftnl_set_elem_get_str(elem, NFTNL_SET_ELEM_CHAIN),
				reader->reading->ports);
		if (iter)
			nftnl_set_elems_iter_destroy(iter);
	}
	if (is_map && to != NFT_REG_VERDICT)
		slot_load(reader, to, LOAD_OPAQUE, "map");
	if (lookup.verdicts)
		reader->reading->exact = false;
}

static void read_immediate(struct reader *reader, const struct nftnl_expr *expr)
{
	struct survey_reading *reading = reader->reading;
	uint32_t reg = nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_DREG);
	if (reg != NFT_REG_VERDICT) {
		struct slot *slot = slot_load(reader, reg, LOAD_VALUE, "value");
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
		say(reader, "%s %s", verdict == NFT_GOTO ? "goto" : "jump", chain);
		jump_add(reader, chain, reading->ports);
	}
	reading->terminal = verdict != NFT_JUMP && verdict != NFT_CONTINUE;
}

/* " to 192.0.2.9:2525" */
static void target_say(
	struct reader *reader, const char *action, int family, const void *address, uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "", port_text[8] = "";
	if (address)
		inet_ntop(family, address, text, sizeof(text));
	if (port)
		snprintf(port_text, sizeof(port_text), ":%u", port);
	bool brackets = port && address && family == AF_INET6;
	if (text[0] || port)
		say(reader, "%s to %s%s%s%s", action, brackets ? "[" : "", text, brackets ? "]" : "",
			port_text);
	else
		say(reader, "%s", action);
	reader->reading->rewrites = true;
	reader->reading->to_port = port;
}

static uint16_t register_port(struct reader *reader, const struct nftnl_expr *expr, uint16_t attribute)
{
	if (!nftnl_expr_is_set(expr, attribute))
		return 0;
	const struct slot *slot = slot_of(reader, nftnl_expr_get_u32(expr, attribute));
	return slot->load == LOAD_VALUE ? port_at(slot->value, slot->len, 0) : 0;
}

static void read_nat(struct reader *reader, const struct nftnl_expr *expr)
{
	if (nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_TYPE) != NFT_NAT_DNAT) {
		say(reader, "snat");
		reader->reading->terminal = true;
		return;
	}
	const struct slot *slot =
		nftnl_expr_is_set(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN)
			? slot_of(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN))
			: NULL;
	uint16_t port = register_port(reader, expr, NFTNL_EXPR_NAT_REG_PROTO_MIN);
	bool is_value = slot && slot->load == LOAD_VALUE;
	target_say(reader, slot && !is_value ? "dnat by map" : "dnat",
		is_value && slot->len == 16 ? AF_INET6 : AF_INET, is_value ? slot->value : NULL, port);
}

static void read_redir(struct reader *reader, const struct nftnl_expr *expr)
{
	target_say(reader, "redirect", AF_INET, NULL,
		register_port(reader, expr, NFTNL_EXPR_REDIR_REG_PROTO_MIN));
}

/* x_tables' targets: two layouts for IPv4 with REDIRECT and old DNAT, else nf_nat_range. */
static void read_target(struct reader *reader, const struct nftnl_expr *expr)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME);
	uint32_t revision = nftnl_expr_get_u32(expr, NFTNL_EXPR_TG_REV), len = 0;
	const void *info = nftnl_expr_get(expr, NFTNL_EXPR_TG_INFO, &len);
	bool dnat = strcmp(name, "DNAT") == 0, redirect = strcmp(name, "REDIRECT") == 0;
	reader->reading->iptables = true;
	if (!dnat && !redirect) {
		say(reader, "%s", name);
		if (strcmp(name, "NETMAP") == 0)
			target_say(reader, "(netmap)", AF_INET, NULL, 0);
		else if (strcmp(name, "SNAT") == 0 || strcmp(name, "MASQUERADE") == 0)
			reader->reading->terminal = true;
		return;
	}
	uint32_t flags = 0;
	uint16_t port = 0;
	int family = reader->family == NFPROTO_IPV6 ? AF_INET6 : AF_INET;
	const void *address = NULL;
	if (family == AF_INET && revision == 0 && info &&
		len >= sizeof(struct nf_nat_ipv4_multi_range_compat)) {
		const struct nf_nat_ipv4_multi_range_compat *ranges = info;
		flags = ranges->range[0].flags;
		port = ntohs(ranges->range[0].min.all);
		address = &ranges->range[0].min_ip;
	} else if (info && len >= sizeof(struct nf_nat_range)) {
		const struct nf_nat_range *range = info;
		flags = range->flags;
		port = ntohs(range->min_proto.all);
		address = &range->min_addr;
	}
	target_say(reader, dnat ? "DNAT" : "REDIRECT", family,
		flags & NF_NAT_RANGE_MAP_IPS && dnat ? address : NULL,
		flags & NF_NAT_RANGE_PROTO_SPECIFIED ? port : 0);
}

static void read_multiport(struct reader *reader, const struct xt_multiport_v1 *info)
{
	struct lookup lookup = {.reader = reader};
	for (unsigned i = 0; i < info->count && i < XT_MULTI_PORTS; i++) {
		uint16_t first = info->ports[i], last = first;
		if (info->pflags[i] && i + 1 < info->count)
			last = info->ports[++i];
		lookup_take(&lookup, first, last, NULL);
	}
	bool source = info->flags == XT_MULTIPORT_SOURCE;
	say(reader, "tcp %s %s{ %s }", source ? "sport" : "dport", info->invert ? "!= " : "", lookup.text);
	if (info->flags != XT_MULTIPORT_DESTINATION) {
		reader->reading->exact = false;
		return;
	}
	reader->port_said = true;
	reader->reading->ports &= info->invert ? ~(lookup.ports & ~PORT_MASK_OTHERS) : lookup.ports;
}

static void read_xt_tcp(struct reader *reader, const struct xt_tcp *info)
{
	uint16_t first = info->dpts[0], last = info->dpts[1];
	bool inverted = info->invflags & XT_TCP_INV_DSTPT;
	reader->tcp = true;
	if (first > 0 || last < 65535 || inverted) {
		say(reader, first == last ? "tcp dport %s%u" : "tcp dport %s%u-%u", inverted ? "!= " : "",
			first, last);
		reader->port_said = true;
		reader->reading->ports &=
			inverted ? ports_not_in(reader, first, last) : ports_in(reader, first, last);
	}
	if (info->spts[0] > 0 || info->spts[1] < 65535 || info->flg_mask || info->option)
		reader->reading->exact = false;
}

static void read_match(struct reader *reader, const struct nftnl_expr *expr)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_MT_NAME);
	uint32_t revision = nftnl_expr_get_u32(expr, NFTNL_EXPR_MT_REV), len = 0;
	const void *info = nftnl_expr_get(expr, NFTNL_EXPR_MT_INFO, &len);
	reader->reading->iptables = true;
	if (strcmp(name, "multiport") == 0 && revision == 1 && info &&
		len >= sizeof(struct xt_multiport_v1)) {
		read_multiport(reader, info);
	} else if (strcmp(name, "tcp") == 0 && info && len >= sizeof(struct xt_tcp)) {
		read_xt_tcp(reader, info);
	} else if (strcmp(name, "udp") == 0) {
		reader->reading->ports = 0;
	} else if (strcmp(name, "comment") != 0) {
		say(reader, "-m %s …", name);
		reader->reading->exact = false;
	}
}

static void read_ct(struct reader *reader, const struct nftnl_expr *expr)
{
	if (nftnl_expr_is_set(expr, NFTNL_EXPR_CT_DREG))
		slot_load(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_DREG), LOAD_OPAQUE, "ct");
}

static void read_fib(struct reader *reader, const struct nftnl_expr *expr)
{
	slot_load(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_DREG), LOAD_OPAQUE, "fib");
}

static void read_end(struct reader *reader, const struct nftnl_expr *expr)
{
	say(reader, "%s", nftnl_expr_get_str(expr, NFTNL_EXPR_NAME));
	reader->reading->terminal = true;
}

static void read_aside(struct reader *reader, const struct nftnl_expr *expr)
{
	(void)reader;
	(void)expr;
}

static const struct {
	const char *name;
	void (*read)(struct reader *reader, const struct nftnl_expr *expr);
} readers[] = {
	{"payload", read_payload},
	{"meta", read_meta},
	{"ct", read_ct},
	{"fib", read_fib},
	{"bitwise", read_bitwise},
	{"cmp", read_cmp},
	{"range", read_range},
	{"lookup", read_lookup},
	{"immediate", read_immediate},
	{"nat", read_nat},
	{"redir", read_redir},
	{"match", read_match},
	{"target", read_target},
	{"masq", read_end},
	{"reject", read_end},
	{"counter", read_aside},
	{"objref", read_aside},
	{"log", read_aside},
};

static int expr_read(struct nftnl_expr *expr, void *data)
{
	struct reader *reader = data;
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (strcmp(name, readers[i].name) == 0) {
			readers[i].read(reader, expr);
			return 0;
		}
	/* A condition or an effect that this module does not know: it may match. */
	say(reader, "%s …", name);
	reader->reading->exact = false;
	return 0;
}

void survey_rule_read(struct survey_reading *reading, const struct nftnl_rule *rule,
	const struct survey_ports *known, port_mask ports, survey_set_find *find, void *data)
{
	*reading = (struct survey_reading){.ports = ports, .exact = true};
	struct reader reader = {
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
