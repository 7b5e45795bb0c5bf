#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "stream.h"

#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT 28000

static const int on = 1;

static bool raw_open(struct stream *stream)
{
	stream->fd = socket(stream->frame.family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	if (stream->fd < 0)
		return false;
	if (stream->nodefrag)
		setsockopt(stream->fd, IPPROTO_IP, IP_NODEFRAG, &on, sizeof(on));
	if (stream->mark)
		setsockopt(stream->fd, SOL_SOCKET, SO_MARK, &stream->mark, sizeof(stream->mark));
	return true;
}

static bool device_ready(struct stream *stream)
{
	if (!stream->index)
		stream->index = if_nametoindex(stream->device);
	if (stream->index && !stream->since)
		stream->since = now_ns();
	return stream->index;
}

/* One socket serves all streams of its kind: closing one takes the kernel longer than a run should. */
static bool packet_open(struct stream *stream, int packet_sockets[2])
{
	if (!device_ready(stream))
		return false;
	int *fd = &packet_sockets[stream->bypass];
	if (*fd < 0) {
		/* Protocol 0: it receives nothing. */
		*fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (*fd >= 0 && stream->bypass)
			setsockopt(*fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
	}
	stream->fd = *fd;
	return stream->fd >= 0;
}

static uint16_t protocol_of(const struct stream *stream)
{
	if (stream->protocol >= 0)
		return (uint16_t)stream->protocol;
	if (stream->frame.tags)
		return ETH_P_8021Q;
	return stream->frame.family == AF_INET ? ETH_P_IP : ETH_P_IPV6;
}

static ssize_t piece_send(const struct stream *stream, const struct frame *frame)
{
	if (stream->kind == STREAM_PACKET) {
		struct sockaddr_ll to = {.sll_family = AF_PACKET,
			.sll_protocol = htons(protocol_of(stream)),
			.sll_ifindex = (int)stream->index,
			.sll_halen = 6};
		memset(to.sll_addr, 0xff, 6);
		return sendto(stream->fd, frame->data, frame->len, 0, (struct sockaddr *)&to, sizeof(to));
	}
	const uint8_t *packet = frame->data + frame->link_len;
	size_t len = frame->len - frame->link_len;
	if (stream->frame.family == AF_INET) {
		struct sockaddr_in to = {.sin_family = AF_INET};
		memcpy(&to.sin_addr, &stream->frame.to, 4);
		return sendto(stream->fd, packet, len, 0, (struct sockaddr *)&to, sizeof(to));
	}
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = stream->frame.to};
	return sendto(stream->fd, packet, len, 0, (struct sockaddr *)&to, sizeof(to));
}

void raw_send(struct stream *stream, int packet_sockets[2])
{
	if (stream->wait && !device_ready(stream))
		return;
	stream->sent++;
	if (stream->fd < 0 &&
		!(stream->kind == STREAM_PACKET ? packet_open(stream, packet_sockets) : raw_open(stream))) {
		stream_failed(stream, errno);
		return;
	}
	struct frame_spec spec = stream->frame;
	if (!spec.from_port)
		spec.from_port = (uint16_t)(EPHEMERAL_FIRST + stream->sent % EPHEMERAL_COUNT);
	else if (spec.to_port != 25) /* what looks like a reply: to another port each time */
		spec.to_port = (uint16_t)(EPHEMERAL_FIRST + stream->sent % EPHEMERAL_COUNT);
	spec.number =
		stream->wait ? (uint32_t)((now_ns() - stream->since) / 1000) : (uint32_t)stream->sent * 7919;
	spec.ack = spec.flags & 0x10 ? 1 : 0;

	struct frame frames[FRAME_PIECES];
	size_t count = frame_build(&spec, frames);
	for (size_t i = 0; i < count; i++)
		if (piece_send(stream, &frames[i]) < 0) {
			int error = errno;
			stream_failed(stream, error);
			/* The device was replaced by another of its name. */
			if (error == ENXIO || error == ENODEV) {
				stream->fd = -1;
				stream->index = 0;
			}
			break;
		}
}
