/* A foreign rule's end: whether it rewrites a destination, and to what. */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "survey_reader.h"

/* " to 192.0.2.9:2525" */
static void target_say(
	struct survey_reader *reader, const char *action, int family, const void *address, uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "", port_text[8] = "";
	if (address)
		inet_ntop(family, address, text, sizeof(text));
	if (port)
		snprintf(port_text, sizeof(port_text), ":%u", port);
	bool brackets = port && address && family == AF_INET6;
	if (text[0] || port)
		survey_say(reader, "%s to %s%s%s%s", action, brackets ? "[" : "", text, brackets ? "]" : "",
			port_text);
	else
		survey_say(reader, "%s", action);
	reader->reading->rewrites = true;
	reader->reading->to_port = port;
}

static uint16_t register_port(struct survey_reader *reader, const struct nftnl_expr *expr, uint16_t attribute)
{
	if (!nftnl_expr_is_set(expr, attribute))
		return 0;
	const struct survey_slot *slot = survey_slot(reader, nftnl_expr_get_u32(expr, attribute));
	return slot->load == LOAD_VALUE ? survey_port_at(slot->value, slot->len, 0) : 0;
}

void survey_read_nat(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	if (nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_TYPE) != NFT_NAT_DNAT) {
		survey_say(reader, "snat");
		reader->reading->terminal = true;
		return;
	}
	const struct survey_slot *slot =
		nftnl_expr_is_set(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN)
			? survey_slot(reader, nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN))
			: NULL;
	uint16_t port = register_port(reader, expr, NFTNL_EXPR_NAT_REG_PROTO_MIN);
	bool is_value = slot && slot->load == LOAD_VALUE;
	target_say(reader, slot && !is_value ? "dnat by map" : "dnat",
		is_value && slot->len == 16 ? AF_INET6 : AF_INET, is_value ? slot->value : NULL, port);
}

void survey_read_redir(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	target_say(reader, "redirect", AF_INET, NULL,
		register_port(reader, expr, NFTNL_EXPR_REDIR_REG_PROTO_MIN));
}

/* x_tables' targets: two layouts for IPv4 with REDIRECT and old DNAT, else nf_nat_range. */
void survey_read_target(struct survey_reader *reader, const struct nftnl_expr *expr)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME);
	uint32_t revision = nftnl_expr_get_u32(expr, NFTNL_EXPR_TG_REV), len = 0;
	const void *info = nftnl_expr_get(expr, NFTNL_EXPR_TG_INFO, &len);
	bool dnat = strcmp(name, "DNAT") == 0, redirect = strcmp(name, "REDIRECT") == 0;
	reader->reading->iptables = true;
	if (!dnat && !redirect) {
		survey_say(reader, "%s", name);
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
