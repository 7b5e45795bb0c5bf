/*
 * limit: what a sender has been doing, counted against a provider's limits. One table in memory, shared by
 * all workers, those of forked processes too: each entry is a few atomic numbers in a cache line of its own. Bounded; where there is no
 * room, new senders are not limited and that is counted. What to answer is not decided here.
 *
 * Times are milliseconds of one monotonic clock; the caller reads it, this module does not. It is to be
 * read for the event: a time that is more than 10 ms old may count against the sender.
 *
 * Every function takes NULL for an entry: a sender that has none is never limited.
 */
#ifndef MX_LIMIT_H
#define MX_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rate.h"

struct limit_table;

/* Room for about so many senders at once; memory is used as they come. NULL when out of memory. */
struct limit_table *limit_table_new(size_t senders);
void limit_table_free(struct limit_table *table);

/* Forgets everything: counters to nothing. Connections that are open stay counted. */
void limit_table_reset(struct limit_table *table);

/* How many connections found no room. */
uint64_t limit_table_overflows(const struct limit_table *table);

/* One sender at one provider or site. */
struct limit_entry;

/*
 * Counts a connection in the entry of a key (a draw over provider or site, and source), made where there is
 * none; *connections is how many there are now, this one included. To be given back by limit_disconnect():
 * an entry is held by the connections that are counted in it, and only its holders may use it. NULL where no
 * room is left, with *connections 1.
 *
 * An entry is another's to take over when it has been without a connection for an hour, its rates are
 * refilled and its violations are forgotten: when it says no more than a new one would.
 */
struct limit_entry *limit_connect(
	struct limit_table *table, uint64_t key, uint64_t now_ms, uint32_t *connections);
void limit_disconnect(struct limit_entry *entry, uint64_t now_ms);

/*
 * The entry of a key, for showing what it holds; NULL where there is none. It is not held: it may become
 * another's at any time.
 */
const struct limit_entry *limit_find(const struct limit_table *table, uint64_t key);
uint32_t limit_connections(const struct limit_entry *entry);

/*
 * One event against a rate (GCRA with a burst of `count`, refilled evenly): a full period's count may come at
 * once, and a sender that keeps to `count` in any window of a period never sees false. False: over the
 * limit; the event was not counted.
 */
enum limit_rate {
	LIMIT_CONNECTION_RATE,
	LIMIT_MESSAGE_RATE,
	LIMIT_RATES,
};
bool limit_take(struct limit_entry *entry, enum limit_rate which, struct rate rate, uint64_t now_ms);

/*
 * A violation; the return is how many there are, this one included. From the last one on, their number falls
 * evenly to 0 over recover_ms (0 = an hour), rounded up. So of violations that come evenly, those of the
 * last recover_ms are counted.
 */
uint32_t limit_violate(struct limit_entry *entry, uint64_t recover_ms, uint64_t now_ms);
uint32_t limit_violations(const struct limit_entry *entry, uint64_t recover_ms, uint64_t now_ms);

#endif
