#include "sighting.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_HEADER    20
#define IPV6_HEADER    40
#define TCP_HEADER     20
#define TCP_SYN        0x02
#define TCP_ACK        0x10
#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
/* Headers between IPv6's own and TCP's that are read past. */
#define EXTENSIONS_MAX 8

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint16_t mss_find(const uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != TCP_OPTION_END) {
		if (*option == TCP_OPTION_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return 0;
		if (option[0] == TCP_OPTION_MSS && option[1] == 4)
			return get16(option + 2);
		option += option[1];
	}
	return 0;
}

static void segment_read(const uint8_t *at, size_t length, struct sighting *sighting)
{
	if (length < TCP_HEADER || (at[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return;
	size_t header = (size_t)(at[12] >> 4) * 4;
	if (header < TCP_HEADER || header > length)
		return;
	sighting->syn = true;
	sighting->source_port = get16(at);
	sighting->destination_port = get16(at + 2);
	sighting->mss = mss_find(at + TCP_HEADER, at + header);
}

static bool ipv4_read(const uint8_t *at, size_t length, struct sighting *sighting)
{
	size_t header = (size_t)(at[0] & 0x0f) * 4;
	if (length < IPV4_HEADER || header < IPV4_HEADER || header > length)
		return false;
	sighting->source.family = sighting->destination.family = AF_INET;
	memcpy(sighting->source.bytes, at + 12, 4);
	memcpy(sighting->destination.bytes, at + 16, 4);
	if (at[9] == IPPROTO_TCP && (get16(at + 6) & 0x1fff) == 0)
		segment_read(at + header, length - header, sighting);
	return true;
}

static bool ipv6_read(const uint8_t *at, size_t length, struct sighting *sighting)
{
	if (length < IPV6_HEADER)
		return false;
	sighting->source.family = sighting->destination.family = AF_INET6;
	memcpy(sighting->source.bytes, at + 8, 16);
	memcpy(sighting->destination.bytes, at + 24, 16);
	uint8_t next = at[6];
	size_t offset = IPV6_HEADER;
	for (int i = 0; i < EXTENSIONS_MAX && length - offset >= 8; i++) {
		if (next == IPPROTO_TCP) {
			segment_read(at + offset, length - offset, sighting);
			break;
		}
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
			break;
		next = at[offset];
		size_t header = ((size_t)at[offset + 1] + 1) * 8;
		if (header > length - offset)
			break;
		offset += header;
	}
	return true;
}

bool sighting_read(const uint8_t *bytes, size_t length, size_t offset, struct sighting *sighting)
{
	*sighting = (struct sighting){0};
	if (offset >= length)
		return false;
	switch (bytes[offset] >> 4) {
	case 4:
		return ipv4_read(bytes + offset, length - offset, sighting);
	case 6:
		return ipv6_read(bytes + offset, length - offset, sighting);
	default:
		return false;
	}
}
