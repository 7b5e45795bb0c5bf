#include "links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Room for the messages of some thousand devices at once; without the capability the limit stays. */
#define RECEIVE_BUFFER (4 * 1024 * 1024)
#define ANSWER_MAX     32768
/* How often a listing that others' changes interrupt is begun anew. */
#define TRIES_MAX 20

struct taking {
	struct links *links;
	bool changed, no_memory;
};

static void device_set(struct taking *taking, int index, const char *name)
{
	struct links *links = taking->links;
	for (size_t i = 0; i < links->count; i++) {
		if (links->devices[i].index != index)
			continue;
		if (strcmp(links->devices[i].name, name) == 0)
			return;
		strcpy(links->devices[i].name, name);
		links->devices[i].since = ++links->last;
		taking->changed = true;
		return;
	}
	if (links->count == links->room) {
		size_t room = links->room * 2 + 16;
		struct link_device *more = realloc(links->devices, room * sizeof(*more));
		if (!more) {
			taking->no_memory = true;
			return;
		}
		links->devices = more;
		links->room = room;
	}
	struct link_device *device = &links->devices[links->count++];
	device->index = index;
	device->since = ++links->last;
	strcpy(device->name, name);
	taking->changed = true;
}

static bool device_remove(struct links *links, int index)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->devices[i].index == index) {
			links->devices[i] = links->devices[--links->count];
			return true;
		}
	return false;
}

static int name_take(const struct nlattr *attribute, void *data)
{
	const char **name = data;
	if (mnl_attr_get_type(attribute) == IFLA_IFNAME &&
		mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
		*name = mnl_attr_get_str(attribute);
	return MNL_CB_OK;
}

static int message_take(const struct nlmsghdr *nlh, void *data)
{
	struct taking *taking = data;
	if ((nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK) ||
		mnl_nlmsg_get_payload_len(nlh) < sizeof(struct ifinfomsg))
		return MNL_CB_OK;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	/* A bridge speaks of its ports' leaving it by RTM_DELLINK, too, in a family of its own. */
	if (info->ifi_family != AF_UNSPEC || info->ifi_flags & IFF_LOOPBACK)
		return MNL_CB_OK;
	const char *name = NULL;
	mnl_attr_parse(nlh, sizeof(*info), name_take, &name);
	if (nlh->nlmsg_type == RTM_DELLINK)
		taking->changed |= device_remove(taking->links, info->ifi_index);
	else if (name && strlen(name) < IFNAMSIZ)
		device_set(taking, info->ifi_index, name);
	if (taking->no_memory) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

/* Takes one datagram; as mnl_cb_run(), or a negative errno, -EAGAIN where there is none. seq: its number. */
static int datagram_take(struct taking *taking, unsigned *seq)
{
	_Alignas(struct nlmsghdr) char buf[ANSWER_MAX];
	struct mnl_socket *socket = taking->links->socket;
	ssize_t len = mnl_socket_recvfrom(socket, buf, sizeof(buf));
	if (len < 0)
		return -errno;
	*seq = (size_t)len >= sizeof(struct nlmsghdr) ? ((const struct nlmsghdr *)buf)->nlmsg_seq : 0;
	int code = mnl_cb_run(buf, (size_t)len, 0, 0, message_take, taking);
	return code < 0 ? -errno : code;
}

/* One listing of all devices; -EINTR when it was interrupted, or something was lost: read to its end all the same,
 * which would else be taken for the end of the next. */
static int list_once(struct links *links)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++links->seq;
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	if (mnl_socket_sendto(links->socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	struct taking taking = {.links = links};
	/* What was reported before the request comes first, with another number, and is taken like the rest. */
	for (bool lost = false;;) {
		unsigned seq = 0;
		int code = datagram_take(&taking, &seq);
		if (code == -ENOBUFS || code == -EINTR)
			lost = true;
		else if (code == -EAGAIN)
			return lost ? -EINTR : -EIO;
		else if (code < 0)
			return code;
		else if (code == 0 && seq == links->seq)
			return lost ? -EINTR : 0;
	}
}

/* Lists into an array of its own: one that is cut off would take the others for gone. */
static int list(struct links *links, struct err *err)
{
	struct links now = *links;
	int code = -EINTR;
	now.devices = NULL;
	now.room = 0;
	for (int i = 0; i < TRIES_MAX && code == -EINTR; i++) {
		now.count = 0;
		code = list_once(&now);
	}
	links->seq = now.seq;
	links->last = now.last;
	links->stale = code < 0;
	if (code < 0) {
		free(now.devices);
		return err_set(err, code, "listing the network devices: %s", strerror(-code));
	}
	free(links->devices);
	links->devices = now.devices;
	links->count = now.count;
	links->room = now.room;
	return 0;
}

int links_open(struct links *links, struct err *err)
{
	*links = (struct links){0};
	links->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!links->socket || mnl_socket_bind(links->socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) {
		int code = err_set(err, -errno, "following the network devices: %s", strerror(errno));
		links_close(links);
		return code;
	}
	int size = RECEIVE_BUFFER;
	setsockopt(links_fd(links), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	int code = list(links, err);
	if (code < 0)
		links_close(links);
	return code;
}

void links_close(struct links *links)
{
	if (links->socket)
		mnl_socket_close(links->socket);
	free(links->devices);
	*links = (struct links){0};
}

int links_fd(const struct links *links)
{
	return mnl_socket_get_fd(links->socket);
}

int links_read(struct links *links, struct err *err)
{
	struct taking taking = {.links = links};
	int code = links->stale ? -ENOBUFS : 0;
	while (code >= 0 || code == -EINTR) {
		unsigned seq;
		code = datagram_take(&taking, &seq);
		if (code == -EAGAIN)
			return taking.changed;
	}
	if (code == -ENOBUFS) {
		code = list(links, err);
		return code < 0 ? code : 1;
	}
	/* Some of it may have been taken. */
	links->stale = true;
	return err_set(err, code, "following the network devices: %s", strerror(-code));
}

struct ruleset *links_ruleset(
	const struct links *links, const struct conf *conf, unsigned tables, struct err *err)
{
	char(*names)[IFNAMSIZ] = calloc(links->count + 1, sizeof(*names));
	unsigned *since = calloc(links->count + 1, sizeof(*since));
	struct ruleset *rules = NULL;
	if (names && since) {
		for (size_t i = 0; i < links->count; i++) {
			strcpy(names[i], links->devices[i].name);
			since[i] = links->devices[i].since;
		}
		const struct ruleset_devices devices = {(const char(*)[IFNAMSIZ])names, links->count, since};
		rules = ruleset_new(conf, tables, &devices, err);
	} else {
		err_set(err, -ENOMEM, "no memory for the names of %zu devices", links->count);
	}
	free(names);
	free(since);
	return rules;
}

struct ruleset *links_ruleset_now(const struct conf *conf, unsigned tables, struct err *err)
{
	struct links links;
	if (links_open(&links, err) < 0)
		return NULL;
	struct ruleset *rules = links_ruleset(&links, conf, tables, err);
	links_close(&links);
	return rules;
}
