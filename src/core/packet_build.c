#include "packet_build.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define IPV4_HEADER     20
#define IPV6_HEADER     40
#define FRAGMENT_HEADER 8
#define OPTIONS_HEADER  8
#define FIRST_PART      8 /* of the segment, in the first fragment; offsets count in eights */
#define TTL             64
#define TCP_SYN         0x02
#define TCP_OPTION_MSS  2
#define IPV6_MORE       1 /* fragments, in the fragment header's offset field */
#define OPTION_PAD_N    1

static uint8_t *put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
	return to + 2;
}

static uint8_t *put32(uint8_t *to, uint32_t value)
{
	return put16(put16(to, value >> 16), value & 0xffff);
}

/* RFC 1071: the ones' complement sum, not yet folded. length is even. */
static uint32_t sum(uint32_t start, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 2)
		start += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return start;
}

static unsigned fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return ~total & 0xffff;
}

static size_t address_length(const struct packet *packet)
{
	return packet->family == AF_INET ? 4 : 16;
}

/* RFC 9293 3.1, with the pseudo-header of either family: in both its sum is that of the same four fields. */
static void segment_build(const struct packet *packet, uint8_t to[PACKET_TCP_LENGTH])
{
	memset(to, 0, PACKET_TCP_LENGTH);
	put32(put16(put16(to, packet->source_port), packet->destination_port), packet->sequence);
	to[12] = PACKET_TCP_LENGTH / 4 << 4;
	to[13] = TCP_SYN;
	put16(to + 14, UINT16_MAX);
	to[20] = TCP_OPTION_MSS;
	to[21] = 4;
	put16(to + 22, packet->mss);
	uint32_t total = sum(IPPROTO_TCP + PACKET_TCP_LENGTH, packet->source, address_length(packet));
	total = sum(total, packet->destination, address_length(packet));
	put16(to + 16, fold(sum(total, to, PACKET_TCP_LENGTH)));
}

/* offset: of the payload in the segment, in bytes; the identification is the sequence number's low half. */
static size_t ipv4_build(
	const struct packet *packet, unsigned offset, const uint8_t *payload, size_t length, uint8_t *to)
{
	memset(to, 0, IPV4_HEADER);
	to[0] = 0x45;
	put16(put16(put16(to + 2, (unsigned)(IPV4_HEADER + length)), packet->sequence & 0xffff), offset / 8);
	to[8] = TTL;
	to[9] = IPPROTO_TCP;
	memcpy(to + 12, packet->source, 4);
	memcpy(to + 16, packet->destination, 4);
	put16(to + 10, fold(sum(0, to, IPV4_HEADER)));
	memcpy(to + IPV4_HEADER, payload, length);
	return IPV4_HEADER + length;
}

static size_t ipv6_build(
	const struct packet *packet, uint8_t next, const uint8_t *payload, size_t length, uint8_t *to)
{
	memset(to, 0, IPV6_HEADER);
	to[0] = 0x60;
	put16(to + 4, (unsigned)length);
	to[6] = next;
	to[7] = TTL;
	memcpy(to + 8, packet->source, 16);
	memcpy(to + 24, packet->destination, 16);
	memcpy(to + IPV6_HEADER, payload, length);
	return IPV6_HEADER + length;
}

/* RFC 8200 4.5; offset in bytes. */
static void fragment_header_build(
	const struct packet *packet, uint8_t next, unsigned offset, bool more, uint8_t to[FRAGMENT_HEADER])
{
	to[0] = next;
	to[1] = 0;
	put32(put16(to + 2, offset | (more ? IPV6_MORE : 0)), packet->sequence);
}

size_t packet_build_syn(const struct packet *packet, uint8_t *to)
{
	uint8_t segment[PACKET_TCP_LENGTH];
	segment_build(packet, segment);
	if (packet->family == AF_INET)
		return ipv4_build(packet, 0, segment, sizeof(segment), to);
	return ipv6_build(packet, IPPROTO_TCP, segment, sizeof(segment), to);
}

size_t packet_build_rest(const struct packet *packet, uint8_t *to)
{
	uint8_t segment[PACKET_TCP_LENGTH];
	segment_build(packet, segment);
	size_t rest = sizeof(segment) - FIRST_PART;
	if (packet->family == AF_INET)
		return ipv4_build(packet, FIRST_PART, segment + FIRST_PART, rest, to);
	uint8_t payload[FRAGMENT_HEADER + PACKET_TCP_LENGTH];
	fragment_header_build(packet, IPPROTO_TCP, FIRST_PART, false, payload);
	memcpy(payload + FRAGMENT_HEADER, segment + FIRST_PART, rest);
	return ipv6_build(packet, IPPROTO_FRAGMENT, payload, FRAGMENT_HEADER + rest, to);
}

size_t packet_build_headless(const struct packet *packet, uint8_t *to)
{
	uint8_t payload[FRAGMENT_HEADER + OPTIONS_HEADER] = {0};
	fragment_header_build(packet, IPPROTO_DSTOPTS, 0, true, payload);
	uint8_t *options = payload + FRAGMENT_HEADER;
	options[0] = IPPROTO_TCP;
	options[2] = OPTION_PAD_N;
	options[3] = OPTIONS_HEADER - 4;
	return ipv6_build(packet, IPPROTO_FRAGMENT, payload, sizeof(payload), to);
}
