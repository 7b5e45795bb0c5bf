#include "rtnl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* The kernel answers at once; the limit is for answers that were lost. */
#define PATIENCE_S 2

int rtnl_open(struct rtnl *rtnl)
{
	memset(rtnl, 0, sizeof(*rtnl));
	rtnl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!rtnl->socket)
		return -errno;
	if (mnl_socket_bind(rtnl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int code = -errno;
		rtnl_close(rtnl);
		return code;
	}
	struct timeval patience = {PATIENCE_S, 0};
	setsockopt(mnl_socket_get_fd(rtnl->socket), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return 0;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
	rtnl->socket = NULL;
}

struct nlmsghdr *rtnl_begin(struct rtnl *rtnl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(rtnl->buf);
	request->nlmsg_type = type;
	request->nlmsg_flags = flags | NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = ++rtnl->seq;
	return request;
}

int rtnl_talk(struct rtnl *rtnl, const struct nlmsghdr *request, mnl_cb_t answer, void *data)
{
	if (mnl_socket_sendto(rtnl->socket, request, request->nlmsg_len) < 0)
		return -errno;
	_Alignas(struct nlmsghdr) char buf[32768];
	unsigned portid = mnl_socket_get_portid(rtnl->socket);
	for (;;) {
		ssize_t len = mnl_socket_recvfrom(rtnl->socket, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		int more = mnl_cb_run(buf, (size_t)len, request->nlmsg_seq, portid, answer, data);
		if (more < 0)
			return -errno;
		if (more == MNL_CB_STOP)
			return 0;
	}
}
