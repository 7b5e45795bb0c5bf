/*
 * route_marks: the firewall marks that the routing rules of a network namespace know: a packet with such a
 * mark takes a way of its own, as VPN clients and multi-homed hosts set it up.
 */
#ifndef MX_ROUTE_MARKS_H
#define MX_ROUTE_MARKS_H

#include <stddef.h>
#include <stdint.h>

#define ROUTE_MARKS_MAX 16

struct route_marks {
	uint32_t marks[ROUTE_MARKS_MAX];
	size_t count;
};

/* Of IPv4 and IPv6 rules together, and always one more that no rule needs to know. At least one. */
void route_marks_find(struct route_marks *found);

#endif
