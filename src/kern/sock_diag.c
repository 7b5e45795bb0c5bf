#include "sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 32768
/* Datagrams of a listing: about 100 sockets each. A host has more connections; of one port it has few. */
#define ANSWERS_MAX 1000

int sock_diag_open(struct sock_diag *diag, struct err *err)
{
	*diag = (struct sock_diag){0};
	diag->socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!diag->socket || mnl_socket_bind(diag->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int code = err_set(err, -errno, "the kernel's list of sockets: %s", strerror(errno));
		sock_diag_close(diag);
		return code;
	}
	return 0;
}

void sock_diag_close(struct sock_diag *diag)
{
	if (diag->socket)
		mnl_socket_close(diag->socket);
	*diag = (struct sock_diag){0};
}

struct search {
	uint32_t uid; /* for those who compare it */
	uint32_t device;
	struct sock_diag_match *matches;
	size_t count, max;
};

static int match_add(struct search *search, uint64_t inode, uint64_t cgroup)
{
	if (inode > 0 && search->count < search->max)
		search->matches[search->count++] = (struct sock_diag_match){inode, cgroup};
	return MNL_CB_OK;
}

/* Sends and gives every message of the answer to callback; an error of the kernel's ends it like an end. */
static void ask(struct sock_diag *diag, struct nlmsghdr *nlh, mnl_cb_t callback, struct search *search)
{
	nlh->nlmsg_seq = ++diag->seq;
	if (mnl_socket_sendto(diag->socket, nlh, nlh->nlmsg_len) < 0)
		return;
	_Alignas(struct nlmsghdr) char buf[ANSWER_MAX];
	for (int i = 0; i < ANSWERS_MAX; i++) {
		ssize_t len = recv(mnl_socket_get_fd(diag->socket), buf, sizeof(buf), MSG_DONTWAIT);
		if (len < 0)
			return;
		/* The rest of an answer that was given up is not the next one's. */
		if ((size_t)len < sizeof(struct nlmsghdr) ||
			((const struct nlmsghdr *)buf)->nlmsg_seq != diag->seq)
			continue;
		int more = mnl_cb_run(
			buf, (size_t)len, diag->seq, mnl_socket_get_portid(diag->socket), callback, search);
		if (more <= 0 || !(nlh->nlmsg_flags & NLM_F_DUMP & ~NLM_F_REQUEST))
			return;
	}
}

static int inet_take(const struct nlmsghdr *nlh, void *arg)
{
	struct search *search = arg;
	const struct inet_diag_msg *message = mnl_nlmsg_get_payload(nlh);
	if (search->uid != UINT32_MAX && message->idiag_uid != search->uid)
		return MNL_CB_OK;
	uint64_t cgroup = 0;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(*message)) if (mnl_attr_get_type(attr) == INET_DIAG_CGROUP_ID &&
							   mnl_attr_get_payload_len(attr) >= sizeof(cgroup))
		cgroup = mnl_attr_get_u64(attr);
	return match_add(search, message->idiag_inode, cgroup);
}

static struct nlmsghdr *inet_prepare(char *buf, const struct packet *packet, uint8_t protocol, uint16_t flags,
	struct inet_diag_req_v2 **request)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	*request = mnl_nlmsg_put_extra_header(nlh, sizeof(**request));
	**request = (struct inet_diag_req_v2){
		.sdiag_family = (uint8_t)packet->family,
		.sdiag_protocol = protocol,
		.idiag_states = UINT32_MAX,
		.id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE},
	};
	return nlh;
}

size_t sock_diag_tcp(struct sock_diag *diag, const struct packet *packet, struct sock_diag_match *match)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct inet_diag_req_v2 *request;
	struct search search = {.uid = UINT32_MAX, .matches = match, .max = 1};
	struct nlmsghdr *nlh = inet_prepare(buf, packet, IPPROTO_TCP, 0, &request);
	size_t len = packet->family == AF_INET ? 4 : 16;
	memcpy(request->id.idiag_src, packet->source, len);
	memcpy(request->id.idiag_dst, packet->destination, len);
	request->id.idiag_sport = htons(packet->source_port);
	request->id.idiag_dport = htons(packet->destination_port);
	ask(diag, nlh, inet_take, &search);
	return search.count;
}

size_t sock_diag_tcp_port(struct sock_diag *diag, const struct packet *packet, uint32_t uid,
	struct sock_diag_match *matches, size_t max)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct inet_diag_req_v2 *request;
	struct search search = {.uid = uid, .matches = matches, .max = max};
	struct nlmsghdr *nlh = inet_prepare(buf, packet, IPPROTO_TCP, NLM_F_DUMP, &request);
	request->id.idiag_sport = htons(packet->source_port);
	request->idiag_states = ~(1u << TCP_LISTEN | 1u << TCP_TIME_WAIT);
	ask(diag, nlh, inet_take, &search);
	return search.count;
}

/* The kernel's own list, since few kernels have the other sort for raw sockets: a line each, in words. */
static void raw_list(struct search *search, const char *file)
{
	FILE *from = fopen(file, "re");
	if (!from)
		return;
	char line[512];
	while (fgets(line, sizeof(line), from)) {
		unsigned protocol, uid;
		unsigned long long inode;
		/* The local address and its "port", which is the protocol; the tenth field; the twelfth. */
		if (sscanf(line, " %*[^:]: %*[^:]:%x %*s %*s %*s %*s %*s %u %*s %llu", &protocol, &uid,
			    &inode) == 3 &&
			uid == search->uid && (protocol == IPPROTO_RAW || protocol == IPPROTO_TCP))
			match_add(search, inode, 0);
	}
	fclose(from);
}

size_t sock_diag_raw(int family, uint32_t uid, struct sock_diag_match *matches, size_t max)
{
	struct search search = {.uid = uid, .matches = matches, .max = max};
	raw_list(&search, family == AF_INET ? "/proc/self/net/raw" : "/proc/self/net/raw6");
	return search.count;
}

static int packet_take(const struct nlmsghdr *nlh, void *arg)
{
	struct search *search = arg;
	const struct packet_diag_msg *message = mnl_nlmsg_get_payload(nlh);
	uint32_t uid = UINT32_MAX, device = 0;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(*message))
	{
		if (mnl_attr_get_type(attr) == PACKET_DIAG_UID)
			uid = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) == PACKET_DIAG_INFO &&
			mnl_attr_get_payload_len(attr) >= sizeof(struct packet_diag_info))
			device = ((const struct packet_diag_info *)mnl_attr_get_payload(attr))->pdi_index;
	}
	if (uid != search->uid || (device != 0 && device != search->device))
		return MNL_CB_OK;
	return match_add(search, message->pdiag_ino, 0);
}

size_t sock_diag_packet(
	struct sock_diag *diag, uint32_t uid, uint32_t device, struct sock_diag_match *matches, size_t max)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	struct packet_diag_req *request = mnl_nlmsg_put_extra_header(nlh, sizeof(*request));
	*request = (struct packet_diag_req){.sdiag_family = AF_PACKET, .pdiag_show = PACKET_SHOW_INFO};
	struct search search = {.uid = uid, .device = device, .matches = matches, .max = max};
	ask(diag, nlh, packet_take, &search);
	return search.count;
}
