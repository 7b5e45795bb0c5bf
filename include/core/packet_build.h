/*
 * packet_build: IP packets byte by byte, with correct checksums: what a raw or packet socket sends when it
 * plays a mail client that goes past the kernel's TCP. It builds what the proof's canaries need and sends
 * nothing.
 */
#ifndef MX_PACKET_BUILD_H
#define MX_PACKET_BUILD_H

#include <stddef.h>
#include <stdint.h>

/* The largest packet that is built here, in bytes. */
#define PACKET_BUILD_MAX 128
/* Of the whole TCP segment (header and MSS option); its first eight bytes hold ports and sequence number. */
#define PACKET_TCP_LENGTH 24

struct packet {
	uint8_t family;        /* AF_INET or AF_INET6 */
	const uint8_t *source; /* 4 or 16 bytes in network order, as is the next */
	const uint8_t *destination;
	uint16_t source_port, destination_port;
	uint32_t sequence;
	uint16_t mss;
};

/* Each returns the packet's length in bytes; `to` has room for PACKET_BUILD_MAX. */

/* A whole TCP SYN. */
size_t packet_build_syn(const struct packet *packet, uint8_t *to);

/* The second fragment of the same SYN: what lies behind its first eight bytes, so without ports. */
size_t packet_build_rest(const struct packet *packet, uint8_t *to);

/*
 * A first fragment with no byte of TCP in it: IPv6 destination options fill it, and the TCP header comes in a
 * second one. IPv6 alone.
 */
size_t packet_build_headless(const struct packet *packet, uint8_t *to);

#endif
