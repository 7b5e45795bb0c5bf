/*
 * packet: reads from the first bytes of a packet whom it comes from and goes to. For telling people about
 * packets that were stopped: it decides nothing, reassembles nothing, and says so where bytes are missing.
 */
#ifndef MX_PACKET_H
#define MX_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the bytes begin with. */
enum packet_start {
	PACKET_IP,    /* an IPv4 or IPv6 header */
	PACKET_FRAME, /* an Ethernet header, with up to PACKET_TAGS_MAX VLAN tags behind it */
};

#define PACKET_TAGS_MAX 3

struct packet {
	int family;                             /* AF_INET or AF_INET6 */
	uint8_t source[16], destination[16];    /* network order; the first 4 bytes for AF_INET */
	uint8_t protocol;                       /* of the upper layer, behind every extension header */
	bool has_ports;                         /* TCP or UDP, and its header is among the bytes */
	uint16_t source_port, destination_port; /* host order */
	uint16_t vlan;                          /* the outermost tag's number, 0 without one */
};

/* False when there is no whole IP header; packet is then of no use. */
bool packet_parse(struct packet *packet, enum packet_start start, const uint8_t *data, size_t len);

#endif
