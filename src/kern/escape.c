#include "escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Headers with all their extensions; nothing behind them is looked at. */
#define COPY_BYTES 192
/* For the time in which the caller is busy elsewhere, at RULESET_ESCAPE_RATE on each chain. */
#define RECEIVE_BUFFER (4 * 1024 * 1024)
#define QUEUE_LENGTH   1024
/* One packet with its attributes, or an answer to a configuration. */
#define MESSAGE_MAX 8192

struct escape {
	struct mnl_socket *socket;
	uint32_t seq;
	bool log_seen; /* a first packet was logged: log_next holds */
	uint32_t log_next;
	uint64_t log_lost;
	escape_callback callback;
	void *arg;
};

static enum escape_path path_of(uint8_t family, uint8_t hook)
{
	if (family == NFPROTO_NETDEV || family == NFPROTO_BRIDGE)
		return ESCAPE_EGRESS;
	switch (hook) {
	case NF_INET_FORWARD:
		return ESCAPE_FORWARD;
	case NF_INET_POST_ROUTING:
		return ESCAPE_POSTROUTING;
	default:
		return ESCAPE_OUTPUT;
	}
}

/* Any socket answers for devices. */
static void device_name(const struct escape *escape, uint32_t index, char name[IFNAMSIZ])
{
	struct ifreq request = {.ifr_ifindex = (int)index};
	name[0] = '\0';
	if (index > 0 && ioctl(mnl_socket_get_fd(escape->socket), SIOCGIFNAME, &request) == 0)
		memcpy(name, request.ifr_name, IFNAMSIZ);
}

/* A packet at a device begins with what the device's kind puts in front of it. */
static enum packet_start device_start(const struct escape *escape, const char *name)
{
	struct ifreq request = {0};
	memcpy(request.ifr_name, name, IFNAMSIZ);
	if (ioctl(mnl_socket_get_fd(escape->socket), SIOCGIFHWADDR, &request) < 0)
		return PACKET_FRAME;
	return request.ifr_hwaddr.sa_family == ARPHRD_ETHER ? PACKET_FRAME : PACKET_IP;
}

static void event_complete(
	const struct escape *escape, struct escape_event *event, const struct nlattr *payload)
{
	device_name(escape, event->out, event->out_device);
	device_name(escape, event->in, event->in_device);
	enum packet_start start =
		event->path == ESCAPE_EGRESS ? device_start(escape, event->out_device) : PACKET_IP;
	if (payload)
		event->readable = packet_parse(&event->packet, start, mnl_attr_get_payload(payload),
			mnl_attr_get_payload_len(payload));
}

static uint32_t number(const struct nlattr *attr, uint32_t missing)
{
	return attr ? ntohl(mnl_attr_get_u32(attr)) : missing;
}

static int accept_send(const struct escape *escape, uint32_t id)
{
	_Alignas(struct nlmsghdr) char buf[MNL_NLMSG_HDRLEN + 64];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, RULESET_ESCAPE_NUMBER);
	nfq_nlmsg_verdict_put(nlh, (int)id, NF_ACCEPT);
	return mnl_socket_sendto(escape->socket, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

static int queued_take(struct escape *escape, const struct nlmsghdr *nlh)
{
	struct nlattr *attr[NFQA_MAX + 1] = {NULL};
	if (nfq_nlmsg_parse(nlh, attr) < 0 || !attr[NFQA_PACKET_HDR])
		return -EBADMSG;
	const struct nfgenmsg *message = mnl_nlmsg_get_payload(nlh);
	const struct nfqnl_msg_packet_hdr *header = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	struct escape_event event = {
		.path = path_of(message->nfgen_family, header->hook),
		.waits = true,
		.uid = number(attr[NFQA_UID], ESCAPE_UNKNOWN),
		.gid = number(attr[NFQA_GID], ESCAPE_UNKNOWN),
		.mark = number(attr[NFQA_MARK], 0),
		.out = number(attr[NFQA_IFINDEX_OUTDEV], 0),
		.in = number(attr[NFQA_IFINDEX_INDEV], 0),
	};
	event_complete(escape, &event, attr[NFQA_PAYLOAD]);
	escape->callback(escape->arg, &event);
	return accept_send(escape, ntohl(header->packet_id));
}

static int logged_take(struct escape *escape, const struct nlmsghdr *nlh)
{
	struct nlattr *attr[NFULA_MAX + 1] = {NULL};
	if (nflog_nlmsg_parse(nlh, attr) < 0 || !attr[NFULA_PACKET_HDR])
		return -EBADMSG;
	const struct nfgenmsg *message = mnl_nlmsg_get_payload(nlh);
	const struct nfulnl_msg_packet_hdr *header = mnl_attr_get_payload(attr[NFULA_PACKET_HDR]);
	if (attr[NFULA_SEQ]) {
		uint32_t seq = number(attr[NFULA_SEQ], 0);
		if (escape->log_seen)
			escape->log_lost += seq - escape->log_next;
		escape->log_seen = true;
		escape->log_next = seq + 1;
	}
	struct escape_event event = {
		.path = path_of(message->nfgen_family, header->hook),
		.uid = number(attr[NFULA_UID], ESCAPE_UNKNOWN),
		.gid = number(attr[NFULA_GID], ESCAPE_UNKNOWN),
		.mark = number(attr[NFULA_MARK], 0),
		.out = number(attr[NFULA_IFINDEX_OUTDEV], 0),
		.in = number(attr[NFULA_IFINDEX_INDEV], 0),
	};
	event_complete(escape, &event, attr[NFULA_PAYLOAD]);
	escape->callback(escape->arg, &event);
	return 0;
}

static int message_take(const struct nlmsghdr *nlh, void *arg)
{
	struct escape *escape = arg;
	int code = 0;
	switch (nlh->nlmsg_type) {
	case NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET:
		code = queued_take(escape, nlh);
		break;
	case NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET:
		code = logged_take(escape, nlh);
		break;
	default:
		break;
	}
	if (code < 0) {
		errno = -code;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

int escape_read(struct escape *escape, escape_callback callback, void *arg, struct err *err)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	escape->callback = callback;
	escape->arg = arg;
	int count = 0;
	while (count < ESCAPE_BATCH) {
		ssize_t len = recv(mnl_socket_get_fd(escape->socket), buf, sizeof(buf), MSG_DONTWAIT);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		/* What found no room is known from its numbers, see escape_lost(). */
		if (len < 0 && errno == ENOBUFS)
			continue;
		if (len < 0)
			return err_set(err, -errno, "the escape queue: %s", strerror(errno));
		/* A verdict for a packet that the kernel gave up meanwhile is refused; nothing is lost by that. */
		if (mnl_cb_run(buf, (size_t)len, 0, 0, message_take, escape) < 0 && errno != ENOENT)
			return err_set(err, -errno, "the escape queue: %s", strerror(errno));
		count++;
	}
	return count;
}

/* Sends a configuration and waits for the kernel's word on it; other messages meanwhile are lost. */
static int configure(struct escape *escape, struct nlmsghdr *nlh)
{
	nlh->nlmsg_flags |= NLM_F_ACK;
	nlh->nlmsg_seq = ++escape->seq;
	if (mnl_socket_sendto(escape->socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	for (;;) {
		ssize_t len = recv(mnl_socket_get_fd(escape->socket), buf, sizeof(buf), MSG_DONTWAIT);
		if (len < 0)
			return -errno;
		const struct nlmsghdr *answer = (void *)buf;
		if (!mnl_nlmsg_ok(answer, (int)len) || answer->nlmsg_type != NLMSG_ERROR ||
			answer->nlmsg_seq != escape->seq)
			continue;
		return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(answer))->error;
	}
}

static int queue_listen(struct escape *escape)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, RULESET_ESCAPE_NUMBER);
	nfq_nlmsg_cfg_put_cmd(nlh, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	int code = configure(escape, nlh);
	if (code < 0)
		return code;
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, RULESET_ESCAPE_NUMBER);
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, COPY_BYTES);
	nfq_nlmsg_cfg_put_qmaxlen(nlh, QUEUE_LENGTH);
	/* Not FAIL_OPEN: what finds no room is dropped. */
	mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(NFQA_CFG_F_UID_GID | NFQA_CFG_F_FAIL_OPEN));
	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_UID_GID));
	return configure(escape, nlh);
}

static int log_listen(struct escape *escape)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *nlh =
		nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, RULESET_ESCAPE_NUMBER);
	nflog_attr_put_cfg_cmd(nlh, NFULNL_CFG_CMD_BIND);
	int code = configure(escape, nlh);
	if (code < 0)
		return code;
	nlh = nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, RULESET_ESCAPE_NUMBER);
	nflog_attr_put_cfg_mode(nlh, NFULNL_COPY_PACKET, COPY_BYTES);
	/* At once: the sooner, the likelier that the sender is still there. */
	mnl_attr_put_u32(nlh, NFULA_CFG_QTHRESH, htonl(1));
	mnl_attr_put_u16(nlh, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	return configure(escape, nlh);
}

struct escape *escape_new(const struct ruleset_observation *observation, struct err *err)
{
	struct escape *escape = calloc(1, sizeof(*escape));
	if (!escape) {
		err_set(err, -ENOMEM, "the escape queue: no memory");
		return NULL;
	}
	escape->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!escape->socket || mnl_socket_bind(escape->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		err_set(err, -errno, "the escape queue: netfilter's netlink socket: %s", strerror(errno));
		escape_free(escape);
		return NULL;
	}
	int size = RECEIVE_BUFFER;
	setsockopt(mnl_socket_get_fd(escape->socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	bool queue =
		observation->output == RULESET_BY_NFT_QUEUE || observation->output == RULESET_BY_XT_QUEUE;
	int code = queue ? queue_listen(escape) : 0;
	const char *what = "queue";
	if (code == 0 && (observation->log || observation->output == RULESET_BY_LOG)) {
		code = log_listen(escape);
		what = "log group";
	}
	if (code == 0)
		return escape;
	err_set(err, code, "the escape queue: netfilter's %s %d: %s%s", what, RULESET_ESCAPE_NUMBER,
		strerror(-code),
		code == -EBUSY || code == -EPERM
			? " (another program listens there: stop it to see who tried)"
			: "");
	escape_free(escape);
	return NULL;
}

void escape_free(struct escape *escape)
{
	if (!escape)
		return;
	if (escape->socket)
		mnl_socket_close(escape->socket);
	free(escape);
}

int escape_fd(const struct escape *escape)
{
	return mnl_socket_get_fd(escape->socket);
}

/* What the kernel itself dropped of our queue: it was full, or our socket's buffer was. */
static uint64_t queue_lost(void)
{
	FILE *from = fopen("/proc/self/net/netfilter/nfnetlink_queue", "re");
	char line[256];
	uint64_t lost = 0;
	while (from && fgets(line, sizeof(line), from)) {
		unsigned number, full, no_buffer;
		if (sscanf(line, "%u %*u %*u %*u %*u %u %u", &number, &full, &no_buffer) == 3 &&
			number == RULESET_ESCAPE_NUMBER)
			lost = (uint64_t)full + no_buffer;
	}
	if (from)
		fclose(from);
	return lost;
}

uint64_t escape_lost(const struct escape *escape)
{
	return escape->log_lost + queue_lost();
}
