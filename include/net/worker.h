/*
 * worker: one event loop in one thread, with its own listener sockets, sessions and counters. Workers
 * share nothing but immutable values; the thread that made a worker talks to it by three calls.
 */
#ifndef MX_WORKER_H
#define MX_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "origdst.h"
#include "policy.h"
#include "stats.h"

struct worker;

struct worker_setup {
	unsigned index;
	const int *listeners; /* one a port; the worker owns them from then on, also on failure */
	size_t listener_count;
	const struct policy *policy;
	const struct origdst_finder *finders;
	struct stats_block *block;
	/*
	 * Connections that this process's workers may have open together; 0: as many as there are descriptors. Theirs
	 * are every `processes`th block of stats, this worker's among them.
	 */
	uint64_t connections_max;
	const struct stats *stats;
	unsigned processes;
	struct policy_state *state;
	const char *dns_servers; /* as resolver_setup.servers */
	bool resolve;            /* ask DNS at all */
	bool warm;               /* keep what DNS says of the providers' own domains at hand */
};

/* Makes a worker and starts its thread. NULL on failure, err filled. */
struct worker *worker_start(const struct worker_setup *setup, struct err *err);

/* New sessions get this policy; those that are open keep theirs. */
void worker_set_policy(struct worker *worker, const struct policy *policy);

/* Counts to nothing, but for open connections. */
void worker_reset(struct worker *worker);

/* Closes all sessions with 421, ends the thread and frees the worker. NULL is fine. */
void worker_stop(struct worker *worker);

#endif
