/*
 * gen_driver: what a run asks of its threads, whichever protocol they speak: SMTP (sender) or KumoMTA's HTTP
 * injection (injector). A driver's thread is a `void *` that only the driver looks into.
 */
#ifndef MX_GEN_DRIVER_H
#define MX_GEN_DRIVER_H

#include "campaign.h"
#include "err.h"
#include "tally.h"

struct gen_share {
	struct campaign *campaign;
	unsigned index;
	uint64_t connections, idle; /* this thread's */
	double per_second;          /* of the throttle's rate; 0 = no limit */
	int finished; /* eventfd: told when the thread has ended, or sent the last message of all */
};

void gen_share_tell(const struct gen_share *share);

struct gen_driver {
	/* NULL with err set when there is no memory, descriptor or thread for it. */
	void *(*start)(const struct gen_share *share, struct err *err);
	/* To look at the campaign's flags now. */
	void (*poke)(void *thread);
	/* What it counted: counters at any time, the rest once it is joined. */
	const struct tally *(*tally)(const void *thread);
	bool (*is_finished)(const void *thread);
	/* Waits for its end. */
	void (*join)(void *thread);
	void (*free)(void *thread);
};

extern const struct gen_driver sender_driver, injector_driver;

#endif
