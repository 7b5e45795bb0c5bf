/*
 * frame: TCP segments as bytes, in every wrapping that could carry one past a firewall: with IP options or
 * extension headers, in 802.1Q tags, in fragments too small for a port. It only builds; who sends is raw.c.
 */
#ifndef LEAK_FRAME_H
#define LEAK_FRAME_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_LINK_MAX 32 /* Ethernet header and tags */
#define FRAME_MAX      256
#define FRAME_PIECES   8

enum frame_layout {
	FRAME_PLAIN,
	FRAME_OPTIONS, /* IPv4 options; IPv6 hop-by-hop and destination options */
	FRAME_FRAG8,   /* fragments of 8 bytes: ports in the first, flags in the second */
	FRAME_TAIL,    /* the same without the first: no port anywhere */
	FRAME_LATE,    /* the first fragment holds no TCP at all (IPv6: destination options fill it) */
};

struct frame_spec {
	int family;
	struct in6_addr from, to; /* IPv4 in the first four bytes */
	uint16_t from_port, to_port;
	uint8_t flags; /* of TCP */
	enum frame_layout layout;
	unsigned tags;   /* 802.1Q tags, 0 to 3 */
	uint32_t number; /* TCP's sequence number */
	uint32_t ack;    /* TCP's acknowledgement number */
};

struct frame {
	uint8_t data[FRAME_MAX];
	size_t len;
	size_t link_len; /* how much of it is Ethernet header and tags */
};

/* Builds the segment as one or more frames to the broadcast address; returns how many. */
size_t frame_build(const struct frame_spec *spec, struct frame frames[FRAME_PIECES]);

#endif
