/*
 * session: one client's connection, from accept() to close(). It carries bytes between a socket and the
 * SMTP engine, asks the policy, counts, and closes what takes too long. It parses nothing and decides
 * nothing. All sessions of a worker share one read buffer and one write buffer; a session keeps memory
 * of its own only for an incomplete command or for replies that the client does not read.
 */
#ifndef MX_SESSION_H
#define MX_SESSION_H

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "origdst.h"
#include "policy.h"
#include "resolver.h"
#include "stats.h"

/* What a client may take, in seconds unless said otherwise, and why. */
struct session_limits {
	int idle;    /* nothing arrives: RFC 5321 4.5.3.2.7 asks for 5 minutes */
	int command; /* one command line from its first byte to its last: nobody types that slowly */
	int data;    /* one body from its first byte to its last */
	int unread;  /* replies that the client does not read */
	int linger;  /* after a close for cause, for the client to read why */
	int hang;    /* an answer that never comes: longer than senders wait (RFC 5321 4.5.3.2: 10 minutes) */
};

extern const struct session_limits session_limits;

/*
 * Bytes. Of a body one read takes all that a sender's buffers usually hold: each read less is a system call and an
 * acknowledgement less. Where commands are awaited a read is small, so that of a chunk (BDAT) behind them little
 * is copied that could be thrown away in the kernel.
 */
#define SESSION_READ_BUFFER  (128 * 1024)
#define SESSION_READ_COMMAND (2 * 1024)
#define SESSION_SKIP_MAX     (1024 * 1024)
/* Input that a session keeps: what one read brought while its replies are unread, and a command before it. */
#define SESSION_HELD_MAX   (SESSION_READ_BUFFER + 4 * 1024)
#define SESSION_OUT_BUFFER (32 * 1024)

LIST_HEAD(session_list, session);

/* What the sessions of one worker share; used by its thread alone. */
struct session_shared {
	struct event_base *base;
	struct stats_block *block;
	const struct policy *policy; /* for new sessions */
	struct policy_state *state;
	struct resolver *resolver; /* NULL: DNS is not asked */
	struct session_list sessions;
	/* libevent's common time-outs: O(1) however many sessions wait. */
	const struct timeval *idle, *unread, *linger, *hang;
	char *read_buffer; /* room for SESSION_HELD_MAX and SESSION_READ_BUFFER behind it */
	char *out_buffer;  /* SESSION_OUT_BUFFER */
	struct policy_verdict verdict;
	/* Kept from the last transactions for the next: a message costs no allocation. */
	struct session_transaction *spare;
	unsigned spare_count;
	char today[16];
	time_t today_minute;
};

/* 0, or -ENOMEM with err filled. */
int session_shared_init(struct session_shared *shared, struct event_base *base, struct stats_block *block,
	const struct policy *policy, struct policy_state *state, struct resolver *resolver, struct err *err);
/* Closes every session with 421 and frees the buffers. */
void session_shared_done(struct session_shared *shared);

/* What accept() and the finders know of a new connection. */
struct session_peer {
	struct sockaddr_storage source;
	struct sockaddr_storage destination;
	enum origdst_result result;
};

/* Begins a session on fd, which it owns from then on, also when it returns -ENOMEM. */
int session_open(struct session_shared *shared, int fd, const struct session_peer *peer);

#endif
