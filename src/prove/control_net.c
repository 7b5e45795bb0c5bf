#include "control_net.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netspace.h"
#include "rtnl.h"

#define NEAR "canary0"
#define FAR  "canary1"

static int pair_make(struct rtnl *rtnl)
{
	struct nlmsghdr *request = rtnl_begin(rtnl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, NEAR);
	struct nlattr *info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, FAR);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	return rtnl_talk(rtnl, request, NULL, NULL);
}

/* Up, and without neighbours to be asked for: nobody would answer. */
static int end_up(struct rtnl *rtnl, const char *name)
{
	struct nlmsghdr *request = rtnl_begin(rtnl, RTM_NEWLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	link->ifi_flags = link->ifi_change = IFF_UP | IFF_NOARP;
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	return rtnl_talk(rtnl, request, NULL, NULL);
}

static int way_make(struct rtnl *rtnl, const struct canary_range *range)
{
	uint8_t family = range->block.family;
	if (!family)
		return 0;
	struct address source = canary_range_source(range);
	size_t length = family == AF_INET ? 4 : 16;
	unsigned device = if_nametoindex(NEAR);

	struct nlmsghdr *request = rtnl_begin(rtnl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *address = mnl_nlmsg_put_extra_header(request, sizeof(*address));
	address->ifa_family = family;
	address->ifa_prefixlen = (uint8_t)(length * 8);
	address->ifa_index = device;
	address->ifa_flags = IFA_F_NODAD;
	mnl_attr_put(request, IFA_LOCAL, length, source.bytes);
	int code = rtnl_talk(rtnl, request, NULL, NULL);
	if (code < 0)
		return code;

	request = rtnl_begin(rtnl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(request, sizeof(*route));
	route->rtm_family = family;
	route->rtm_dst_len = range->block.prefix;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put(request, RTA_DST, length, range->block.address);
	mnl_attr_put_u32(request, RTA_OIF, device);
	return rtnl_talk(rtnl, request, NULL, NULL);
}

int control_net_enter(const struct canary_range *v4, const struct canary_range *v6, struct err *err)
{
	int home = netspace_own();
	if (home < 0)
		return err_set(err, home, "this network namespace: %s", strerror(-home));
	if (unshare(CLONE_NEWNET) < 0) {
		int code = err_set(err, -errno, "a network namespace for the control: %s%s", strerror(errno),
			errno == EPERM ? ": prove needs root" : "");
		close(home);
		return code;
	}
	struct rtnl rtnl;
	int code = rtnl_open(&rtnl);
	if (code == 0) {
		code = pair_make(&rtnl);
		if (code == 0)
			code = end_up(&rtnl, FAR);
		if (code == 0)
			code = end_up(&rtnl, NEAR);
		if (code == 0)
			code = way_make(&rtnl, v4);
		/* Without IPv6 its canaries do not leave, which tells. */
		if (code == 0)
			(void)way_make(&rtnl, v6);
		rtnl_close(&rtnl);
	}
	if (code < 0) {
		err_set(err, code, "a veth pair for the control: %s", strerror(-code));
		if (netspace_enter(home) < 0)
			abort(); /* in the wrong namespace nothing that follows would be true */
	}
	close(home);
	return code;
}
