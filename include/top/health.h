/*
 * health: tells systemd that the warden works (WATCHDOG=1), as often as it wants to hear that, and asks the
 * responder whether it still answers. A responder that is silent for too long is killed; the warden starts
 * another, which takes up the same backlog. It is no watchdog for the rules: nothing leaks while any of us hangs.
 */
#ifndef MX_HEALTH_H
#define MX_HEALTH_H

#include <event2/event.h>
#include <stdbool.h>

#include "responder_process.h"

struct health {
	const struct responder_process *responder;
	struct event *on_beat;
	unsigned patience; /* beats */
	unsigned
		beats_left; /* until the responder must have said something; 0: it has not announced itself yet */
	bool watched;       /* by systemd */
};

/* 0 or -ENOMEM, err filled. The responder is looked at on each beat. */
int health_open(struct health *health, struct event_base *base, const struct responder_process *responder,
	struct err *err);
/* Fine on one that is all zero. */
void health_close(struct health *health);

/* The responder has said something. */
void health_heard(struct health *health);
/* There is another one, or none: until it is heard, nothing is expected of it. */
void health_forget(struct health *health);

#endif
