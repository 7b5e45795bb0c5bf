/*
 * attempt: what has been tried before: how often, and since when. One table in memory, shared by all workers
 * without a lock, those of forked processes too. Bounded, and nothing is evicted: what was remembered stays until a reset, so that the
 * numbers handed out for a key do not depend on what else came. Keys are draws.
 */
#ifndef MX_ATTEMPT_H
#define MX_ATTEMPT_H

#include <stddef.h>
#include <stdint.h>

struct attempt_table;

/*
 * Room for about so many keys that are counted, and as many that are timed; memory is used as they come. NULL
 * when out of memory.
 */
struct attempt_table *attempt_table_new(size_t entries);
void attempt_table_free(struct attempt_table *table);

/* Forgets everything. What is tried at this very moment is counted as before it or as after it. 0 or a negative errno. */
int attempt_table_reset(struct attempt_table *table);

/* How many calls of either kind found no room. */
uint64_t attempt_table_overflows(const struct attempt_table *table);

/*
 * How often something has been tried: 0 the first time, then 1, 2, … for the same key (a draw over sender
 * and recipient). Where there is no room, a number that nobody had before, from 2^31 on.
 */
uint32_t attempt_next(struct attempt_table *table, uint64_t key);

/*
 * When the key was first seen (greylisting): now_ms the first time. Shares no entries with attempt_next().
 * Where there is no room, 0: long ago, so that nobody is put off for ever.
 */
uint64_t attempt_first_seen(struct attempt_table *table, uint64_t key, uint64_t now_ms);

#endif
