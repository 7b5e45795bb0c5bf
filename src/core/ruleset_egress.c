#include <ctype.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

#include "ruleset_internal.h"

#define EGRESS  "egress"
#define BRIDGED "bridged"

/*
 * Frames. The kernel reads what its own stack sends, and whatever else has a true protocol number beside it. A
 * frame that somebody tagged by hand, or whose number is false, it does not read: there the rules look at the
 * frame's own bytes, up to two tags deep, and drop what could be for a diverted port but cannot be read.
 */
enum {
	ETHERTYPE_OFFSET = 12,
	TAG_LEN = 4,
	TAGS_READ = 2,
	IP4_FRAGMENT = 6,
	IP4_PROTOCOL = 9,
	IP4_LEN = 20,
	IP6_NEXT = 6,
	IP6_LEN = 40,
	TCP_DPORT = 2,
	IP4_VERSION_AND_LEN = 0x45, /* without options */
	IP6_VERSION = 0x60,         /* and no traffic class */
	FRAGMENT_OFFSET_MASK = 0x1fff,
	VERSION_MASK = 0xf000,
	HEADER_LEN_MASK = 0x0f00,
};

/* Each of these may stand before a TCP header. */
static const uint8_t extension_headers[] = {
	0,  /* hop by hop */
	43, /* routing */
	44, /* fragment */
	51, /* authentication */
	60, /* destination options */
};

static const uint16_t tag_types[] = {ETH_P_8021Q, ETH_P_8021AD, ETH_P_QINQ1};

struct builder {
	struct ruleset_table *table;
	bool ok;
};

/* Adds a rule that counts and drops what all of terms match. */
static void drop(struct builder *builder, size_t count, const struct ruleset_term *terms)
{
	struct ruleset_rule rule = {.chain = EGRESS};
	memcpy(rule.terms, terms, count * sizeof(*terms));
	rule.terms[count++] = (struct ruleset_term){.kind = RULESET_COUNT, .counter = RULESET_DROPPED_EGRESS};
	rule.terms[count++] = (struct ruleset_term){.kind = RULESET_DROP};
	rule.term_count = count;
	builder->ok = builder->ok && ruleset_add_rule(builder->table, &rule);
}

static void pass(struct builder *builder, size_t count, const struct ruleset_term *terms)
{
	struct ruleset_rule rule = {.chain = EGRESS};
	memcpy(rule.terms, terms, count * sizeof(*terms));
	rule.terms[count++] = (struct ruleset_term){.kind = RULESET_ACCEPT};
	rule.term_count = count;
	builder->ok = builder->ok && ruleset_add_rule(builder->table, &rule);
}

#define TERMS(...)                                                                                          \
	sizeof((struct ruleset_term[]){__VA_ARGS__}) / sizeof(struct ruleset_term), (struct ruleset_term[]) \
	{                                                                                                   \
		__VA_ARGS__                                                                                 \
	}
#define TERM(name, ...)                               \
	(struct ruleset_term)                         \
	{                                             \
		.kind = RULESET_##name, ##__VA_ARGS__ \
	}

static struct ruleset_term byte(unsigned offset, uint8_t value)
{
	return TERM(BYTES, .bytes = {.offset = (uint8_t)offset, .len = 1, .value = value});
}

static struct ruleset_term word(unsigned offset, uint16_t value)
{
	return TERM(BYTES, .bytes = {.offset = (uint8_t)offset, .len = 2, .value = value});
}

static struct ruleset_term not(struct ruleset_term term)
{
	term.bytes.differ = true;
	return term;
}

static struct ruleset_term network(struct ruleset_term term)
{
	term.bytes.network = true;
	return term;
}

static struct ruleset_term masked(struct ruleset_term term, uint16_t mask)
{
	term.bytes.mask = mask;
	return term;
}

/*
 * What goes to an excluded destination. The kernel reads an address where the sender says that there is one: a packet
 * socket may send IPv4 that it calls IPv6, or a tag that it calls IPv4, and have any bytes of its frame stand where
 * the destination would. So the version must be the true one, and what follows a tag must not be there. Mail that
 * happens to have such a number there (an IPv4 length, part of an IPv6 flow label) is lost once and sent again with
 * another.
 */
static void pass_excluded(struct builder *builder, uint16_t version, struct ruleset_term excluded)
{
	pass(builder,
		TERMS(network(masked(word(0, version), VERSION_MASK)), not(network(word(2, ETH_P_IP))),
			not(network(word(2, ETH_P_IPV6))), not(network(word(2, ETH_P_8021Q))),
			not(network(word(2, ETH_P_8021AD))), not(network(word(2, ETH_P_QINQ1))), excluded));
}

/* Mail with a source route: for an excluded neighbour, who would send it on to somebody else. */
static void drop_source_routed(struct builder *builder)
{
	struct ruleset_term port = TERM(DPORT_IN_SET, .set = RULESET_PORTS);
	drop(builder, TERMS(port, network(masked(word(0, 0x4000), VERSION_MASK)),
			      not(network(masked(word(0, 0x0500), HEADER_LEN_MASK)))));
	drop(builder, TERMS(TERM(ROUTING6), port));
}

/*
 * A frame with several tags that is said to be IPv6: where the first tag reads as the version, the second one is the
 * length, and the upper layer's protocol is what the type behind it begins with. No IPv6 has such a pair of upper layer
 * and hop limit there.
 */
static void drop_tags_as_ip6(struct builder *builder)
{
	static const uint16_t types[] = {ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD, ETH_P_QINQ1};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		drop(builder, TERMS(network(masked(word(0, 0x6000), VERSION_MASK)),
				      network(word(IP6_NEXT, types[i]))));
}

/*
 * TCP without a port is all dropped: later fragments, whose data the kernel takes for ports, and first ones that
 * end before theirs.
 */
static void read_by_kernel(struct builder *builder)
{
	drop_source_routed(builder);
	pass_excluded(builder, 0x4000, TERM(DADDR4_IN_SET, .set = RULESET_EXCLUDE4));
	pass_excluded(builder, 0x6000, TERM(DADDR6_IN_SET, .set = RULESET_EXCLUDE6));
	drop(builder, TERMS(TERM(DPORT_IN_SET, .set = RULESET_PORTS)));
	drop(builder, TERMS(TERM(FRAGMENT4)));
	drop(builder, TERMS(TERM(FRAGMENT6)));
	pass(builder, TERMS(TERM(DPORT_ANY)));
	drop(builder, TERMS(TERM(TCP)));
	drop_tags_as_ip6(builder);
	pass(builder, TERMS(TERM(READABLE)));
	drop(builder, TERMS(TERM(IP4)));
	drop(builder, TERMS(TERM(IP6)));
}

/*
 * Where a frame with one more tag has its type these have IPv4's number, and a hardware address where TCP's would be.
 */
static void pass_arp(struct builder *builder)
{
	static const uint16_t types[] = {ETH_P_ARP, ETH_P_RARP};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		pass(builder, TERMS(word(ETHERTYPE_OFFSET, types[i])));
		for (size_t tag = 0; tag < sizeof(tag_types) / sizeof(tag_types[0]); tag++)
			pass(builder, TERMS(word(ETHERTYPE_OFFSET, tag_types[tag]),
					      word(ETHERTYPE_OFFSET + TAG_LEN, types[i])));
	}
}

/* A frame whose protocol stands at `type`. Exclusions are not looked at: such frames are nobody's mail. */
static void read_by_offset(struct builder *builder, unsigned type)
{
	const struct ruleset_set_spec *ports = &builder->table->sets[RULESET_PORTS];
	unsigned ip = type + 2;
	struct ruleset_term ip4 = word(type, ETH_P_IP), ip6 = word(type, ETH_P_IPV6);
	struct ruleset_term tcp4 = byte(ip + IP4_PROTOCOL, IPPROTO_TCP);
	drop(builder, TERMS(ip4, not(byte(ip, IP4_VERSION_AND_LEN)), tcp4));
	drop(builder, TERMS(ip4, tcp4, not(masked(word(ip + IP4_FRAGMENT, 0), FRAGMENT_OFFSET_MASK))));
	for (size_t i = 0; i < ports->count; i++)
		drop(builder, TERMS(ip4, tcp4, word(ip + IP4_LEN + TCP_DPORT, ports->ports[i])));
	/* Listener reports, without which multicast ends, have a hop-by-hop header. */
	pass(builder, TERMS(ip6, byte(ip + IP6_NEXT, 0), byte(ip + IP6_LEN, IPPROTO_ICMPV6)));
	for (size_t i = 0; i < sizeof(extension_headers); i++)
		drop(builder, TERMS(ip6, byte(ip + IP6_NEXT, extension_headers[i])));
	for (size_t i = 0; i < ports->count; i++)
		drop(builder, TERMS(ip6, byte(ip + IP6_NEXT, IPPROTO_TCP),
				      word(ip + IP6_LEN + TCP_DPORT, ports->ports[i])));
}

/*
 * Where the frame's beginning is not known either: a packet socket has bypassed the queue and names a protocol,
 * true or false. Only where the network header is said to be can be read, before or behind tags. On Ethernet that
 * is not worth guessing at: ARP is let go, and nothing else. A tunnel carries IP and nothing that claims to be else.
 */
static void read_by_network_header(struct builder *builder)
{
	const struct ruleset_set_spec *ports = &builder->table->sets[RULESET_PORTS];
	/* Any value matches one of these, if there is one. */
	pass(builder, TERMS(byte(0, 0)));
	pass(builder, TERMS(not(byte(0, 0))));
	/* No version of IP at either place where one could begin, and IPv4 said to be what is asked for. */
	pass(builder, TERMS(network(masked(word(0, 0), VERSION_MASK)), network(word(2, ETH_P_IP)),
			      network(masked(word(4, 0), VERSION_MASK))));
	drop(builder, TERMS(TERM(OIF_ETHERNET)));
	drop(builder, TERMS(TERM(OIF_BARE)));
	for (size_t i = 0; i < ports->count; i++) {
		drop(builder,
			TERMS(network(byte(0, IP4_VERSION_AND_LEN)), network(byte(IP4_PROTOCOL, IPPROTO_TCP)),
				network(word(IP4_LEN + TCP_DPORT, ports->ports[i]))));
		drop(builder, TERMS(network(byte(0, IP6_VERSION)), network(byte(IP6_NEXT, IPPROTO_TCP)),
				      network(word(IP6_LEN + TCP_DPORT, ports->ports[i]))));
	}
}

bool ruleset_fill_egress(
	struct ruleset_table *table, int32_t priority, const struct ruleset_device *devices, size_t count)
{
	struct builder builder = {
		table, ruleset_add_chain(table, &(struct ruleset_chain_spec){.name = EGRESS})};
	read_by_kernel(&builder);
	pass_arp(&builder);
	unsigned type = ETHERTYPE_OFFSET;
	for (unsigned tags = 0; tags <= TAGS_READ; tags++, type += TAG_LEN)
		read_by_offset(&builder, type);
	/* type is where a further tag would end: what stands before it is the tag that is one too many. */
	for (size_t i = 0; i < sizeof(tag_types) / sizeof(tag_types[0]); i++)
		drop(&builder, TERMS(word(type - TAG_LEN, tag_types[i])));
	read_by_network_header(&builder);

	for (size_t i = 0; i < count && builder.ok; i++) {
		const struct ruleset_chain_spec chain = {devices[i].chain, "filter", NF_NETDEV_EGRESS,
			priority, devices[i].name, devices[i].since};
		const struct ruleset_rule jump = {
			.chain = devices[i].chain, .terms = {TERM(JUMP_EGRESS)}, .term_count = 1};
		builder.ok = ruleset_add_chain(table, &chain) && ruleset_add_rule(table, &jump);
	}
	return builder.ok;
}

/*
 * A frame that tc redirected on its way in, as those are that it shapes by an ifb device, is let past the chains of
 * devices by the kernel (skb->nf_skip_egress, which nobody takes back where it is received again). IP meets the other
 * hooks; bridged it would meet none but the bridge's. There one tag is off the frame already, and its protocol is the
 * true one. What has several stays the devices' matter.
 */
bool ruleset_fill_bridge(struct ruleset_table *table, int32_t priority)
{
	const struct ruleset_chain_spec bridged = {
		.name = BRIDGED, .type = "filter", .hook = NF_INET_POST_ROUTING, .priority = priority};
	const struct ruleset_rule jump = {.chain = BRIDGED, .terms = {TERM(JUMP_EGRESS)}, .term_count = 1};
	struct builder builder = {
		table, ruleset_add_chain(table, &(struct ruleset_chain_spec){.name = EGRESS})};
	read_by_kernel(&builder);
	return builder.ok && ruleset_add_chain(table, &bridged) && ruleset_add_rule(table, &jump);
}

/* One name for each device, and one that nft can read back: what it would not take becomes _ and two digits. */
static void chain_name(struct ruleset_device *device)
{
	char *to = device->chain + sprintf(device->chain, "dev_");
	for (const char *from = device->name; *from; from++) {
		if ((isascii(*from) && isalnum((unsigned char)*from)) || *from == '-' || *from == '.')
			*to++ = *from;
		else
			to += sprintf(to, "_%02x", (unsigned char)*from);
	}
	*to = '\0';
}

static int device_order(const void *left, const void *right)
{
	const struct ruleset_device *a = left, *b = right;
	int order = strcmp(a->name, b->name);
	return order ? order : (a->since < b->since) - (a->since > b->since);
}

bool ruleset_name_devices(struct ruleset_device **out, size_t *count, const struct ruleset_devices *devices,
	const struct conf *conf)
{
	size_t given = devices ? devices->count : 0, named = conf->guard.device_count;
	struct ruleset_device *all = calloc(given + named + 1, sizeof(*all));
	*out = all;
	*count = 0;
	if (!all)
		return false;
	for (size_t i = 0; i < given + named; i++) {
		memcpy(all[i].name, i < given ? devices->names[i] : conf->guard.devices[i - given],
			IFNAMSIZ - 1);
		all[i].since = i < given && devices->since ? devices->since[i] : 0;
		chain_name(&all[i]);
	}
	if (given + named > 0)
		qsort(all, given + named, sizeof(*all), device_order);
	for (size_t i = 0; i < given + named; i++)
		if (i == 0 || strcmp(all[*count - 1].name, all[i].name) != 0)
			all[(*count)++] = all[i];
	return true;
}
