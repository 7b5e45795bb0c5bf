#include "bypass.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Younger than Debian 12's headers. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

struct search {
	struct bypass *found;
	size_t count, max;
};

static struct bypass *entry_of(struct search *search, unsigned index)
{
	for (size_t i = 0; i < search->count; i++)
		if (search->found[i].index == index)
			return &search->found[i];
	if (search->count == search->max)
		return NULL;
	struct bypass *entry = &search->found[search->count++];
	*entry = (struct bypass){.index = index};
	/* It may be gone by now. */
	if (!if_indextoname(index, entry->device))
		strcpy(entry->device, "?");
	return entry;
}

static bool tcx_attached(unsigned index, uint32_t hook)
{
	union bpf_attr attr = {.query = {.target_fd = index, .attach_type = hook}};
	return syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) == 0 && attr.query.prog_cnt > 0;
}

static int link_take(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *inner;
	unsigned index = (unsigned)link->ifi_index;
	if (tcx_attached(index, TCX_INGRESS) || tcx_attached(index, TCX_EGRESS)) {
		struct bypass *entry = entry_of(data, index);
		if (entry)
			entry->tcx = true;
	}
	mnl_attr_for_each(attr, nlh, sizeof(*link))
	{
		if (mnl_attr_get_type(attr) != IFLA_XDP)
			continue;
		mnl_attr_for_each_nested(inner, attr)
		{
			if (mnl_attr_get_type(inner) != IFLA_XDP_ATTACHED ||
				mnl_attr_get_u8(inner) == XDP_ATTACHED_NONE)
				continue;
			struct bypass *entry = entry_of(data, index);
			if (entry)
				entry->xdp = true;
		}
	}
	return MNL_CB_OK;
}

static int qdisc_take(const struct nlmsghdr *nlh, void *data)
{
	const struct tcmsg *qdisc = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(*qdisc))
	{
		if (mnl_attr_get_type(attr) != TCA_KIND ||
			(strcmp(mnl_attr_get_str(attr), "clsact") != 0 &&
				strcmp(mnl_attr_get_str(attr), "ingress") != 0))
			continue;
		struct bypass *entry = entry_of(data, (unsigned)qdisc->tcm_ifindex);
		if (entry)
			entry->tc = true;
	}
	return MNL_CB_OK;
}

/* A listing of a kind whose header is `size` bytes of zeros. */
static int dump(struct mnl_socket *socket, uint16_t type, size_t size, mnl_cb_t take, struct search *search)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = type;
	mnl_nlmsg_put_extra_header(nlh, size);
	if (mnl_socket_sendto(socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	int more = MNL_CB_OK;
	while (more == MNL_CB_OK) {
		ssize_t len = mnl_socket_recvfrom(socket, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		more = mnl_cb_run(buf, (size_t)len, type, mnl_socket_get_portid(socket), take, search);
	}
	return more < 0 ? -errno : 0;
}

int bypass_find(struct bypass *found, size_t max, struct err *err)
{
	struct search search = {found, 0, max};
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int code = 0;
	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		code = -errno;
	if (code == 0)
		code = dump(socket, RTM_GETLINK, sizeof(struct ifinfomsg), link_take, &search);
	if (code == 0)
		code = dump(socket, RTM_GETQDISC, sizeof(struct tcmsg), qdisc_take, &search);
	if (socket)
		mnl_socket_close(socket);
	if (code < 0)
		return err_set(err, code, "listing the devices: %s", strerror(-code));
	return (int)search.count;
}
