/*
 * bypass: devices on which something stands that can send packets around every rule of nftables: an XDP
 * program, or a tc hook whose filters redirect (mirred, bpf). It tells that they are there, not what they do.
 * Programs at tc's hook without a qdisc (tcx, as of 6.6) the kernel shows to CAP_NET_ADMIN alone.
 */
#ifndef MX_BYPASS_H
#define MX_BYPASS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct bypass {
	unsigned index;
	char device[IFNAMSIZ];
	bool xdp; /* an XDP program is attached */
	bool tc;  /* a clsact or ingress qdisc is attached */
	bool tcx; /* a BPF program is attached to tc's hook without one */
};

/* Fills found with the devices that have one, at most max. How many, or a negative errno with err. */
int bypass_find(struct bypass *found, size_t max, struct err *err) MX_MUST_CHECK;

#endif
