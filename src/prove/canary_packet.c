/* Canaries past the kernel's TCP: raw sockets, and packet sockets that go past its IP as well. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "canary.h"

#ifndef IP_NODEFRAG
#define IP_NODEFRAG 22
#endif
#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

/* Unicast, locally administered: no card has it, so no router takes what should leave any further. */
static const uint8_t nobody[ETH_ALEN] = {0x02, 0x00, 0x00, 0x00, 0x00, 0x19};

#define TAG_LENGTH 4
#define VLAN       25

enum frame_label {
	LABEL_TRUE,
	LABEL_VLAN,
	LABEL_VLANS, /* two */
	LABEL_FALSE, /* the socket says another protocol than the frame */
};

/* Room in front of a packet for an Ethernet header and two tags. */
struct frame {
	uint8_t bytes[ETH_HLEN + 2 * TAG_LENGTH + PACKET_BUILD_MAX];
	size_t length;
};

static void sent(struct canary *canary, ssize_t got)
{
	if (got < 0)
		canary_refused(canary, errno);
	if (got >= 0 && canary->kind->past_taps) {
		canary->outcome = CANARY_LEFT;
		if_indextoname(canary->device, canary->seen_on);
	}
}

static void raw_send(
	struct canary *canary, size_t (*build)(const struct packet *packet, uint8_t *to), bool without_defrag)
{
	bool v4 = canary->destination.family == AF_INET;
	int fd = socket(canary->destination.family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0) {
		canary_unsent(canary, errno);
		return;
	}
	int on = 1;
	setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_HDRINCL : IPV6_HDRINCL, &on, sizeof(on));
	if (v4 && without_defrag)
		setsockopt(fd, IPPROTO_IP, IP_NODEFRAG, &on, sizeof(on));
	struct packet packet = canary_packet(canary);
	uint8_t bytes[PACKET_BUILD_MAX];
	size_t length = build(&packet, bytes);
	struct sockaddr_storage to;
	/* A raw IPv6 socket takes a port for a protocol number and refuses others than its own. */
	socklen_t to_length = address_socket(&canary->destination, 0, &to);
	sent(canary, sendto(fd, bytes, length, 0, (struct sockaddr *)&to, to_length));
	close(fd);
}

void canary_raw(struct canary *canary)
{
	raw_send(canary, packet_build_syn, false);
}

void canary_raw_rest(struct canary *canary)
{
	raw_send(canary, packet_build_rest, true);
}

static uint16_t protocol_of(const struct canary *canary)
{
	return canary->destination.family == AF_INET ? ETH_P_IP : ETH_P_IPV6;
}

static void frame_append(struct frame *frame, const void *bytes, size_t length)
{
	memcpy(frame->bytes + frame->length, bytes, length);
	frame->length += length;
}

static void frame_append16(struct frame *frame, uint16_t value)
{
	uint16_t wire = htons(value);
	frame_append(frame, &wire, sizeof(wire));
}

/* With an Ethernet header and the tags of the label; an unlabelled one gets its header from the device. */
static void frame_build(struct frame *frame, const struct canary *canary, enum frame_label label,
	size_t (*build)(const struct packet *packet, uint8_t *to))
{
	*frame = (struct frame){0};
	if (label != LABEL_TRUE) {
		frame_append(frame, nobody, sizeof(nobody));
		frame_append(frame, nobody, sizeof(nobody));
		if (label == LABEL_VLANS) {
			frame_append16(frame, ETH_P_8021AD);
			frame_append16(frame, VLAN);
		}
		if (label != LABEL_FALSE) {
			frame_append16(frame, ETH_P_8021Q);
			frame_append16(frame, VLAN);
		}
		frame_append16(frame, protocol_of(canary));
	}
	struct packet packet = canary_packet(canary);
	frame->length += build(&packet, frame->bytes + frame->length);
}

static uint16_t label_protocol(const struct canary *canary, enum frame_label label)
{
	switch (label) {
	case LABEL_TRUE:
		return protocol_of(canary);
	case LABEL_VLAN:
		return ETH_P_8021Q;
	case LABEL_VLANS:
		return ETH_P_8021AD;
	case LABEL_FALSE:
		break;
	}
	return ETH_P_802_EX1; /* set aside for experiments */
}

static void frame_send(struct canary *canary, enum frame_label label,
	size_t (*build)(const struct packet *packet, uint8_t *to), bool bypass)
{
	/* Protocol 0: it receives nothing. */
	int type = label == LABEL_TRUE ? SOCK_DGRAM : SOCK_RAW;
	int fd = socket(AF_PACKET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0 || (bypass && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0)) {
		canary_unsent(canary, errno);
		goto out;
	}
	struct frame frame;
	frame_build(&frame, canary, label, build);
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
		.sll_ifindex = (int)canary->device,
		.sll_halen = ETH_ALEN,
		.sll_protocol = htons(label_protocol(canary, label))};
	memcpy(to.sll_addr, nobody, sizeof(nobody));
	sent(canary, sendto(fd, frame.bytes, frame.length, 0, (struct sockaddr *)&to, sizeof(to)));
out:
	if (fd >= 0)
		close(fd);
}

void canary_frame(struct canary *canary)
{
	frame_send(canary, LABEL_TRUE, packet_build_syn, false);
}

void canary_frame_bypass(struct canary *canary)
{
	frame_send(canary, LABEL_TRUE, packet_build_syn, true);
}

void canary_frame_tagged(struct canary *canary)
{
	frame_send(canary, LABEL_VLAN, packet_build_syn, false);
}

void canary_frame_double_tagged(struct canary *canary)
{
	frame_send(canary, LABEL_VLANS, packet_build_syn, false);
}

void canary_frame_mislabelled(struct canary *canary)
{
	frame_send(canary, LABEL_FALSE, packet_build_syn, false);
}

void canary_frame_rest(struct canary *canary)
{
	frame_send(canary, LABEL_TRUE, packet_build_rest, false);
}

void canary_frame_headless(struct canary *canary)
{
	frame_send(canary, LABEL_TRUE, packet_build_headless, false);
}
