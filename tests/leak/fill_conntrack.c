/*
 * fill_conntrack flows COUNT | ports ADDRESS PORT: puts connections into conntrack that nobody has, and that the
 * kernel does not give up for new ones: COUNT of any kind, or one from each port of ADDRESS to PORT of 127.0.0.1,
 * so that no port is left for a redirected connection. Only for network namespaces made for it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME_S  600
#define BATCH_BYTES 65536
#define FLOW_BYTES  512 /* more than one message takes */
#define PORTS       60000U
#define PORT_FIRST  1024U

struct flow {
	uint32_t from, to; /* network order */
	uint16_t from_port, to_port;
	uint8_t protocol;
};

static void tuple_put(struct nlmsghdr *nlh, uint16_t type, const struct flow *flow)
{
	struct nlattr *tuple = mnl_attr_nest_start(nlh, type), *part = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	mnl_attr_put_u32(nlh, CTA_IP_V4_SRC, flow->from);
	mnl_attr_put_u32(nlh, CTA_IP_V4_DST, flow->to);
	mnl_attr_nest_end(nlh, part);
	part = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, flow->protocol);
	mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, htons(flow->from_port));
	mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(flow->to_port));
	mnl_attr_nest_end(nlh, part);
	mnl_attr_nest_end(nlh, tuple);
}

static size_t flow_put(char *buf, const struct flow *flow)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	struct nfgenmsg *head = mnl_nlmsg_put_extra_header(nlh, sizeof(*head));
	*head = (struct nfgenmsg){.nfgen_family = AF_INET};
	const struct flow back = {flow->to, flow->from, flow->to_port, flow->from_port, flow->protocol};
	tuple_put(nlh, CTA_TUPLE_ORIG, flow);
	tuple_put(nlh, CTA_TUPLE_REPLY, &back);
	mnl_attr_put_u32(nlh, CTA_TIMEOUT, htonl(LIFETIME_S));
	mnl_attr_put_u32(nlh, CTA_STATUS, htonl(IPS_CONFIRMED | IPS_ASSURED | IPS_SEEN_REPLY));
	if (flow->protocol == IPPROTO_TCP) {
		struct nlattr *info = mnl_attr_nest_start(nlh, CTA_PROTOINFO);
		struct nlattr *tcp = mnl_attr_nest_start(nlh, CTA_PROTOINFO_TCP);
		mnl_attr_put_u8(nlh, CTA_PROTOINFO_TCP_STATE, 3); /* established */
		mnl_attr_nest_end(nlh, tcp);
		mnl_attr_nest_end(nlh, info);
	}
	return MNL_ALIGN(nlh->nlmsg_len);
}

/* The nth flow of either kind. */
static struct flow flow_nth(uint32_t first, uint16_t port, unsigned n)
{
	if (port)
		return (struct flow){
			first, htonl(INADDR_LOOPBACK), (uint16_t)(PORT_FIRST + n), port, IPPROTO_TCP};
	return (struct flow){htonl(0xcb007100U + n / PORTS), htonl(0xc0000205),
		(uint16_t)(PORT_FIRST + n % PORTS), 9, IPPROTO_UDP};
}

int main(int argc, char **argv)
{
	uint32_t first = 0;
	bool ports = argc == 4 && strcmp(argv[1], "ports") == 0 && inet_pton(AF_INET, argv[2], &first) == 1;
	if (!ports && (argc != 3 || strcmp(argv[1], "flows") != 0)) {
		fprintf(stderr, "usage: fill_conntrack flows COUNT | ports ADDRESS PORT\n");
		return 2;
	}
	uint16_t port = ports ? (uint16_t)atoi(argv[3]) : 0;
	unsigned count = ports ? 65536 - PORT_FIRST : (unsigned)atoi(argv[2]);
	struct mnl_socket *socket = mnl_socket_open(NETLINK_NETFILTER);
	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		perror("fill_conntrack");
		return 1;
	}
	static char buf[BATCH_BYTES];
	size_t len = 0;
	for (unsigned n = 0; n < count; n++) {
		const struct flow flow = flow_nth(first, port, n);
		len += flow_put(buf + len, &flow);
		if (n + 1 < count && len < sizeof(buf) - FLOW_BYTES)
			continue;
		/* Refusals (the table is full, or has the flow already) are answered and not read. */
		if (mnl_socket_sendto(socket, buf, len) < 0) {
			perror("fill_conntrack");
			return 1;
		}
		len = 0;
	}
	mnl_socket_close(socket);
	return 0;
}
