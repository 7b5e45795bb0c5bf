/*
 * limit: what a sender has been doing, counted against a provider's limits. One table in memory, shared by
 * all workers without a lock: each entry is a few atomic numbers. Bounded; where the table is full, new
 * senders are not limited and that is counted.
 *
 * Times are milliseconds of one monotonic clock; the caller reads it, this module does not.
 */
#ifndef MX_LIMIT_H
#define MX_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rate.h"
#include "span.h"

struct limit_table;

/* Entries are rounded up to a power of two. NULL when out of memory. */
struct limit_table *limit_table_new(size_t entries);
void limit_table_free(struct limit_table *table);

/* Forgets everything: counters to nothing. Connections that are open stay counted. */
void limit_table_reset(struct limit_table *table);

/* One sender at one provider or site. */
struct limit_entry;

/*
 * The entry for a key (a draw over provider or site, and source); made where there is none. NULL when no
 * room is left. Entries that have been idle for an hour, with no connection open, may be reused: a caller
 * holds an entry only while it has a connection counted in it.
 */
struct limit_entry *limit_entry(struct limit_table *table, uint64_t key, uint64_t now_ms);

/* Adds a connection and returns how many there are now, this one included; and takes it away again. */
uint32_t limit_connect(struct limit_entry *entry, uint64_t now_ms);
void limit_disconnect(struct limit_entry *entry, uint64_t now_ms);
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

/* A violation; the return is how many there have been within the last hour, which fall evenly to 0 over recover_ms. */
uint32_t limit_violate(struct limit_entry *entry, uint64_t recover_ms, uint64_t now_ms);
uint32_t limit_violations(const struct limit_entry *entry, uint64_t recover_ms, uint64_t now_ms);

/*
 * How often something has been tried: 0 the first time, then 1, 2, … for the same key (a draw over sender
 * and recipient). Shared by all workers, bounded: where there is no room, a number that nobody had before.
 */
struct attempt_table;
struct attempt_table *attempt_table_new(size_t entries);
void attempt_table_free(struct attempt_table *table);
void attempt_table_reset(struct attempt_table *table);
uint32_t attempt_next(struct attempt_table *table, uint64_t key);

/* When the key was first seen (greylisting): now_ms the first time. Shares no entries with attempt_next(). */
uint64_t attempt_first_seen(struct attempt_table *table, uint64_t key, uint64_t now_ms);

#endif
