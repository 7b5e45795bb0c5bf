/*
 * ruleset_observe: adds to a ruleset what shows the packets that its guard stops to whoever listens, with the
 * means that the kernel has. It only observes: every packet that is shown meets the guard's own rule after it,
 * whether or not anybody listens.
 *
 * A locally sent packet is queued where the kernel can: its sender waits for the listener's word, so its process
 * can be found before the guard's reset ends its socket. Elsewhere nothing is gained by waiting (a dropped
 * packet's sender retries, a forwarded one has no process here, a packet socket stays), and the packet is
 * logged. Without either, the guard's counters are all there is.
 */
#ifndef MX_RULESET_OBSERVE_H
#define MX_RULESET_OBSERVE_H

#include "ruleset.h"

/* How locally sent packets are shown, the best first. */
enum ruleset_means {
	RULESET_BY_NFT_QUEUE,
	RULESET_BY_XT_QUEUE,
	RULESET_BY_LOG,
	RULESET_BY_COUNTERS, /* not at all */
	RULESET_MEANS,
};

/* "nft_queue" and so on, as in `status --json`. */
const char *ruleset_means_name(enum ruleset_means means);

struct ruleset_observation {
	enum ruleset_means output;
	bool log; /* show what is stopped elsewhere */
};

/* Once a ruleset, before it is loaded. The static wall has nobody who listens, and stays as it is. 0 or -ENOMEM. */
int ruleset_observe(struct ruleset *ruleset, const struct ruleset_observation *observation,
	struct err *err) MX_MUST_CHECK;

#endif
