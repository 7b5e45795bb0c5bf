#include "attempt.h"

#include <stdatomic.h>

#include "shared.h"

/* Slots looked at for one key; four to a cache line, one after the other. */
#define WINDOW 64

/* Half of the slots stay free, so that hardly any key finds its window full before the table is. */
#define SLOTS_PER_ENTRY 2

/* From here on numbers are of keys without a slot. */
#define NOBODYS UINT32_C(0x80000000)

/*
 * A key stands in the first slot of its window that was free when it came: a slot is free or it is its key's
 * for ever (until a reset), so any two that look for one key pass the same slots in the same order, and the
 * compare-and-swap on the first free one decides between them. None can be there twice.
 */
struct slot {
	_Atomic uint64_t key; /* 0 = free */
	_Atomic uint64_t value;
};

enum {
	COUNTED, /* value: how often */
	TIMED,   /* value: when first, and 1 */
	FAMILIES,
};

struct attempt_table {
	size_t mask;
	_Atomic uint64_t overflows;
	_Atomic uint32_t nobodys;
	_Alignas(SHARED_PAGE) struct slot slots[]; /* a family's after the other's */
};

#define HEAD_SLOTS (sizeof(struct attempt_table) / sizeof(struct slot))

static struct slot *slot_at(struct attempt_table *table, int family, uint64_t place)
{
	return &table->slots[(size_t)family * (table->mask + 1) + (place & table->mask)];
}

struct attempt_table *attempt_table_new(size_t entries)
{
	size_t count = WINDOW;
	while (count / SLOTS_PER_ENTRY < entries && count <= SIZE_MAX / FAMILIES / 2)
		count *= 2;
	struct attempt_table *table = shared_new(count * FAMILIES + HEAD_SLOTS, sizeof(struct slot));
	if (table)
		table->mask = count - 1;
	return table;
}

void attempt_table_free(struct attempt_table *table)
{
	if (!table)
		return;
	shared_free(table, (table->mask + 1) * FAMILIES + HEAD_SLOTS, sizeof(struct slot));
}

int attempt_table_reset(struct attempt_table *table)
{
	atomic_store_explicit(&table->overflows, 0, memory_order_relaxed);
	return shared_clear(table->slots, (table->mask + 1) * FAMILIES * sizeof(struct slot));
}

uint64_t attempt_table_overflows(const struct attempt_table *table)
{
	return atomic_load_explicit(&table->overflows, memory_order_relaxed);
}

/* NULL, and counted, where there is no room. */
static struct slot *slot_of(struct attempt_table *table, int family, uint64_t key)
{
	if (key == 0)
		key = 1;
	for (size_t probe = 0; probe < WINDOW; probe++) {
		struct slot *slot = slot_at(table, family, key + probe);
		uint64_t found = atomic_load_explicit(&slot->key, memory_order_acquire);
		if (found == key)
			return slot;
		if (found == 0 && atomic_compare_exchange_strong_explicit(&slot->key, &found, key,
					  memory_order_acq_rel, memory_order_acquire))
			return slot;
		/* Another was quicker: perhaps for the same key. */
		if (found == key)
			return slot;
	}
	atomic_fetch_add_explicit(&table->overflows, 1, memory_order_relaxed);
	return NULL;
}

uint32_t attempt_next(struct attempt_table *table, uint64_t key)
{
	struct slot *slot = slot_of(table, COUNTED, key);
	if (!slot)
		return NOBODYS | atomic_fetch_add_explicit(&table->nobodys, 1, memory_order_relaxed);
	return (uint32_t)atomic_fetch_add_explicit(&slot->value, 1, memory_order_relaxed);
}

uint64_t attempt_first_seen(struct attempt_table *table, uint64_t key, uint64_t now_ms)
{
	struct slot *slot = slot_of(table, TIMED, key);
	if (!slot)
		return 0;
	uint64_t first = 0;
	if (atomic_compare_exchange_strong_explicit(
		    &slot->value, &first, now_ms + 1, memory_order_relaxed, memory_order_relaxed))
		return now_ms;
	return first - 1;
}
