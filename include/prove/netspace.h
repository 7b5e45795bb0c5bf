/*
 * netspace: network namespaces: to step into one and back, and to find those whose way out leads through
 * this one, which is what containers are to their host. It asks each namespace of the machine about its
 * routes, sends nothing and changes nothing. The calling thread alone moves.
 */
#ifndef MX_NETSPACE_H
#define MX_NETSPACE_H

#include <stddef.h>

#include "address.h"
#include "err.h"

#define NETSPACE_NAME_MAX 64

struct netspace {
	int fd;
	char name[NETSPACE_NAME_MAX]; /* as `ip netns` or the container engine calls it, or a process in it */
	bool v4, v6;                  /* its route there leads through this namespace */
};

struct netspaces {
	struct netspace *items;
	size_t count;
	size_t own_way; /* namespaces that have a route which does not lead through this one */
	/*
	 * Namespaces with a route by a tunnel whose packets are made in this one: what it carries meets no rule here, and
	 * whoever answers a canary may be outside.
	 */
	size_t tunnelled;
	size_t left_out;
};

/* The calling thread's namespace. The descriptor, or a negative errno. */
int netspace_own(void);
/* 0 or a negative errno. */
int netspace_enter(int fd);

/* v4 and v6 are destinations; one of family 0 is not asked about. 0 or a negative errno, err filled. */
int netspaces_find(
	struct netspaces *found, const struct address *v4, const struct address *v6, struct err *err);
void netspaces_done(struct netspaces *found);

#endif
