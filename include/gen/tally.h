/*
 * tally: what one thread of the generator counted. The thread alone writes; the counters may be read at any
 * time, the rest when the thread has ended.
 */
#ifndef MX_TALLY_H
#define MX_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include "gen_verdict.h"
#include "histogram.h"

enum tally_counter {
	TALLY_SENT,
	TALLY_FAILED,      /* messages that were refused or lost */
	TALLY_CONNECTIONS, /* begun */
	TALLY_BROKEN,      /* connections that ended badly with no message under way */
	TALLY_SECURED,     /* connections in TLS */
	TALLY_OCTETS,      /* handed to the sockets */
	TALLY_CLIENTS,     /* connections that are still to send, now */
	TALLY_HOLDING,     /* idle connections that stand, now */
	TALLY_COUNTERS,
};

/* The same phase, code and enhanced code are one row; the text is that of the first. */
struct tally_failure {
	struct gen_verdict verdict;
	uint64_t messages, connections;
};

#define TALLY_FAILURES 64 /* the last row takes what finds no row of its own */

struct tally {
	_Atomic uint64_t counters[TALLY_COUNTERS];
	struct tally_failure failures[TALLY_FAILURES];
	struct histogram latency; /* µs from MAIL to the acceptance */
};

static inline uint64_t tally_get(const struct tally *tally, enum tally_counter counter)
{
	return atomic_load_explicit(&tally->counters[counter], memory_order_relaxed);
}

static inline void tally_add(struct tally *tally, enum tally_counter counter, uint64_t by)
{
	atomic_store_explicit(
		&tally->counters[counter], tally_get(tally, counter) + by, memory_order_relaxed);
}

/* Messages and connections that ended so. */
void tally_failure(
	struct tally *tally, const struct gen_verdict *verdict, uint64_t messages, uint64_t connections);

/* Adds all of another one. */
void tally_merge(struct tally *into, const struct tally *from);

#endif
