#include "injection.h"

#include <errno.h>
#include <stdatomic.h>

#include "shared.h"

#define KEPT_MS   UINT64_C(10000)
#define REPLACING UINT64_MAX

struct slot {
	_Atomic uint32_t used;
	/* When its count, or somebody, ended it; 0: not yet; REPLACING: nobody takes it. */
	_Atomic uint64_t ended_ms;
	_Atomic uint64_t until_ms;  /* as in the injection, for those who may not look at that */
	struct injection injection; /* of one that has not ended; else the setter's alone */
};

/*
 * Slots are filled in order and not changed while they are counted, unless they ended 10 s ago; of those that have
 * ended no worker looks at more than that. A reset goes on with the other set of slots. So to fill a slot again while a
 * worker still looks at what was in it would need 10 s of that worker in one decision, or two resets, and then shows a
 * mixed text, not a fault: sizes and ends are fixed.
 */
struct injections {
	_Atomic uint32_t state; /* the set in use above COUNT_BITS, how many of its slots are filled below */
	struct slot slots[2][INJECTIONS_MAX];
};

#define COUNT_BITS 16

static uint32_t count_of(uint32_t state)
{
	return state & ((1u << COUNT_BITS) - 1);
}

static uint32_t set_of(uint32_t state)
{
	return state >> COUNT_BITS;
}

struct injections *injections_new(void)
{
	return shared_new(1, sizeof(struct injections));
}

void injections_free(struct injections *injections)
{
	shared_free(injections, 1, sizeof(struct injections));
}

/* By what may be written while it is read. */
static bool slot_ended(const struct slot *slot, uint64_t now_ms)
{
	if (atomic_load(&slot->ended_ms) != 0)
		return true;
	uint64_t until_ms = atomic_load(&slot->until_ms);
	return until_ms && now_ms >= until_ms;
}

static bool has_ended(const struct slot *slot, uint32_t used, uint64_t now_ms)
{
	return slot_ended(slot, now_ms) || (slot->injection.count && used >= slot->injection.count);
}

/* The first slot whose injection has ended long enough ago, or INJECTIONS_MAX. */
static uint32_t find_ended(const struct slot slots[INJECTIONS_MAX], uint64_t now_ms)
{
	for (uint32_t i = 0; i < INJECTIONS_MAX; i++) {
		const struct slot *slot = &slots[i];
		uint64_t until_ms = atomic_load(&slot->until_ms), ended_ms = atomic_load(&slot->ended_ms);
		if ((until_ms && now_ms >= until_ms + KEPT_MS) || (ended_ms && now_ms >= ended_ms + KEPT_MS))
			return i;
	}
	return INJECTIONS_MAX;
}

int injections_add(
	struct injections *injections, const struct injection *injection, uint64_t now_ms, struct err *err)
{
	uint32_t state = atomic_load(&injections->state), count = count_of(state);
	struct slot *slots = injections->slots[set_of(state)];
	uint32_t at = count < INJECTIONS_MAX ? count : find_ended(slots, now_ms);
	if (at == INJECTIONS_MAX)
		return err_set(err, -ENOSPC,
			"%u behaviours are injected already; an ended one makes room 10 s later, `mxmirage "
			"reset` takes all back",
			count);
	struct slot *slot = &slots[at];
	struct injection filled = *injection;
	/* Not afterwards: who still looks at what was in the slot would find no text at all. */
	filled.reply.text = slot->injection.text;
	filled.reply.enhanced = slot->injection.enhanced;
	atomic_store(&slot->ended_ms, REPLACING);
	slot->injection = filled;
	atomic_store(&slot->used, 0);
	atomic_store(&slot->until_ms, filled.until_ms);
	atomic_store(&slot->ended_ms, 0);
	if (at == count)
		atomic_store_explicit(&injections->state, state + 1, memory_order_release);
	return (int)at;
}

bool injections_end(struct injections *injections, size_t index, uint64_t now_ms)
{
	uint32_t state = atomic_load(&injections->state);
	if (index >= count_of(state))
		return false;
	struct slot *slot = &injections->slots[set_of(state)][index];
	if (has_ended(slot, atomic_load(&slot->used), now_ms))
		return false;
	atomic_store(&slot->ended_ms, now_ms);
	return true;
}

void injections_reset(struct injections *injections)
{
	atomic_store(&injections->state, (set_of(atomic_load(&injections->state)) ^ 1) << COUNT_BITS);
}

bool injections_at(const struct injections *injections, size_t index, struct injection *copy, uint32_t *used)
{
	uint32_t state = atomic_load(&injections->state);
	if (index >= count_of(state))
		return false;
	const struct slot *slot = &injections->slots[set_of(state)][index];
	*copy = slot->injection;
	*used = atomic_load(&slot->used);
	uint64_t ended_ms = atomic_load(&slot->ended_ms);
	if (ended_ms && !(copy->count && *used >= copy->count))
		copy->until_ms = ended_ms;
	return true;
}

bool injections_any(const struct injections *injections)
{
	return count_of(atomic_load_explicit(&injections->state, memory_order_relaxed)) > 0;
}

static bool domain_fits(const char *filter, struct span domain)
{
	size_t len = strlen(filter);
	if (filter[0] != '.')
		return len == 0 || span_is(domain, filter);
	return domain.len > len && strncasecmp(domain.data + domain.len - len, filter, len) == 0;
}

static bool text_fits(const char *filter, const char *text)
{
	return !filter[0] || strcmp(filter, text) == 0;
}

/* Takes one off the count; false when it has ended. */
static bool slot_take(struct slot *slot, uint64_t now_ms)
{
	uint32_t used = atomic_load(&slot->used);
	do {
		if (has_ended(slot, used, now_ms))
			return false;
	} while (!atomic_compare_exchange_weak(&slot->used, &used, used + 1));
	if (slot->injection.count && used + 1 == slot->injection.count)
		atomic_store(&slot->ended_ms, now_ms);
	return true;
}

size_t injections_for(const struct injections *injections, struct span domain, const char *provider,
	const char *source, uint64_t now_ms)
{
	uint32_t state = atomic_load_explicit(&injections->state, memory_order_acquire);
	size_t fitting = 0;
	for (uint32_t i = 0; i < count_of(state); i++) {
		const struct slot *slot = &injections->slots[set_of(state)][i];
		const struct injection *injection = &slot->injection;
		fitting += domain_fits(injection->domain, domain) &&
			   text_fits(injection->provider, provider) &&
			   (!source || text_fits(injection->source, source)) &&
			   !has_ended(slot, atomic_load(&slot->used), now_ms);
	}
	return fitting;
}

const struct injection *injections_match(struct injections *injections, enum smtp_phase phase,
	struct span domain, const char *provider, const char *source, uint64_t now_ms)
{
	uint32_t state = atomic_load_explicit(&injections->state, memory_order_acquire);
	for (uint32_t i = 0; i < count_of(state); i++) {
		struct slot *slot = &injections->slots[set_of(state)][i];
		const struct injection *injection = &slot->injection;
		if (slot_ended(slot, now_ms))
			continue;
		if (injection->phase == phase && domain_fits(injection->domain, domain) &&
			text_fits(injection->provider, provider) && text_fits(injection->source, source) &&
			slot_take(slot, now_ms))
			return injection;
	}
	return NULL;
}
