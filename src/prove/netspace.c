#include "netspace.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rtnl.h"

/* Each that leads through here is a descriptor and two canaries a port. */
#define NETSPACES_MAX 64
/* Each namespace that was looked at is remembered, so that its other processes are passed over. */
#define KNOWN_MAX 4096

static const char *const named_in[] = {"/run/netns", "/run/docker/netns"};

struct search {
	struct netspaces *found;
	const struct address *v4, *v6;
	int home;
	dev_t known_device;
	ino_t known[KNOWN_MAX];
	size_t known_count;
};

int netspace_own(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int netspace_enter(int fd)
{
	return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

struct route {
	unsigned type, device;
};

static int route_answer(const struct nlmsghdr *answer, void *data)
{
	struct route *route = data;
	const struct rtmsg *msg = mnl_nlmsg_get_payload(answer);
	const struct nlattr *attr;
	route->type = msg->rtm_type;
	mnl_attr_for_each(attr, answer, sizeof(*msg)) if (mnl_attr_get_type(attr) == RTA_OIF) route->device =
		mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

/* The device by which packets to an address leave the namespace; 0: by none. */
static unsigned route_device(struct rtnl *rtnl, const struct address *to)
{
	struct route route = {0};
	size_t length = to->family == AF_INET ? 4 : 16;
	struct nlmsghdr *request = rtnl_begin(rtnl, RTM_GETROUTE, 0);
	struct rtmsg *msg = mnl_nlmsg_put_extra_header(request, sizeof(*msg));
	msg->rtm_family = to->family;
	msg->rtm_dst_len = (uint8_t)(length * 8);
	mnl_attr_put(request, RTA_DST, length, to->bytes);
	if (rtnl_talk(rtnl, request, route_answer, &route) < 0 || route.type != RTN_UNICAST)
		return 0;
	return route.device;
}

struct peer {
	int id;
	bool plain; /* its frames come over as they are */
};

static bool is_plain(const char *kind)
{
	static const char *const kinds[] = {
		"veth", "macvlan", "macvtap", "ipvlan", "ipvtap", "vlan", "netkit"};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

static int peer_answer(const struct nlmsghdr *answer, void *data)
{
	struct peer *peer = data;
	const struct nlattr *attr, *inner;
	mnl_attr_for_each(attr, answer, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(attr) == IFLA_LINK_NETNSID)
			peer->id = (int)mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) != IFLA_LINKINFO)
			continue;
		mnl_attr_for_each_nested(inner, attr) if (mnl_attr_get_type(inner) == IFLA_INFO_KIND)
			peer->plain = is_plain(mnl_attr_get_str(inner));
	}
	return MNL_CB_OK;
}

static int id_answer(const struct nlmsghdr *answer, void *data)
{
	int *id = data;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, answer, sizeof(struct rtgenmsg))
	{
		if (mnl_attr_get_type(attr) == NETNSA_NSID)
			*id = (int)mnl_attr_get_u32(attr);
	}
	return MNL_CB_OK;
}

enum way {
	WAY_ELSEWHERE,
	WAY_HERE,
	WAY_TUNNEL,
};

/* Where the device's other end is, or the device that it stands on: in the namespace `home`, or not. */
static enum way device_way(struct rtnl *rtnl, unsigned device, int home)
{
	struct peer peer = {-1, false};
	int own = -1;
	struct nlmsghdr *request = rtnl_begin(rtnl, RTM_GETLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	link->ifi_index = (int)device;
	if (rtnl_talk(rtnl, request, peer_answer, &peer) < 0 || peer.id < 0)
		return WAY_ELSEWHERE;
	/* Asked second: the kernel gives a namespace its number when it is first told of. */
	request = rtnl_begin(rtnl, RTM_GETNSID, 0);
	mnl_nlmsg_put_extra_header(request, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(request, NETNSA_FD, (uint32_t)home);
	if (rtnl_talk(rtnl, request, id_answer, &own) < 0 || own != peer.id)
		return WAY_ELSEWHERE;
	return peer.plain ? WAY_HERE : WAY_TUNNEL;
}

/* Runs inside the namespace. ways: 1u << enum way of each route. */
static void routes_look(struct search *search, struct netspace *space, unsigned *ways)
{
	struct rtnl rtnl;
	if (rtnl_open(&rtnl) < 0)
		return;
	const struct address *to[] = {search->v4, search->v6};
	bool *leads[] = {&space->v4, &space->v6};
	for (int i = 0; i < 2; i++) {
		unsigned device = to[i]->family ? route_device(&rtnl, to[i]) : 0;
		if (device == 0)
			continue;
		enum way way = device_way(&rtnl, device, search->home);
		*leads[i] = way == WAY_HERE;
		*ways |= 1u << way;
	}
	rtnl_close(&rtnl);
}

static bool known(struct search *search, const char *path)
{
	struct stat now;
	/* Other than namespace files, as the mount point of a namespace that is gone, have another device. */
	if (stat(path, &now) < 0 || now.st_dev != search->known_device)
		return true;
	for (size_t i = 0; i < search->known_count; i++)
		if (search->known[i] == now.st_ino)
			return true;
	if (search->known_count == KNOWN_MAX) {
		search->found->left_out++;
		return true;
	}
	search->known[search->known_count++] = now.st_ino;
	return false;
}

static void look(struct search *search, const char *path, const char *name)
{
	if (known(search, path))
		return;
	struct netspace space = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
	unsigned ways = 0;
	if (space.fd < 0)
		return;
	if (netspace_enter(space.fd) == 0) {
		routes_look(search, &space, &ways);
		if (netspace_enter(search->home) < 0)
			abort(); /* in the wrong namespace nothing that follows would be true */
	}
	struct netspaces *found = search->found;
	found->own_way += (ways >> WAY_ELSEWHERE) & 1;
	found->tunnelled += (ways >> WAY_TUNNEL) & 1;
	if ((space.v4 || space.v6) && found->count < NETSPACES_MAX) {
		snprintf(space.name, sizeof(space.name), "%s", name);
		found->items[found->count++] = space;
		return;
	}
	found->left_out += space.v4 || space.v6;
	close(space.fd);
}

static void look_named(struct search *search, const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (entry->d_name[0] != '.')
			look(search, path, entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static void look_processes(struct search *search)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		char path[300], command[32] = "", name[NETSPACE_NAME_MAX];
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		FILE *from = fopen(path, "re");
		if (from && fgets(command, sizeof(command), from))
			command[strcspn(command, "\n")] = '\0';
		if (from)
			fclose(from);
		snprintf(name, sizeof(name), "%s, process %.10s", command, entry->d_name);
		snprintf(path, sizeof(path), "/proc/%s/ns/net", entry->d_name);
		look(search, path, name);
	}
	if (dir)
		closedir(dir);
}

int netspaces_find(
	struct netspaces *found, const struct address *v4, const struct address *v6, struct err *err)
{
	*found = (struct netspaces){.items = calloc(NETSPACES_MAX, sizeof(*found->items))};
	struct search *search = calloc(1, sizeof(*search));
	int home = netspace_own(), code = home < 0 ? home : 0;
	struct stat own;
	if (!found->items || !search)
		code = -ENOMEM;
	else if (code == 0 && fstat(home, &own) < 0)
		code = -errno;
	if (code == 0) {
		*search = (struct search){.found = found,
			.v4 = v4,
			.v6 = v6,
			.home = home,
			.known_device = own.st_dev,
			.known = {own.st_ino},
			.known_count = 1};
		for (size_t i = 0; i < sizeof(named_in) / sizeof(named_in[0]); i++)
			look_named(search, named_in[i]);
		look_processes(search);
	} else {
		netspaces_done(found);
		err_set(err, code, "the machine's network namespaces: %s", strerror(-code));
	}
	free(search);
	if (home >= 0)
		close(home);
	return code;
}

void netspaces_done(struct netspaces *found)
{
	for (size_t i = 0; i < found->count; i++)
		close(found->items[i].fd);
	free(found->items);
	*found = (struct netspaces){0};
}
