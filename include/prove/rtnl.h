/*
 * rtnl: questions to and requests of the kernel about links, addresses and routes of the network namespace
 * in which it was opened, one at a time.
 */
#ifndef MX_RTNL_H
#define MX_RTNL_H

#include <libmnl/libmnl.h>
#include <stdint.h>

struct rtnl {
	struct mnl_socket *socket;
	unsigned seq;
	_Alignas(struct nlmsghdr) char buf[1024]; /* of the request */
};

/* 0 or a negative errno. */
int rtnl_open(struct rtnl *rtnl);
void rtnl_close(struct rtnl *rtnl);

/* Begins a request, which the caller completes with mnl_…put() and sends with rtnl_talk(). */
struct nlmsghdr *rtnl_begin(struct rtnl *rtnl, uint16_t type, uint16_t flags);

/* answer is called for each message of the answer; it may be NULL. 0 or the kernel's negative errno. */
int rtnl_talk(struct rtnl *rtnl, const struct nlmsghdr *request, mnl_cb_t answer, void *data);

#endif
