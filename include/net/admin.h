/*
 * admin: the counts over HTTP, on the control socket, in JSON. It reads shared memory and disturbs no
 * worker. What only the warden can do (read the kernel's counters, load a configuration) it asks for
 * by two calls, and answers the client when the warden has answered. The process must ignore SIGPIPE.
 */
#ifndef MX_ADMIN_H
#define MX_ADMIN_H

#include <event2/event.h>

#include "err.h"
#include "policy.h"
#include "resolver.h"
#include "stats.h"

struct admin;

struct admin_setup {
	struct event_base *base;
	int listener; /* owned from then on, also on failure */
	const struct stats *stats;
	/* Asks the warden for fresh kernel counters; admin_refreshed() is called when they are there. */
	void (*refresh)(void *arg);
	/* Asks the warden to load the configuration anew; admin_reloaded() is called with the outcome. */
	void (*reload)(void *arg);
	/* Counters and injected behaviour to nothing. */
	void (*reset)(void *arg);
	void *arg;
	uint64_t started_ms; /* of the monotonic clock, see clock.h */
	struct policy_state *state;
	struct resolver *resolver; /* of this loop; NULL: DNS is not asked */
};

/* NULL on failure, err filled. */
struct admin *admin_new(const struct admin_setup *setup, struct err *err);
void admin_free(struct admin *admin);

/* What explain shows from now on; takes its own share. To be called before the first request. */
void admin_set_policy(struct admin *admin, const struct policy *policy);

void admin_refreshed(struct admin *admin);

/* code 0: taken over; else a negative errno. text is for the user, in both cases. */
void admin_reloaded(struct admin *admin, int code, const char *text);

#endif
