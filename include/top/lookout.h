/*
 * lookout: the warden's eye on what the guard stops: receives the packets, finds their senders, keeps them in the
 * counts' region, and says each new one once in the log, with the remedy. It only looks: that the guard stops them
 * does not depend on it.
 */
#ifndef MX_LOOKOUT_H
#define MX_LOOKOUT_H

#include <event2/event.h>

#include "ruleset_observe.h"
#include "stats.h"

struct lookout;

/*
 * Finds the best means that the kernel has, listens by it on base's loop, and writes it to observation, for the
 * rules. NULL where nothing can be seen, which the log says if it is for want of anything but the kernel's ability:
 * all is stopped and counted as before.
 *
 * urgent is called before each search for a sender, which may take milliseconds: what cannot wait as long is done there.
 */
struct lookout *lookout_new(struct event_base *base, struct escapes *escapes,
	struct ruleset_observation *observation, void (*urgent)(void *arg), void *urgent_arg);
/* NULL is fine. */
void lookout_free(struct lookout *lookout);

/* Packets that were stopped and could not be shown for want of room. NULL is fine. */
uint64_t lookout_lost(const struct lookout *lookout);

#endif
