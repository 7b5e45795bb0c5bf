/*
 * lookout: the warden's eye on what the guard stops: receives the packets, finds their senders, keeps them in the
 * counts' region, and says each new one once in the log, with the remedy. It only looks: that the guard stops them
 * does not depend on it.
 */
#ifndef MX_LOOKOUT_H
#define MX_LOOKOUT_H

#include <event2/event.h>

#include "err.h"
#include "ruleset_observe.h"
#include "stats.h"

struct lookout;

/*
 * Listens on base's loop by observation's means, where there are any. NULL on failure, err filled: nothing is seen
 * then, and all is stopped as before.
 */
struct lookout *lookout_new(struct event_base *base, const struct ruleset_observation *observation,
	struct escapes *escapes, struct err *err);
/* NULL is fine. */
void lookout_free(struct lookout *lookout);

/* Packets that were stopped and could not be shown for want of room. */
uint64_t lookout_lost(const struct lookout *lookout);

#endif
