/*
 * sighting: what the witness reads off a packet that a device was given: enough to tell whose canary it is.
 * It finds the IP header behind tags and link headers that a tap may show in front of it, whatever the frame
 * calls itself. Bytes in, facts out.
 */
#ifndef MX_SIGHTING_H
#define MX_SIGHTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

/* Where an IP header may begin: at once, behind tags, behind an Ethernet header, behind both. In bytes. */
#define SIGHTING_OFFSETS            \
	{                           \
		0, 4, 8, 14, 18, 22 \
	}

struct sighting {
	struct address source, destination;
	bool syn; /* a whole TCP SYN without ACK: the next three are known */
	uint16_t source_port, destination_port;
	uint16_t mss; /* 0: without that option */
};

/* Reads the IP packet that begins at an offset. False where there is none. */
bool sighting_read(const uint8_t *bytes, size_t length, size_t offset, struct sighting *sighting);

#endif
