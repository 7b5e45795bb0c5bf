#include "packet.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Extension headers looked through; nobody sends more, and a crafted chain must end. */
#define EXTENSIONS_MAX 8

struct bytes {
	const uint8_t *data;
	size_t len;
};

static bool skip(struct bytes *bytes, size_t count)
{
	if (count > bytes->len)
		return false;
	bytes->data += count;
	bytes->len -= count;
	return true;
}

static uint16_t read16(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

static void ports_read(struct packet *packet, struct bytes at)
{
	if ((packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP) || at.len < 4)
		return;
	packet->has_ports = true;
	packet->source_port = read16(at.data);
	packet->destination_port = read16(at.data + 2);
}

static bool ip4_read(struct packet *packet, struct bytes at)
{
	if (at.len < 20)
		return false;
	size_t header = (at.data[0] & 0xf) * 4u;
	packet->family = AF_INET;
	packet->protocol = at.data[9];
	memcpy(packet->source, at.data + 12, 4);
	memcpy(packet->destination, at.data + 16, 4);
	bool first = (read16(at.data + 6) & 0x1fff) == 0;
	if (first && header >= 20 && skip(&at, header))
		ports_read(packet, at);
	return true;
}

/*
 * Steps over the extension headers. False where what follows is not the upper layer's header: a later fragment,
 * or bytes that are missing.
 */
static bool extensions_skip(struct packet *packet, struct bytes *at)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		size_t len;
		switch (packet->protocol) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (at->len < 2)
				return false;
			len = (at->data[1] + 1u) * 8;
			break;
		case IPPROTO_AH:
			if (at->len < 2)
				return false;
			len = (at->data[1] + 2u) * 4;
			break;
		case IPPROTO_FRAGMENT:
			if (at->len < 8)
				return false;
			len = 8;
			break;
		default:
			return true;
		}
		bool later = packet->protocol == IPPROTO_FRAGMENT && (read16(at->data + 2) & 0xfff8) != 0;
		packet->protocol = at->data[0];
		if (later || !skip(at, len))
			return false;
	}
	return false;
}

static bool ip6_read(struct packet *packet, struct bytes at)
{
	if (at.len < 40)
		return false;
	packet->family = AF_INET6;
	packet->protocol = at.data[6];
	memcpy(packet->source, at.data + 8, 16);
	memcpy(packet->destination, at.data + 24, 16);
	skip(&at, 40);
	if (extensions_skip(packet, &at))
		ports_read(packet, at);
	return true;
}

static bool frame_skip(struct packet *packet, struct bytes *at)
{
	if (!skip(at, 2 * ETH_ALEN))
		return false;
	for (int tags = 0; tags <= PACKET_TAGS_MAX; tags++) {
		if (at->len < 2)
			return false;
		uint16_t type = read16(at->data);
		skip(at, 2);
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			return type == ETH_P_IP || type == ETH_P_IPV6;
		if (at->len < 2)
			return false;
		if (tags == 0)
			packet->vlan = read16(at->data) & 0xfff;
		skip(at, 2);
	}
	return false;
}

bool packet_parse(struct packet *packet, enum packet_start start, const uint8_t *data, size_t len)
{
	struct bytes at = {data, len};
	*packet = (struct packet){0};
	if ((start == PACKET_FRAME && !frame_skip(packet, &at)) || at.len == 0)
		return false;
	switch (at.data[0] >> 4) {
	case 4:
		return ip4_read(packet, at);
	case 6:
		return ip6_read(packet, at);
	default:
		return false;
	}
}
