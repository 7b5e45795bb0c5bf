/*
 * witness: a packet tap on every device of the network namespace in which it was opened, which tells what
 * a device was given to send. The kernel shows a packet to taps after the last of its filters (netdev
 * egress) and before the device's driver: what the tap shows has left, what was dropped before it does not
 * appear. Packets sent past the queue (PACKET_QDISC_BYPASS) pass no tap.
 */
#ifndef MX_WITNESS_H
#define MX_WITNESS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canary_range.h"
#include "err.h"
#include "sighting.h"

struct witness {
	int fd;
	unsigned loopback; /* interface index of lo: what goes there stays */
};

/*
 * Shows packets to addresses of the ranges, and every TCP SYN for the sake of those that were rewritten.
 * 0 or a negative errno, err filled; -EPERM without CAP_NET_RAW.
 */
int witness_open(struct witness *witness, const struct canary_range *v4, const struct canary_range *v6,
	struct err *err);
void witness_close(struct witness *witness);

struct witness_packet {
	uint8_t bytes[256];
	size_t length;
	char device[IF_NAMESIZE];
};

/* The next packet, without waiting. False when there is none. */
bool witness_next(struct witness *witness, struct witness_packet *packet);

/* Whether what goes to the device comes back to where it was taken from, as with the ifb devices that tc shapes by. */
bool witness_stays(const struct witness *witness, const char *device);

/* Packets that it had no room for since this was last asked: more than 0 makes it a poor witness. */
unsigned witness_lost(struct witness *witness);

#endif
