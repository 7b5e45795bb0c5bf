#include "encode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "encode_expr.h"

/* The kernel gives loopback this index in every network namespace. */
#define LOOPBACK_IFINDEX 1

static void load_port(struct encoder *encoder, enum nft_registers reg, uint16_t port)
{
	struct nftnl_expr *expr = expr_add(encoder, "immediate");
	if (!expr)
		return;
	port = htons(port);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, reg);
	nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, &port, sizeof(port));
}

static void encode_tcp(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_meta(encoder, NFT_META_L4PROTO);
	expr_compare_u8(encoder, IPPROTO_TCP);
}

static void load_dport(struct encoder *encoder)
{
	encode_tcp(encoder, NULL);
	expr_load_payload(encoder, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(uint16_t));
}

static void encode_dport_any(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	load_dport(encoder);
	expr_compare_u16(encoder, NFT_CMP_GTE, 0);
	expr_compare_u16(encoder, NFT_CMP_LTE, UINT16_MAX);
}

static void encode_sport_in_set(struct encoder *encoder, const struct ruleset_term *term)
{
	encode_tcp(encoder, NULL);
	expr_load_payload(encoder, NFT_PAYLOAD_TRANSPORT_HEADER, 0, sizeof(uint16_t));
	expr_lookup(encoder, term->set);
}

static void encode_dport_in_set(struct encoder *encoder, const struct ruleset_term *term)
{
	load_dport(encoder);
	expr_lookup(encoder, term->set);
}

static void encode_dport_listeners(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	uint16_t first = encoder->table->listen_first, last = encoder->table->listen_last;
	load_dport(encoder);
	if (first == last) {
		expr_compare_u16(encoder, NFT_CMP_EQ, first);
	} else {
		expr_compare_u16(encoder, NFT_CMP_GTE, first);
		expr_compare_u16(encoder, NFT_CMP_LTE, last);
	}
}

static void encode_ip4(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_meta(encoder, NFT_META_PROTOCOL);
	expr_compare_u16(encoder, NFT_CMP_EQ, ETH_P_IP);
}

static void encode_ip6(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_meta(encoder, NFT_META_PROTOCOL);
	expr_compare_u16(encoder, NFT_CMP_EQ, ETH_P_IPV6);
}

/* As nft makes sure that an address can be read: by what the family of the table knows. */
static void match_ip(struct encoder *encoder, uint8_t version)
{
	if (encoder->table->family != NFPROTO_INET) {
		(version == 4 ? encode_ip4 : encode_ip6)(encoder, NULL);
	} else {
		expr_load_meta(encoder, NFT_META_NFPROTO);
		expr_compare_u8(encoder, version == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	}
}

static void encode_daddr4_in_set(struct encoder *encoder, const struct ruleset_term *term)
{
	match_ip(encoder, 4);
	expr_load_payload(encoder, NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
	expr_lookup(encoder, term->set);
}

static void encode_daddr6_in_set(struct encoder *encoder, const struct ruleset_term *term)
{
	match_ip(encoder, 6);
	expr_load_payload(encoder, NFT_PAYLOAD_NETWORK_HEADER, 24, 16);
	expr_lookup(encoder, term->set);
}

static void encode_saddr4_in_set(struct encoder *encoder, const struct ruleset_term *term)
{
	match_ip(encoder, 4);
	expr_load_payload(encoder, NFT_PAYLOAD_NETWORK_HEADER, 12, 4);
	expr_lookup(encoder, term->set);
}

static void encode_saddr6_in_set(struct encoder *encoder, const struct ruleset_term *term)
{
	match_ip(encoder, 6);
	expr_load_payload(encoder, NFT_PAYLOAD_NETWORK_HEADER, 8, 16);
	expr_lookup(encoder, term->set);
}

static void load_fib(struct encoder *encoder, uint32_t flags, enum nft_fib_result result)
{
	struct nftnl_expr *expr = expr_add(encoder, "fib");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, flags);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_RESULT, result);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
}

static void encode_daddr_local(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	load_fib(encoder, NFTA_FIB_F_DADDR, NFT_FIB_RESULT_ADDRTYPE);
	expr_compare_u32(encoder, NFT_CMP_EQ, RTN_LOCAL);
}

static void encode_saddr_local(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	load_fib(encoder, NFTA_FIB_F_SADDR, NFT_FIB_RESULT_ADDRTYPE);
	expr_compare_u32(encoder, NFT_CMP_EQ, RTN_LOCAL);
}

static void encode_saddr_misrouted(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	load_fib(encoder, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT, NFT_FIB_RESULT_OIF);
	expr_compare_u32(encoder, NFT_CMP_EQ, 0);
}

static void encode_fragment4(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	match_ip(encoder, 4);
	expr_load_payload(encoder, NFT_PAYLOAD_NETWORK_HEADER, 9, sizeof(uint8_t));
	expr_compare_u8(encoder, IPPROTO_TCP);
	expr_load_payload(encoder, NFT_PAYLOAD_NETWORK_HEADER, 6, sizeof(uint16_t));
	expr_mask_u16(encoder, 0x1fff);
	expr_compare_u16(encoder, NFT_CMP_NEQ, 0);
}

/* As nft makes sure of it before an extension header. */
static void match_ip6_frame(struct encoder *encoder)
{
	if (encoder->table->family != NFPROTO_BRIDGE) {
		match_ip(encoder, 6);
		return;
	}
	expr_load_payload(encoder, NFT_PAYLOAD_LL_HEADER, offsetof(struct ethhdr, h_proto), sizeof(uint16_t));
	expr_compare_u16(encoder, NFT_CMP_EQ, ETH_P_IPV6);
}

static void encode_fragment6(struct encoder *encoder, const struct ruleset_term *term)
{
	match_ip6_frame(encoder);
	encode_tcp(encoder, term);
	struct nftnl_expr *expr = expr_add(encoder, "exthdr");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, IPPROTO_FRAGMENT);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 2);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_LEN, sizeof(uint16_t));
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_IPV6);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_FLAGS, 0);
	expr_mask_u16(encoder, 0xfff8);
	expr_compare_u16(encoder, NFT_CMP_NEQ, 0);
}

static void encode_routing6(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	match_ip6_frame(encoder);
	struct nftnl_expr *expr = expr_add(encoder, "exthdr");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, IPPROTO_ROUTING);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 0);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_LEN, sizeof(uint8_t));
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_IPV6);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
	expr_compare_u8(encoder, 1);
}

static void encode_readable(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	static const uint8_t reserved = 255;
	expr_load_meta(encoder, NFT_META_L4PROTO);
	expr_compare(encoder, NFT_CMP_NEQ, &reserved, sizeof(reserved));
}

static void compare_oif_type(struct encoder *encoder, uint16_t type)
{
	expr_load_meta(encoder, NFT_META_OIFTYPE);
	expr_compare(encoder, NFT_CMP_EQ, &type, sizeof(type));
}

static void encode_oif_ethernet(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	compare_oif_type(encoder, ARPHRD_ETHER);
}

static void encode_oif_bare(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	compare_oif_type(encoder, ARPHRD_NONE);
}

static void encode_bytes(struct encoder *encoder, const struct ruleset_term *term)
{
	const struct ruleset_bytes *bytes = &term->bytes;
	enum nft_cmp_ops op = bytes->differ ? NFT_CMP_NEQ : NFT_CMP_EQ;
	expr_load_payload(encoder, bytes->network ? NFT_PAYLOAD_NETWORK_HEADER : NFT_PAYLOAD_LL_HEADER,
		bytes->offset, bytes->len);
	if (bytes->mask)
		expr_mask_u16(encoder, bytes->mask);
	if (bytes->len == sizeof(uint8_t)) {
		uint8_t value = (uint8_t)bytes->value;
		expr_compare(encoder, op, &value, sizeof(value));
	} else {
		expr_compare_u16(encoder, op, bytes->value);
	}
}

static void encode_oif_loopback(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_meta(encoder, NFT_META_OIF);
	expr_compare_u32(encoder, NFT_CMP_EQ, LOOPBACK_IFINDEX);
}

static void load_rt(struct encoder *encoder, enum nft_rt_keys key)
{
	struct nftnl_expr *expr = expr_add(encoder, "rt");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_RT_KEY, key);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_RT_DREG, NFT_REG_1);
}

static void encode_nexthop4_elsewhere(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	const struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
	load_rt(encoder, NFT_RT_NEXTHOP4);
	expr_compare(encoder, NFT_CMP_NEQ, &loopback, sizeof(loopback));
}

static void encode_nexthop6_elsewhere(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	load_rt(encoder, NFT_RT_NEXTHOP6);
	expr_compare(encoder, NFT_CMP_NEQ, &in6addr_loopback, sizeof(in6addr_loopback));
}

static void encode_ct_original_direction(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_ct(encoder, NFT_CT_DIRECTION);
	expr_compare_u8(encoder, IP_CT_DIR_ORIGINAL);
}

static void encode_ct_reply_direction(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_ct(encoder, NFT_CT_DIRECTION);
	expr_compare_u8(encoder, IP_CT_DIR_REPLY);
}

static void encode_ct_reply_loopback4(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	const struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
	struct nftnl_expr *expr = expr_load_ct(encoder, NFT_CT_SRC_IP);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, IP_CT_DIR_REPLY);
	expr_compare(encoder, NFT_CMP_EQ, &loopback, sizeof(loopback));
}

static void encode_ct_reply_loopback6(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	struct nftnl_expr *expr = expr_load_ct(encoder, NFT_CT_SRC_IP6);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, IP_CT_DIR_REPLY);
	expr_compare(encoder, NFT_CMP_EQ, &in6addr_loopback, sizeof(in6addr_loopback));
}

static void encode_ct_original_port_in(struct encoder *encoder, const struct ruleset_term *term)
{
	struct nftnl_expr *expr = expr_load_ct(encoder, NFT_CT_PROTO_DST);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
	expr_lookup(encoder, term->set);
}

static void encode_ct_not_dnat(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_ct(encoder, NFT_CT_STATUS);
	expr_mask_u32(encoder, IPS_DST_NAT);
	expr_compare_u32(encoder, NFT_CMP_EQ, 0);
}

static void encode_ct_untracked(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_load_ct(encoder, NFT_CT_STATE);
	expr_mask_u32(encoder, NF_CT_STATE_UNTRACKED_BIT);
	expr_compare_u32(encoder, NFT_CMP_NEQ, 0);
}

static void encode_count(struct encoder *encoder, const struct ruleset_term *term)
{
	struct nftnl_expr *expr = expr_add(encoder, "objref");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(expr, NFTNL_EXPR_OBJREF_IMM_NAME, ruleset_counter_name(term->counter));
}

static void encode_limit(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	struct nftnl_expr *expr = expr_add(encoder, "limit");
	if (!expr)
		return;
	nftnl_expr_set_u64(expr, NFTNL_EXPR_LIMIT_RATE, RULESET_ESCAPE_RATE);
	nftnl_expr_set_u64(expr, NFTNL_EXPR_LIMIT_UNIT, 1); /* a second */
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_BURST, RULESET_ESCAPE_BURST);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_FLAGS, 0);
}

static void encode_log(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	struct nftnl_expr *expr = expr_add(encoder, "log");
	if (expr)
		nftnl_expr_set_u16(expr, NFTNL_EXPR_LOG_GROUP, RULESET_ESCAPE_NUMBER);
}

static void encode_queue(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	struct nftnl_expr *expr = expr_add(encoder, "queue");
	if (!expr)
		return;
	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_NUM, RULESET_ESCAPE_NUMBER);
	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_TOTAL, 1);
	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_FLAGS, NFT_QUEUE_FLAG_BYPASS);
}

static void encode_queue_xt(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	struct nftnl_expr *expr = expr_add(encoder, "target");
	struct xt_NFQ_info_v3 *info = expr ? calloc(1, XT_ALIGN(sizeof(*info))) : NULL;
	if (!info) {
		encoder->failed = true;
		return;
	}
	info->queuenum = RULESET_ESCAPE_NUMBER;
	info->queues_total = 1;
	info->flags = NFQ_FLAG_BYPASS;
	nftnl_expr_set_str(expr, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(expr, NFTNL_EXPR_TG_REV, 3);
	/* The expression owns it from here on. */
	nftnl_expr_set(expr, NFTNL_EXPR_TG_INFO, info, XT_ALIGN(sizeof(*info)));
}

static void encode_accept(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_verdict(encoder, NF_ACCEPT);
}

static void encode_drop(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	expr_verdict(encoder, NF_DROP);
}

static void encode_reset(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	struct nftnl_expr *expr = expr_add(encoder, "reject");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, 0);
}

static void encode_redirect(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	uint16_t first = encoder->table->listen_first, last = encoder->table->listen_last;
	load_port(encoder, NFT_REG_1, first);
	if (last != first)
		load_port(encoder, NFT_REG_2, last);
	struct nftnl_expr *expr = expr_add(encoder, "redir");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REDIR_REG_PROTO_MAX, last != first ? NFT_REG_2 : NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
}

static void verdict_chain(struct encoder *encoder, int verdict_code, const char *chain)
{
	struct nftnl_expr *expr = expr_add(encoder, "immediate");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict_code);
	nftnl_expr_set_str(expr, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void encode_jump_egress(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	verdict_chain(encoder, NFT_JUMP, "egress");
}

static void encode_goto_stopped(struct encoder *encoder, const struct ruleset_term *term)
{
	(void)term;
	verdict_chain(encoder, NFT_GOTO, "stopped");
}

static void (*const encoders[RULESET_KINDS])(struct encoder *, const struct ruleset_term *) = {
	[RULESET_DPORT_IN_SET] = encode_dport_in_set,
	[RULESET_DPORT_ANY] = encode_dport_any,
	[RULESET_SPORT_IN_SET] = encode_sport_in_set,
	[RULESET_DPORT_LISTENERS] = encode_dport_listeners,
	[RULESET_DADDR4_IN_SET] = encode_daddr4_in_set,
	[RULESET_DADDR6_IN_SET] = encode_daddr6_in_set,
	[RULESET_SADDR4_IN_SET] = encode_saddr4_in_set,
	[RULESET_SADDR6_IN_SET] = encode_saddr6_in_set,
	[RULESET_DADDR_LOCAL] = encode_daddr_local,
	[RULESET_SADDR_LOCAL] = encode_saddr_local,
	[RULESET_SADDR_MISROUTED] = encode_saddr_misrouted,
	[RULESET_OIF_LOOPBACK] = encode_oif_loopback,
	[RULESET_OIF_ETHERNET] = encode_oif_ethernet,
	[RULESET_OIF_BARE] = encode_oif_bare,
	[RULESET_NEXTHOP4_ELSEWHERE] = encode_nexthop4_elsewhere,
	[RULESET_NEXTHOP6_ELSEWHERE] = encode_nexthop6_elsewhere,
	[RULESET_TCP] = encode_tcp,
	[RULESET_IP4] = encode_ip4,
	[RULESET_IP6] = encode_ip6,
	[RULESET_FRAGMENT4] = encode_fragment4,
	[RULESET_FRAGMENT6] = encode_fragment6,
	[RULESET_ROUTING6] = encode_routing6,
	[RULESET_READABLE] = encode_readable,
	[RULESET_BYTES] = encode_bytes,
	[RULESET_CT_ORIGINAL_DIRECTION] = encode_ct_original_direction,
	[RULESET_CT_REPLY_DIRECTION] = encode_ct_reply_direction,
	[RULESET_CT_ORIGINAL_PORT_IN] = encode_ct_original_port_in,
	[RULESET_CT_REPLY_LOOPBACK4] = encode_ct_reply_loopback4,
	[RULESET_CT_REPLY_LOOPBACK6] = encode_ct_reply_loopback6,
	[RULESET_CT_NOT_DNAT] = encode_ct_not_dnat,
	[RULESET_CT_UNTRACKED] = encode_ct_untracked,
	[RULESET_COUNT] = encode_count,
	[RULESET_LIMIT] = encode_limit,
	[RULESET_LOG] = encode_log,
	[RULESET_QUEUE] = encode_queue,
	[RULESET_QUEUE_XT] = encode_queue_xt,
	[RULESET_ACCEPT] = encode_accept,
	[RULESET_DROP] = encode_drop,
	[RULESET_RESET] = encode_reset,
	[RULESET_REDIRECT] = encode_redirect,
	[RULESET_JUMP_EGRESS] = encode_jump_egress,
	[RULESET_GOTO_STOPPED] = encode_goto_stopped,
};

struct nftnl_rule *encode_rule(const struct ruleset_table *table, const struct ruleset_rule *rule)
{
	struct encoder encoder = {table, nftnl_rule_alloc(), false};
	if (!encoder.rule)
		return NULL;
	nftnl_rule_set_u32(encoder.rule, NFTNL_RULE_FAMILY, table->family);
	nftnl_rule_set_str(encoder.rule, NFTNL_RULE_TABLE, table->name);
	nftnl_rule_set_str(encoder.rule, NFTNL_RULE_CHAIN, rule->chain);
	for (size_t i = 0; i < rule->term_count; i++)
		encoders[rule->terms[i].kind](&encoder, &rule->terms[i]);
	if (encoder.failed) {
		nftnl_rule_free(encoder.rule);
		return NULL;
	}
	return encoder.rule;
}
