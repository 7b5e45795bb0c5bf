#include "limit.h"

#include <stdatomic.h>
#include <string.h>

#include "shared.h"

#define HOUR_MS    UINT64_C(3600000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_S   UINT64_C(1000000000)
#define SLACK_NS   (10 * NS_PER_MS)
#define CACHE_LINE 64

/* Entries looked at for one key. */
#define WINDOW 16

/* Half of the entries stay free, so that hardly any key finds its window full before the table is. */
#define ENTRIES_PER_SENDER 2

/* Looks at a taken turn before giving up: some microseconds, where a turn takes a tenth of one. */
#define TURN_LOOKS 2000

/*
 * Who holds an entry and by how many connections is one number, so that both change together: the upper
 * bits of the key, never 0, and below them the connections. 0 is an entry that was never used. Two keys that
 * agree in 40 bits and in their window share an entry; among 65,536 senders one pair in a million tables does.
 *
 * Why two holders never have an entry for two keys, and no key has two entries:
 *
 * 1. A connection is counted by a compare-and-swap from (key, n) to (key, n + 1), an entry is taken over by one
 *    from (other key, 0) to (key, 1). So it is never taken over while a connection is counted in it, and
 *    never used by someone who found it just before it was taken over: one of the two swaps fails, and
 *    who failed looks again.
 * 2. An entry that was used never becomes unused again. Two that bring the same key at once pass the same
 *    entries in the same order to the first unused one, and its swap decides between them.
 * 3. Only where the window has no unused entry is one taken over, and there any of several may do. So those
 *    who take over do it in turn, and look for the key again in their turn. Nobody sleeps for his turn: who
 *    does not get it soon has found no room. Known senders, and new ones where there is room, need no turn.
 */
struct limit_entry {
	_Alignas(CACHE_LINE) _Atomic uint64_t owner;
	_Atomic uint64_t quiet_ms; /* without a connection, from then on it says no more than a new one */
	_Atomic uint64_t due_ns[LIMIT_RATES]; /* when a rate is wholly refilled */
	_Atomic uint64_t violations;          /* see struct tally */
};

#define CONNECTION_BITS 24
#define CONNECTIONS_MAX ((UINT64_C(1) << CONNECTION_BITS) - 1)

struct limit_table {
	size_t mask;
	_Alignas(CACHE_LINE) _Atomic uint64_t overflows;
	atomic_bool turn; /* somebody is taking over an entry */
	struct limit_entry entries[];
};

/* What the table's own numbers take, counted in entries. */
#define HEAD_ENTRIES (sizeof(struct limit_table) / sizeof(struct limit_entry))

static uint64_t load(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(_Atomic uint64_t *value, uint64_t n)
{
	atomic_store_explicit(value, n, memory_order_relaxed);
}

/* Numbers of one entry that do not depend on each other need no order. */
static bool swap(_Atomic uint64_t *value, uint64_t *expected, uint64_t wanted)
{
	return atomic_compare_exchange_weak_explicit(
		value, expected, wanted, memory_order_relaxed, memory_order_relaxed);
}

/* Taking an entry sees all that its earlier holders did to it before they let it go. */
static bool swap_owner(struct limit_entry *entry, uint64_t *expected, uint64_t wanted)
{
	return atomic_compare_exchange_strong_explicit(
		&entry->owner, expected, wanted, memory_order_acq_rel, memory_order_acquire);
}

static void raise_to(_Atomic uint64_t *value, uint64_t least)
{
	uint64_t now = load(value);
	while (now < least && !swap(value, &now, least))
		;
}

struct limit_table *limit_table_new(size_t senders)
{
	size_t count = WINDOW;
	while (count / ENTRIES_PER_SENDER < senders && count <= SIZE_MAX / 2)
		count *= 2;
	struct limit_table *table = shared_new(count + HEAD_ENTRIES, sizeof(struct limit_entry));
	if (table)
		table->mask = count - 1;
	return table;
}

void limit_table_free(struct limit_table *table)
{
	if (!table)
		return;
	shared_free(table, table->mask + 1 + HEAD_ENTRIES, sizeof(struct limit_entry));
}

static void entry_forget(struct limit_entry *entry)
{
	for (int i = 0; i < LIMIT_RATES; i++)
		store(&entry->due_ns[i], 0);
	store(&entry->violations, 0);
}

void limit_table_reset(struct limit_table *table)
{
	for (size_t i = 0; i <= table->mask; i++) {
		struct limit_entry *entry = &table->entries[i];
		if (load(&entry->owner) == 0)
			continue;
		entry_forget(entry);
		store(&entry->quiet_ms, 0);
	}
	store(&table->overflows, 0);
}

uint64_t limit_table_overflows(const struct limit_table *table)
{
	return load(&table->overflows);
}

/* An owner with no connection. */
static uint64_t owner_of(uint64_t key)
{
	uint64_t owner = key & ~CONNECTIONS_MAX;
	return owner ? owner : CONNECTIONS_MAX + 1;
}

static bool owner_is(uint64_t found, uint64_t owner)
{
	return (found & ~CONNECTIONS_MAX) == owner;
}

static struct limit_entry *entry_at(struct limit_table *table, uint64_t key, size_t probe)
{
	return &table->entries[(key + probe) & table->mask];
}

/*
 * Counts a connection where the entry is the owner's or unused. How many there are now; 0 where it is
 * another's. (More than CONNECTIONS_MAX no host can have open.)
 */
static uint32_t entry_join(struct limit_entry *entry, uint64_t owner)
{
	uint64_t found = atomic_load_explicit(&entry->owner, memory_order_acquire);
	while (found == 0 || (owner_is(found, owner) && found < owner + CONNECTIONS_MAX)) {
		uint64_t joined = (found ? found : owner) + 1;
		if (swap_owner(entry, &found, joined))
			return joined & CONNECTIONS_MAX;
	}
	return 0;
}

static struct limit_entry *window_join(struct limit_table *table, uint64_t key, uint32_t *connections)
{
	for (size_t probe = 0; probe < WINDOW; probe++) {
		struct limit_entry *entry = entry_at(table, key, probe);
		uint32_t joined = entry_join(entry, owner_of(key));
		if (joined) {
			*connections = joined;
			return entry;
		}
	}
	return NULL;
}

static bool entry_take_over(struct limit_entry *entry, uint64_t owner, uint64_t now_ms)
{
	uint64_t found = atomic_load_explicit(&entry->owner, memory_order_acquire);
	if ((found & CONNECTIONS_MAX) != 0 || load(&entry->quiet_ms) > now_ms)
		return false;
	/*
	 * Before the swap, since what is counted behind it is the new owner's. Should the old one come back
	 * just now, nothing is lost but an event of this moment; should it even leave again, the new one
	 * begins with what it used up. Connections are counted rightly either way.
	 */
	entry_forget(entry);
	return swap_owner(entry, &found, owner + 1);
}

static struct limit_entry *window_take_over(
	struct limit_table *table, uint64_t key, uint64_t now_ms, uint32_t *connections)
{
	for (int look = 0; atomic_exchange_explicit(&table->turn, true, memory_order_acquire); look++)
		if (look == TURN_LOOKS)
			return NULL;
	/* Whoever had the turn before may have brought the same key. */
	struct limit_entry *entry = window_join(table, key, connections);
	for (size_t probe = 0; !entry && probe < WINDOW; probe++) {
		struct limit_entry *quiet = entry_at(table, key, probe);
		if (entry_take_over(quiet, owner_of(key), now_ms)) {
			*connections = 1;
			entry = quiet;
		}
	}
	atomic_store_explicit(&table->turn, false, memory_order_release);
	return entry;
}

struct limit_entry *limit_connect(
	struct limit_table *table, uint64_t key, uint64_t now_ms, uint32_t *connections)
{
	struct limit_entry *entry = window_join(table, key, connections);
	if (!entry)
		entry = window_take_over(table, key, now_ms, connections);
	if (!entry) {
		*connections = 1;
		atomic_fetch_add_explicit(&table->overflows, 1, memory_order_relaxed);
	}
	return entry;
}

void limit_disconnect(struct limit_entry *entry, uint64_t now_ms)
{
	if (!entry)
		return;
	uint64_t quiet_ms = now_ms + HOUR_MS;
	for (int i = 0; i < LIMIT_RATES; i++) {
		uint64_t due_ms = load(&entry->due_ns[i]) / NS_PER_MS + 1;
		if (due_ms > quiet_ms)
			quiet_ms = due_ms;
	}
	raise_to(&entry->quiet_ms, quiet_ms);
	atomic_fetch_sub_explicit(&entry->owner, 1, memory_order_release);
}

const struct limit_entry *limit_find(const struct limit_table *table, uint64_t key)
{
	for (size_t probe = 0; probe < WINDOW; probe++) {
		const struct limit_entry *entry = &table->entries[(key + probe) & table->mask];
		if (owner_is(load(&entry->owner), owner_of(key)))
			return entry;
	}
	return NULL;
}

uint32_t limit_connections(const struct limit_entry *entry)
{
	return entry ? load(&entry->owner) & CONNECTIONS_MAX : 0;
}

/* What one event takes of a rate, and how far ahead of the clock a sender may be to have one more. */
struct price {
	uint64_t each_ns;
	uint64_t ahead_ns;
};

/*
 * 0 for each_ns where there is no limit. A division that leaves a rest makes events cheaper by less than a
 * nanosecond each, in the sender's favour. The slack is for workers whose clocks are read at different
 * moments; it is less than an event's price, so that the burst is `count` exactly all the same.
 */
static struct price price_of(struct rate rate)
{
	uint64_t each_ns = rate.count ? rate.period_s * NS_PER_S / rate.count : 0;
	uint64_t slack_ns = each_ns / 2 < SLACK_NS ? each_ns / 2 : SLACK_NS;
	return (struct price){each_ns, each_ns * (rate.count - UINT64_C(1)) + slack_ns};
}

bool limit_take(struct limit_entry *entry, enum limit_rate which, struct rate rate, uint64_t now_ms)
{
	struct price price = price_of(rate);
	if (!entry || price.each_ns == 0)
		return true;
	uint64_t now_ns = now_ms * NS_PER_MS, due_ns = load(&entry->due_ns[which]), from_ns;
	do {
		from_ns = due_ns > now_ns ? due_ns : now_ns;
		if (from_ns - now_ns > price.ahead_ns)
			return false;
	} while (!swap(&entry->due_ns[which], &due_ns, from_ns + price.each_ns));
	return true;
}

/* Violations as of a moment, in one number: 24 bits of 256ths below 40 bits of milliseconds (34 years). */
struct tally {
	uint64_t parts;
	uint64_t at_ms;
};

#define PARTS_EACH UINT64_C(256)
#define PARTS_BITS 24
#define PARTS_MAX  ((UINT64_C(1) << PARTS_BITS) - 1)

static struct tally tally_at(uint64_t packed, uint64_t recover_ms, uint64_t now_ms)
{
	struct tally tally = {packed & PARTS_MAX, packed >> PARTS_BITS};
	uint64_t passed_ms = now_ms > tally.at_ms ? now_ms - tally.at_ms : 0;
	if (passed_ms >= recover_ms)
		return (struct tally){0, now_ms};
	/* To the nearest: many violations at short intervals must not each lose a part. */
	uint64_t lost = (tally.parts * passed_ms + recover_ms / 2) / recover_ms;
	return (struct tally){tally.parts - lost, tally.at_ms + passed_ms};
}

static uint32_t tally_violations(struct tally tally)
{
	return (uint32_t)((tally.parts + PARTS_EACH - 1) / PARTS_EACH);
}

uint32_t limit_violate(struct limit_entry *entry, uint64_t recover_ms, uint64_t now_ms)
{
	if (!entry)
		return 0;
	if (recover_ms == 0)
		recover_ms = HOUR_MS;
	uint64_t packed = load(&entry->violations);
	struct tally tally;
	do {
		tally = tally_at(packed, recover_ms, now_ms);
		if (tally.parts <= PARTS_MAX - PARTS_EACH)
			tally.parts += PARTS_EACH;
	} while (!swap(&entry->violations, &packed, tally.at_ms << PARTS_BITS | tally.parts));
	raise_to(&entry->quiet_ms, tally.at_ms + recover_ms);
	return tally_violations(tally);
}

uint32_t limit_violations(const struct limit_entry *entry, uint64_t recover_ms, uint64_t now_ms)
{
	if (!entry)
		return 0;
	return tally_violations(
		tally_at(load(&entry->violations), recover_ms ? recover_ms : HOUR_MS, now_ms));
}
