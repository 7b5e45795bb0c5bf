#include "canary_plan.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "route_marks.h"

static struct ifaddrs *interfaces(struct err *err)
{
	struct ifaddrs *all = NULL;
	if (getifaddrs(&all) < 0)
		err_set(err, -errno, "this host's devices and addresses: %s", strerror(errno));
	return all;
}

/* An address by which this host may send to others. */
static bool usable(const struct ifaddrs *entry, struct address *address)
{
	return entry->ifa_addr && !(entry->ifa_flags & IFF_LOOPBACK) &&
	       address_of(entry->ifa_addr, address) && !address_link_local(address);
}

struct address *canary_plan_addresses(size_t *count, struct err *err)
{
	struct ifaddrs *all = interfaces(err);
	if (!all)
		return NULL;
	size_t room = 1;
	for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next)
		room++;
	struct address *own = calloc(room, sizeof(*own));
	*count = 0;
	for (const struct ifaddrs *entry = all; own && entry; entry = entry->ifa_next)
		if (usable(entry, &own[*count]))
			(*count)++;
	freeifaddrs(all);
	if (!own)
		err_set(err, -ENOMEM, "no memory for the host's addresses");
	return own;
}

struct planner {
	struct canary_plan *plan;
	const struct ifaddrs *all;
	const struct netspaces *behind;
	const struct route_marks *marks;
	const struct canary_kind *kind;
	const struct canary_range *range;
	uint16_t port;
};

static struct canary *add(const struct planner *planner)
{
	struct canary_plan *plan = planner->plan;
	if (plan->count == CANARY_PLAN_MAX) {
		plan->left_out++;
		return NULL;
	}
	struct canary *canary = &plan->canaries[plan->count++];
	*canary = (struct canary){.kind = planner->kind, .port = planner->port, .container = -1, .fd = -1};
	canary->destination.family = planner->range->block.family;
	return canary;
}

/* Of a device, or with NULL of any; else one that nobody has. */
static struct address source_of(const struct planner *planner, const char *device)
{
	struct address address;
	for (const struct ifaddrs *entry = planner->all; entry; entry = entry->ifa_next)
		if (usable(entry, &address) && address.family == planner->range->block.family &&
			(!device || strcmp(entry->ifa_name, device) == 0))
			return address;
	return canary_range_source(planner->range);
}

/* Those that the kernel does not choose a source for. */
static bool builds_packet(const struct canary_kind *kind)
{
	return kind->in_order & 1u << CANARY_STOPPED;
}

static void add_once(const struct planner *planner)
{
	struct canary *canary = add(planner);
	if (canary && builds_packet(planner->kind))
		canary->source = source_of(planner, NULL);
}

static void add_per_mark(const struct planner *planner)
{
	for (size_t i = 0; i < planner->marks->count; i++) {
		struct canary *canary = add(planner);
		if (!canary)
			continue;
		canary->mark = planner->marks->marks[i];
		snprintf(canary->where, sizeof(canary->where), "mark 0x%x", canary->mark);
	}
}

static void add_per_source(const struct planner *planner)
{
	struct address address;
	for (const struct ifaddrs *entry = planner->all; entry; entry = entry->ifa_next) {
		if (!usable(entry, &address) || address.family != planner->range->block.family)
			continue;
		struct canary *canary = add(planner);
		if (!canary)
			continue;
		canary->source = address;
		address_format(&address, canary->where);
	}
}

static bool is_device(const struct ifaddrs *entry)
{
	return entry->ifa_addr && entry->ifa_addr->sa_family == AF_PACKET &&
	       !(entry->ifa_flags & IFF_LOOPBACK);
}

static void add_per_device(const struct planner *planner)
{
	for (const struct ifaddrs *entry = planner->all; entry; entry = entry->ifa_next) {
		if (!is_device(entry) || !(entry->ifa_flags & IFF_UP))
			continue;
		const struct sockaddr_ll *link = (const void *)entry->ifa_addr;
		if (planner->kind->ethernet && link->sll_hatype != ARPHRD_ETHER)
			continue;
		struct canary *canary = add(planner);
		if (!canary)
			continue;
		canary->device = (unsigned)link->sll_ifindex;
		canary->source = source_of(planner, entry->ifa_name);
		snprintf(canary->where, sizeof(canary->where), "%s", entry->ifa_name);
	}
}

static void add_per_container(const struct planner *planner)
{
	for (size_t i = 0; planner->behind && i < planner->behind->count; i++) {
		const struct netspace *space = &planner->behind->items[i];
		if (!(planner->range->block.family == AF_INET ? space->v4 : space->v6))
			continue;
		struct canary *canary = add(planner);
		if (!canary)
			continue;
		canary->container = space->fd;
		snprintf(canary->where, sizeof(canary->where), "%s", space->name);
	}
}

static void plan_kind(const struct planner *planner)
{
	static void (*const by_scope[CANARY_SCOPES])(const struct planner *planner) = {
		[CANARY_ONCE] = add_once,
		[CANARY_PER_MARK] = add_per_mark,
		[CANARY_PER_SOURCE] = add_per_source,
		[CANARY_PER_DEVICE] = add_per_device,
		[CANARY_PER_CONTAINER] = add_per_container,
	};
	by_scope[planner->kind->scope](planner);
}

int canary_plan_make(
	struct canary_plan *plan, const struct conf *conf, const struct netspaces *behind, struct err *err)
{
	struct ifaddrs *all = interfaces(err);
	if (!all)
		return -EIO;
	plan->count = plan->left_out = plan->down = 0;
	plan->canaries = calloc(CANARY_PLAN_MAX, sizeof(*plan->canaries));
	if (!plan->canaries) {
		freeifaddrs(all);
		return err_set(err, -ENOMEM, "no memory for the canaries");
	}
	for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next)
		plan->down += is_device(entry) && !(entry->ifa_flags & IFF_UP);

	struct route_marks marks;
	route_marks_find(&marks);
	const struct canary_range *ranges[] = {&plan->v4, &plan->v6};
	static const unsigned bits[] = {CANARY_IPV4, CANARY_IPV6};
	for (size_t p = 0; p < conf->divert.port_count; p++)
		for (const struct canary_kind *kind = canary_kinds; kind->name; kind++)
			for (int f = 0; f < 2; f++) {
				if (!(kind->families & bits[f]) || !ranges[f]->block.family ||
					(kind->portless && p > 0))
					continue;
				struct planner planner = {
					plan, all, behind, &marks, kind, ranges[f], conf->divert.ports[p]};
				plan_kind(&planner);
			}
	freeifaddrs(all);
	return 0;
}

void canary_plan_done(struct canary_plan *plan)
{
	free(plan->canaries);
	plan->canaries = NULL;
	plan->count = 0;
}
