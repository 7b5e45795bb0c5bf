#include "frame.h"

#include <string.h>

#define ETHERTYPE_TAG 0x8100
#define ETHERTYPE_4   0x0800
#define ETHERTYPE_6   0x86dd
#define NEXT_HOP      0
#define NEXT_FRAGMENT 44
#define NEXT_OPTIONS  60
#define HOP_LIMIT     64
#define PAYLOAD       20 /* bytes of data behind the TCP header */
#define SEGMENT_MAX   64
#define PIECE         8
#define V4_OPTIONS    12
#define V6_OPTIONS    8
#define LATE_OPTIONS  16

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

static uint32_t sum(const uint8_t *data, size_t len, uint32_t so_far)
{
	for (size_t i = 0; i < len; i++)
		so_far += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	return so_far;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t address_len(const struct frame_spec *spec)
{
	return spec->family == AF_INET ? 4 : 16;
}

/* TCP's header and some data; RFC 9293 3.1. */
static size_t segment_build(const struct frame_spec *spec, uint8_t *segment)
{
	uint8_t *at = put16(put16(segment, spec->from_port), spec->to_port);
	at = put32(put32(at, spec->number), spec->ack);
	at = put16(at, 5U << 12 | spec->flags);
	at = put16(at, 64240);
	put32(at, 0);
	size_t len = 20 + (spec->layout == FRAME_PLAIN ? 0 : PAYLOAD);
	memset(segment + 20, 'x', len - 20);
	uint32_t pseudo = sum(spec->from.s6_addr, address_len(spec), IPPROTO_TCP + (uint32_t)len);
	pseudo = sum(spec->to.s6_addr, address_len(spec), pseudo);
	put16(segment + 16, folded(sum(segment, len, pseudo)));
	return len;
}

static void link_build(const struct frame_spec *spec, struct frame *frame)
{
	static const uint8_t source[6] = {0x02, 0, 0, 0, 0, 0x19};
	uint8_t *at = frame->data;
	memset(at, 0xff, 6);
	memcpy(at + 6, source, 6);
	at += 12;
	for (unsigned i = 0; i < spec->tags; i++)
		at = put16(put16(at, ETHERTYPE_TAG), 7 + i);
	at = put16(at, spec->family == AF_INET ? ETHERTYPE_4 : ETHERTYPE_6);
	frame->link_len = (size_t)(at - frame->data);
}

/* The IPv4 header and a piece of the segment. */
static void v4_build(const struct frame_spec *spec, struct frame *frame, const uint8_t *piece, size_t len,
	size_t offset, bool more)
{
	uint8_t *ip = frame->data + frame->link_len, *at = ip;
	size_t options = spec->layout == FRAME_OPTIONS ? V4_OPTIONS : 0, head = 20 + options;
	at = put16(at, (unsigned)(0x40 | head / 4) << 8);
	at = put16(at, (unsigned)(head + len));
	at = put16(at, spec->number & 0xffff);
	at = put16(at, (more ? 0x2000U : 0) | (unsigned)(offset / 8));
	at = put16(at, HOP_LIMIT << 8 | IPPROTO_TCP);
	at = put16(at, 0);
	memcpy(at, &spec->from, 4);
	memcpy(at + 4, &spec->to, 4);
	memset(at + 8, 1, options); /* "no operation" */
	put16(ip + 10, folded(sum(ip, head, 0)));
	memcpy(ip + head, piece, len);
	frame->len = frame->link_len + head + len;
}

/* An extension header of options that all say nothing. */
static uint8_t *v6_options(uint8_t *at, uint8_t next, size_t len)
{
	memset(at, 0, len);
	at[0] = next;
	at[1] = (uint8_t)(len / 8 - 1);
	at[2] = 1; /* PadN */
	at[3] = (uint8_t)(len - 4);
	return at + len;
}

/* The IPv6 header, a fragment header where there are fragments, and a piece of what `next` announces. */
static void v6_build(const struct frame_spec *spec, struct frame *frame, uint8_t next, const uint8_t *piece,
	size_t len, size_t offset, bool fragmented, bool more)
{
	uint8_t *ip = frame->data + frame->link_len, *at = ip + 40;
	put32(ip, 0x60000000);
	ip[6] = next;
	ip[7] = HOP_LIMIT;
	memcpy(ip + 8, &spec->from, 16);
	memcpy(ip + 24, &spec->to, 16);
	if (spec->layout == FRAME_OPTIONS) {
		ip[6] = NEXT_HOP;
		at = v6_options(at, NEXT_OPTIONS, V6_OPTIONS);
		at = v6_options(at, next, V6_OPTIONS);
	}
	if (fragmented) {
		ip[6] = NEXT_FRAGMENT;
		at = put16(at, (unsigned)next << 8);
		at = put16(at, (unsigned)offset | more);
		at = put32(at, spec->number);
	}
	memcpy(at, piece, len);
	at += len;
	put16(ip + 4, (unsigned)(at - ip - 40));
	frame->len = (size_t)(at - frame->data);
}

size_t frame_build(const struct frame_spec *spec, struct frame frames[FRAME_PIECES])
{
	uint8_t whole[LATE_OPTIONS + SEGMENT_MAX], *segment = whole;
	uint8_t next = IPPROTO_TCP;
	bool late = spec->layout == FRAME_LATE && spec->family == AF_INET6;
	if (late) {
		segment = v6_options(whole, IPPROTO_TCP, LATE_OPTIONS);
		next = NEXT_OPTIONS;
	}
	size_t len = segment_build(spec, segment) + (size_t)(segment - whole);
	bool fragmented = spec->layout >= FRAME_FRAG8;
	size_t piece = !fragmented ? len : late ? LATE_OPTIONS : PIECE;
	size_t count = 0;
	for (size_t offset = spec->layout == FRAME_TAIL ? PIECE : 0; offset < len && count < FRAME_PIECES;
		offset += piece) {
		/* What follows the options of a late one is in one piece. */
		size_t some = late && offset ? len - offset : len - offset < piece ? len - offset : piece;
		bool more = offset + some < len;
		struct frame *frame = &frames[count++];
		link_build(spec, frame);
		if (spec->family == AF_INET)
			v4_build(spec, frame, whole + offset, some, offset, more);
		else
			v6_build(spec, frame, next, whole + offset, some, offset, fragmented, more);
		if (!more)
			break;
	}
	return count;
}
