/*
 * sender_connection: the SMTP threads of the generator. A sender is an event loop and its share of the
 * connections: it opens them, has an smtp_client speak on each, holds back what is throttled, ends what takes
 * too long, opens anew what was closed, and counts. Every wait has an end. sender.c has the loop, the clock and
 * the order of things, sender_connection.c what happens on one connection.
 */
#ifndef MX_SENDER_CONNECTION_H
#define MX_SENDER_CONNECTION_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>

#include "gen_driver.h"
#include "stream.h"
#include "throttle.h"

enum connection_state {
	CONNECTION_FRESH,      /* not opened yet */
	CONNECTION_CONNECTING, /* TCP */
	CONNECTION_SECURING,   /* TLS */
	CONNECTION_TALKING,
	CONNECTION_THROTTLED, /* in the queue of those that wait for their turn */
	CONNECTION_HOLDING,   /* idle on purpose */
	CONNECTION_PAUSED,    /* closed, to be opened at the deadline */
	CONNECTION_STOPPED,   /* closed for good */
};

struct connection {
	struct sender *sender;
	struct stream stream;
	struct event event;
	enum connection_state state;
	bool idle;            /* one of those that say EHLO and stay */
	bool stopping;        /* QUIT when the message under way is done, for good */
	bool renewing;        /* the same, and open anew */
	bool established;     /* since it was opened it got as far as a first message */
	bool fruitful;        /* since it was opened a message was accepted */
	unsigned target;      /* index of the address it is opened to */
	unsigned tries;       /* addresses tried in this attempt */
	unsigned pauses;      /* in a row */
	uint64_t begun;       /* messages, since it was opened */
	uint64_t began_ns[2]; /* of the messages under way, the oldest first */
	uint64_t deadline_ns;
	struct connection *next; /* in the queue */
	struct smtp_client client;
};

struct sender {
	struct gen_share setup;
	struct campaign *campaign;
	struct event_base *base;
	struct event *tick, *poked, *turn; /* turn: the throttle's next */
	int poke;
	struct connection *connections; /* idle ones first */
	size_t count, fresh;            /* fresh: index of the next one to be opened */
	unsigned connecting, next_source;
	struct connection *queue, **queue_end;
	struct throttle throttle;
	struct mail_date date;
	time_t date_of;
	uint64_t now_ns, drain_until_ns;
	bool draining, measuring;
	char *read_buffer;
	_Atomic bool finished;
	pthread_t thread;
	struct tally tally;
};

#define SENDER_READ_SIZE 16384

void connection_open(struct connection *connection);
/* Its deadline has passed. */
void connection_expire(struct connection *connection);
/* Its turn has come: the throttle lets it begin. */
void connection_go(struct connection *connection);
/* No more messages: ends it as soon as none is under way. */
void connection_drain(struct connection *connection);
/* Ends it now. */
void connection_abort(struct connection *connection);

/* sender.c's, for sender_connection.c: */

/* False: the connection was put into the queue. */
bool sender_may_begin(struct sender *sender, struct connection *connection);
/* A connection is no longer connecting, or stopped. */
void sender_open_fresh(struct sender *sender);
void sender_check_end(struct sender *sender);

#endif
