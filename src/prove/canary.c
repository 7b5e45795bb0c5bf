#include "canary.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BIT(outcome) (1u << CANARY_##outcome)
/* Somebody answers a connect() at once: the listener, or the guard's reset. Silence would hide a fault. */
#define ANSWERED (BIT(DIVERTED) | BIT(REFUSED) | BIT(NO_ROUTE))
/*
 * A socket bound to a device: the redirect to loopback contradicts it, so that nobody is reached. A container on
 * a bridge or a macvlan: its frames meet no chain but the device's, which can only drop them.
 */
#define BLOCKED (ANSWERED | BIT(SILENT))
#define GONE    (BIT(STOPPED) | BIT(NO_ROUTE))
#define BOTH    (CANARY_IPV4 | CANARY_IPV6)

const struct canary_kind canary_kinds[] = {
	{"connect", CANARY_ONCE, BOTH, .in_order = ANSWERED, .send = canary_connect},
	{"connect, marked", CANARY_PER_MARK, BOTH, .in_order = ANSWERED, .send = canary_connect_marked},
	{"connect, v4-mapped", CANARY_ONCE, CANARY_IPV4, .in_order = ANSWERED, .send = canary_connect_mapped},
	{"connect, MPTCP", CANARY_ONCE, BOTH, .in_order = ANSWERED, .send = canary_connect_mptcp},
	{"connect, fast open", CANARY_ONCE, BOTH, .in_order = ANSWERED, .send = canary_connect_fast_open},
	{"connect, source", CANARY_PER_SOURCE, BOTH, .in_order = ANSWERED, .send = canary_connect},
	{"connect, device", CANARY_PER_DEVICE, BOTH, .in_order = BLOCKED, .send = canary_connect_device},
	{"raw IP", CANARY_ONCE, BOTH, .in_order = GONE, .send = canary_raw},
	{"raw IP, fragment", CANARY_ONCE, BOTH, .portless = true, .in_order = GONE, .send = canary_raw_rest},
	{"packet socket", CANARY_PER_DEVICE, BOTH, .in_order = GONE, .send = canary_frame},
	{"packet socket, no queue", CANARY_PER_DEVICE, BOTH, .past_taps = true, .in_order = GONE,
		.send = canary_frame_bypass},
	{"packet socket, VLAN tag", CANARY_PER_DEVICE, BOTH, .ethernet = true, .in_order = GONE,
		.send = canary_frame_tagged},
	{"packet socket, two tags", CANARY_PER_DEVICE, BOTH, .ethernet = true, .in_order = GONE,
		.send = canary_frame_double_tagged},
	{"packet socket, wrong label", CANARY_PER_DEVICE, BOTH, .ethernet = true, .in_order = GONE,
		.send = canary_frame_mislabelled},
	{"packet socket, fragment", CANARY_PER_DEVICE, BOTH, .portless = true, .in_order = GONE,
		.send = canary_frame_rest},
	{"packet socket, no TCP header", CANARY_PER_DEVICE, CANARY_IPV6, .portless = true, .in_order = GONE,
		.send = canary_frame_headless},
	{"forwarded", CANARY_PER_CONTAINER, BOTH, .in_order = BLOCKED, .send = canary_connect},
	{.name = NULL},
};

const char *canary_outcome_name(enum canary_outcome outcome)
{
	static const char *const names[CANARY_OUTCOMES] = {
		[CANARY_PENDING] = "pending",
		[CANARY_LEFT] = "LEFT",
		[CANARY_DIVERTED] = "diverted",
		[CANARY_REFUSED] = "refused",
		[CANARY_SILENT] = "no answer",
		[CANARY_STOPPED] = "stopped",
		[CANARY_NO_ROUTE] = "no route",
		[CANARY_UNTESTED] = "not tested",
		[CANARY_FAILED] = "failed",
	};
	return names[outcome];
}

bool canary_in_order(const struct canary *canary)
{
	return canary->outcome == CANARY_UNTESTED || canary->kind->in_order & 1u << canary->outcome;
}

void canary_unsent(struct canary *canary, int error)
{
	/* What the host, its kernel or its configuration does not have. */
	static const int absent[] = {EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT, ENOPROTOOPT, EOPNOTSUPP,
		ENETDOWN, ENODEV, ENXIO};
	canary->outcome = CANARY_FAILED;
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		if (error == absent[i])
			canary->outcome = CANARY_UNTESTED;
	snprintf(canary->detail, sizeof(canary->detail), "%s", strerror(error));
}

void canary_refused(struct canary *canary, int error)
{
	canary_unsent(canary, error);
	switch (error) {
	case ENETUNREACH:
	case EHOSTUNREACH:
		canary->outcome = CANARY_NO_ROUTE;
		break;
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case EACCES: /* a foreign rule's "administratively prohibited" */
		canary->outcome = CANARY_REFUSED;
		break;
	case ETIMEDOUT:
		canary->outcome = CANARY_SILENT;
		break;
	/* What the kernel says of a packet that a rule or a queue dropped. */
	case EPERM:
	case ENOBUFS:
		canary->outcome = canary->kind->in_order & BIT(STOPPED) ? CANARY_STOPPED : CANARY_REFUSED;
		/* Their usual texts speak of other things. */
		snprintf(canary->detail, sizeof(canary->detail), "the sender is told: %s",
			strerrorname_np(error));
		break;
	}
}

struct packet canary_packet(const struct canary *canary)
{
	return (struct packet){
		.family = canary->destination.family,
		.source = canary->source.bytes,
		.destination = canary->destination.bytes,
		.source_port = canary->source_port,
		.destination_port = canary->port,
		.sequence = 0x6d780000u | canary->mss,
		.mss = canary->mss,
	};
}
