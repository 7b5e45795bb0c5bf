/*
 * stream: one kind of probe to one address, as a word of the command line:
 *
 *   KIND[,OPTION[=VALUE]]...@ADDRESS
 *
 *   connect   a TCP socket. mptcp, fastopen, dev=NAME (unbound: as the scope alone), mark=N, src=ADDRESS
 *   raw       a raw socket with a header of its own. nodefrag, mark=N, src=ADDRESS
 *   packet    a packet socket. dev=NAME (needed), bypass (no queueing discipline), tags=N, src=ADDRESS,
 *             proto=N (what the sender says that the frame is; a lie, as a rule),
 *             wait (for the device to appear; then TCP's sequence numbers are microseconds since it did)
 *
 * and for all: port=N (25), sport=N; for the latter two flags=syn|ack|rst|fin|synack and
 * layout=plain|options|frag8|tail|late.
 */
#ifndef LEAK_STREAM_H
#define LEAK_STREAM_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

#define ERRNO_MAX 134

enum stream_kind {
	STREAM_CONNECT,
	STREAM_RAW,
	STREAM_PACKET
};

struct stream {
	const char *word;
	enum stream_kind kind;
	struct frame_spec frame; /* also holds family, addresses and ports of a connection */
	char device[IF_NAMESIZE];
	uint32_t mark;
	bool mapped, mptcp, fastopen, nodefrag, bypass, wait, unbound, has_source;
	int fd;         /* of raw and packet */
	int protocol;   /* that a frame's sender claims; -1: the true one */
	unsigned index; /* of the device */
	uint64_t since; /* when the awaited device appeared, in ns */
	uint64_t sent;
	uint64_t connected, greeted, refused, reset, unanswered, cut, closed; /* of connections */
	uint64_t errors[ERRNO_MAX]; /* of sending, and of connecting other than the above */
};

/* 0, or -1 with a message on standard error. Changes the word. */
int stream_parse(struct stream *stream, char *word);
void stream_failed(struct stream *stream, int error);

uint64_t now_ns(void);

/* raw.c: sends one probe of a raw or packet stream; opens its socket at the first. packet_sockets: without and
 * with bypass, -1 as long as there is none. */
void raw_send(struct stream *stream, int packet_sockets[2]);

/* connect.c: connections in the making, of all streams. */
struct connects;

struct connects *connects_new(void);
void connects_free(struct connects *connects);
void connects_begin(struct connects *connects, struct stream *stream);
/* Takes what has happened, waiting for it up to so long, and gives up on those that are too old. */
void connects_reap(struct connects *connects, int wait_ms, uint64_t too_old_ns);
unsigned connects_open(const struct connects *connects);
/* The longest time between one greeting and the next so far, the last one's to now included. In ms; -1 without any. */
double connects_gap_ms(const struct connects *connects);

#endif
