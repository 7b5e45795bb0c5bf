/* A foreign rule's conditions: which ports satisfy them. */
#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "survey_reader.h"

static const char *op_words(uint32_t op)
{
	static const char *const words[] = {"", "!= ", "< ", "<= ", "> ", ">= "};
	return op < sizeof(words) / sizeof(words[0]) ? words[op] : "? ";
}

/* "192.0.2.0/24" of the bytes that were compared. */
static void address_say(struct survey_reader *reader, const struct survey_slot *slot, const char *op,
	const void *data, uint32_t len)
{
	bool four = slot->load == LOAD_ADDRESS4;
	uint8_t bytes[16] = {0};
	char text[INET6_ADDRSTRLEN] = "?";
	int bits = four ? 32 : 128;
	memcpy(bytes, data, len < sizeof(bytes) ? len : sizeof(bytes));
	inet_ntop(four ? AF_INET : AF_INET6, bytes, text, sizeof(text));
	if (slot->prefix >= 0 && slot->prefix < bits)
		survey_say(reader, "%s %s%s/%d", slot->name, op, text, slot->prefix);
	else
		survey_say(reader, "%s %s%s", slot->name, op, text);
}

static void compare_port(struct survey_reader *reader, const struct survey_slot *slot, uint32_t op,
	const void *data, uint32_t len)
{
	uint16_t port = survey_port_at(data, len, slot->at);
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
	survey_say(reader, "tcp dport %s%u", op_words(op), port);
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
		reading->ports &= ranges[op].negated
					  ? survey_ports_not_in(reader, (uint16_t)first, (uint16_t)last)
					  : survey_ports_in(reader, (uint16_t)first, (uint16_t)last);
	/* Ports of the source were compared, too. */
	if (len != 2)
		reading->exact = false;
}

void survey_read_cmp(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	const struct survey_slot *slot = survey_slot(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_SREG));
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
		survey_say(reader, "tcp sport %s%u", op_words(op), survey_port_at(data, len, 0));
		break;
	case LOAD_ADDRESS4:
	case LOAD_ADDRESS6:
		address_say(reader, slot, op_words(op), data, len);
		break;
	case LOAD_NUMBER:
		survey_say(reader, "%s %s%u", slot->name, op_words(op), number);
		break;
	case LOAD_NAME:
		/* A prefix of a name has no NUL: nft's and iptables' "eth+". */
		survey_say(reader, "%s %s\"%.*s%s\"", slot->name, op_words(op),
			(int)strnlen((const char *)data, len), (const char *)data,
			memchr(data, 0, len) || len >= 16 ? "" : "*");
		break;
	case LOAD_FAMILY:
		break;
	default:
		survey_say(reader, "%s …", slot->name ? slot->name : "?");
	}
}

void survey_read_range(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	const struct survey_slot *slot = survey_slot(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_SREG));
	uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_OP), from_len = 0, to_len = 0;
	const void *from = nftnl_expr_get(expr, NFTNL_EXPR_RANGE_FROM_DATA, &from_len);
	const void *to = nftnl_expr_get(expr, NFTNL_EXPR_RANGE_TO_DATA, &to_len);
	if (slot->load != LOAD_DPORT || !from || !to || from_len != 2 || to_len != 2) {
		reader->reading->exact = false;
		survey_say(reader, "%s in a range", slot->name ? slot->name : "?");
		return;
	}
	uint16_t first = survey_port_at(from, 2, 0), last = survey_port_at(to, 2, 0);
	survey_say(reader, "tcp dport %s%u-%u", op_words(op), first, last);
	reader->port_said = true;
	reader->reading->ports &= op == NFT_RANGE_NEQ ? survey_ports_not_in(reader, first, last)
						      : survey_ports_in(reader, first, last);
}

struct port_elem {
	uint16_t port;
	bool end;          /* the first port behind an interval */
	const char *chain; /* of a verdict map */
};

static int port_order(const void *left, const void *right)
{
	const struct port_elem *a = left, *b = right;
	return a->port != b->port ? (a->port > b->port) - (a->port < b->port) : b->end - a->end;
}

/* The elements of a set of ports, ascending, to be freed; NULL when out of memory. */
static struct port_elem *elems_list(const struct nftnl_set *set, size_t *count)
{
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	size_t room = 64;
	struct port_elem *elems = malloc(room * sizeof(*elems));
	struct nftnl_set_elem *elem;
	*count = 0;
	while (iter && elems && (elem = nftnl_set_elems_iter_next(iter))) {
		uint32_t len = 0;
		const void *key = nftnl_set_elem_get(elem, NFTNL_SET_ELEM_KEY, &len);
		if (!key || len < 2)
			continue;
		if (*count == room) {
			struct port_elem *more = realloc(elems, 2 * room * sizeof(*elems));
			if (!more) {
				free(elems);
				elems = NULL;
				break;
			}
			elems = more;
			room *= 2;
		}
		bool end = nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_FLAGS) &&
			   (nftnl_set_elem_get_u32(elem, NFTNL_SET_ELEM_FLAGS) & NFT_SET_ELEM_INTERVAL_END);
		elems[(*count)++] = (struct port_elem){
			survey_port_at(key, len, 0), end, nftnl_set_elem_get_str(elem, NFTNL_SET_ELEM_CHAIN)};
	}
	if (iter)
		nftnl_set_elems_iter_destroy(iter);
	if (elems)
		qsort(elems, *count, sizeof(*elems), port_order);
	return elems;
}

struct lookup {
	struct survey_reader *reader;
	port_mask ports;
	unsigned said;
	char text[128];
	size_t len;
};

static void lookup_take(struct lookup *lookup, uint16_t first, uint16_t last, const char *chain)
{
	port_mask ports = survey_ports_in(lookup->reader, first, last);
	lookup->ports |= ports;
	if (lookup->said++ < 8 && lookup->len < sizeof(lookup->text)) {
		int used = snprintf(lookup->text + lookup->len, sizeof(lookup->text) - lookup->len,
			first == last ? "%s%u" : "%s%u-%u", lookup->len ? ", " : "", first, last);
		lookup->len += used > 0 ? (size_t)used : 0;
	}
	survey_jump(lookup->reader, chain, ports & lookup->reader->reading->ports);
}

/* Takes each port or interval of a set; false when out of memory. */
static bool lookup_set(struct lookup *lookup, const struct nftnl_set *set)
{
	size_t count;
	bool intervals = nftnl_set_get_u32(set, NFTNL_SET_FLAGS) & NFT_SET_INTERVAL;
	struct port_elem *elems = elems_list(set, &count);
	for (size_t i = 0; elems && i < count; i++) {
		if (elems[i].end)
			continue;
		uint16_t last = elems[i].port;
		if (intervals)
			last = i + 1 < count ? (uint16_t)(elems[i + 1].port - 1) : UINT16_MAX;
		lookup_take(lookup, elems[i].port, last, elems[i].chain);
	}
	free(elems);
	return elems != NULL;
}

void survey_read_lookup(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	const struct survey_slot *slot =
		survey_slot(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_SREG));
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_LOOKUP_SET);
	bool inverted = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_FLAGS) &&
			(nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV);
	bool is_map = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG);
	uint32_t to = is_map ? nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_DREG) : 0;
	const struct nftnl_set *set = reader->find(reader->find_data, name);
	uint32_t flags = set ? nftnl_set_get_u32(set, NFTNL_SET_FLAGS) : 0;
	uint32_t key_len = set ? nftnl_set_get_u32(set, NFTNL_SET_KEY_LEN) : 0;
	struct lookup lookup = {.reader = reader};
	bool verdicts = is_map && to == NFT_REG_VERDICT;
	if (slot->load == LOAD_DPORT && slot->at == 0 && key_len == 2 && lookup_set(&lookup, set)) {
		survey_say(reader, "tcp dport %s%s{ %s%s }", inverted ? "!= " : "", is_map ? "map " : "",
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
		bool named = name && strncmp(name, "__", 2) != 0;
		survey_say(reader, "%s%s %s%s%s", slot->name ? slot->name : "?", is_map ? " map" : "",
			inverted ? "!= " : "", named ? "@" : "", named ? name : "{ … }");
		reader->reading->exact = false;
		struct nftnl_set_elems_iter *iter = set && verdicts ? nftnl_set_elems_iter_create(set) : NULL;
		struct nftnl_set_elem *elem;
		while (iter && (elem = nftnl_set_elems_iter_next(iter)))
			survey_jump(reader, nftnl_set_elem_get_str(elem, NFTNL_SET_ELEM_CHAIN),
				reader->reading->ports);
		if (iter)
			nftnl_set_elems_iter_destroy(iter);
	}
	if (is_map && to != NFT_REG_VERDICT)
		survey_load(reader, to, LOAD_OPAQUE, "map");
	if (verdicts)
		reader->reading->exact = false;
}

static void read_multiport(struct survey_reader *reader, const struct xt_multiport_v1 *info)
{
	struct lookup lookup = {.reader = reader};
	unsigned count = info->count < XT_MULTI_PORTS ? info->count : XT_MULTI_PORTS;
	for (unsigned i = 0; i < count; i++) {
		uint16_t first = info->ports[i], last = first;
		if (info->pflags[i] && i + 1 < count)
			last = info->ports[++i];
		lookup_take(&lookup, first, last, NULL);
	}
	bool source = info->flags == XT_MULTIPORT_SOURCE;
	survey_say(reader, "tcp %s %s{ %s }", source ? "sport" : "dport", info->invert ? "!= " : "",
		lookup.text);
	if (info->flags != XT_MULTIPORT_DESTINATION) {
		reader->reading->exact = false;
		return;
	}
	reader->port_said = true;
	reader->reading->ports &= info->invert ? ~(lookup.ports & ~PORT_MASK_OTHERS) : lookup.ports;
}

static void read_xt_tcp(struct survey_reader *reader, const struct xt_tcp *info)
{
	uint16_t first = info->dpts[0], last = info->dpts[1];
	bool inverted = info->invflags & XT_TCP_INV_DSTPT;
	reader->tcp = true;
	if (first > 0 || last < 65535 || inverted) {
		survey_say(reader, first == last ? "tcp dport %s%u" : "tcp dport %s%u-%u",
			inverted ? "!= " : "", first, last);
		reader->port_said = true;
		reader->reading->ports &= inverted ? survey_ports_not_in(reader, first, last)
						   : survey_ports_in(reader, first, last);
	}
	if (info->spts[0] > 0 || info->spts[1] < 65535 || info->flg_mask || info->option)
		reader->reading->exact = false;
}

void survey_read_match(struct survey_reader *reader, const struct nftnl_expr *expr)
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
		survey_say(reader, "-m %s …", name);
		reader->reading->exact = false;
	}
}
