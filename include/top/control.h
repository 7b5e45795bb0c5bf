/*
 * control: what warden and responder say to each other, over a socket pair: one message a packet, with
 * descriptors where there are any. Both are the same program of the same build: there is no version.
 */
#ifndef MX_CONTROL_H
#define MX_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define CONTROL_FDS_MAX  64
#define CONTROL_TEXT_MAX 1024
/*
 * How long the warden waits for room in the channel. The guard waits with it, and the responder is what may hang, or
 * be in a stranger's hands.
 */
#define CONTROL_PATIENCE_S 3

enum control_type {
	/* To the responder, in this order at its start. */
	CONTROL_COUNTS, /* fds: the counts' file */
	CONTROL_FILE,   /* value: enum bundle_role; text: its name; fds: its content; again at each reload */
	CONTROL_CONFIG, /* the files are complete: take them over */
	CONTROL_ADMIN,  /* fds: the control socket's listener */
	CONTROL_WORKER, /* value: its number; fds: its listeners; code: 1 when connections are diverted to it */
	CONTROL_START,     /* value: when the daemon started, milliseconds of the monotonic clock */
	CONTROL_REFRESHED, /* the kernel's counters are as of now */
	CONTROL_PING,      /* asks for CONTROL_PONG */
	CONTROL_RELOADED,  /* code: 0 or a negative errno; text: for the user */

	/* To the warden. */
	CONTROL_READY,   /* all workers accept */
	CONTROL_REFRESH, /* asks for CONTROL_REFRESHED */
	CONTROL_RELOAD,  /* asks for CONTROL_RELOADED */
	CONTROL_RESET,   /* the kernel's counters to nothing; to a sibling (siblings.h): its workers' */
	CONTROL_PONG,    /* the main thread is at work */
};

#define CONTROL_TYPES (CONTROL_PONG + 1)

struct control_message {
	enum control_type type;
	int32_t code;
	uint64_t value;
	char text[CONTROL_TEXT_MAX];
	int fds[CONTROL_FDS_MAX];
	size_t fd_count;
};

/* Makes the pair; [0] is the warden's end. 0 or a negative errno, err filled. */
int control_pair(int fds[2], struct err *err);

/*
 * Sends, waiting for room, from the warden's end no longer than CONTROL_PATIENCE_S; the descriptors stay the caller's. 0
 * or a negative errno, -EAGAIN when there was no room.
 */
int control_send(int fd, const struct control_message *message, struct err *err);

/*
 * A message without descriptors, for a process that is at work: it does not wait for room, lest both ends wait
 * for each other. -EAGAIN when there is none: the message is lost.
 */
int control_say(int fd, enum control_type type, int32_t code, const char *text, struct err *err);

/*
 * Receives one; its descriptors are the caller's to close. 1, 0 when the other end has closed, or a
 * negative errno (-EAGAIN when nothing is there and fd does not block).
 */
int control_receive(int fd, struct control_message *message, struct err *err);

#endif
