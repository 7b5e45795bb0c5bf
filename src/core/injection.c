#include "injection.h"

#include <errno.h>
#include <stdatomic.h>

#include "shared.h"

#define KEPT_MS   UINT64_C(10000)
#define REPLACING UINT64_MAX

struct slot {
	_Atomic uint32_t used;
	_Atomic uint64_t
		ended_ms; /* when its count, or somebody, ended it; 0: not yet; REPLACING: nobody takes it */
	struct injection injection;
};

/*
 * Slots are filled in order and not changed while `count` says that they are there, unless they ended 10 s
 * ago. A reset only sets `count` to 0; to fill a slot again while a worker still looks at what was in it
 * would need 10 s of that worker in one decision, and then shows a mixed text, not a fault: sizes and ends
 * are fixed.
 */
struct injections {
	_Atomic uint32_t count;
	struct slot slots[INJECTIONS_MAX];
};

struct injections *injections_new(void)
{
	return shared_new(1, sizeof(struct injections));
}

void injections_free(struct injections *injections)
{
	shared_free(injections, 1, sizeof(struct injections));
}

static bool has_ended(const struct slot *slot, uint32_t used, uint64_t now_ms)
{
	const struct injection *injection = &slot->injection;
	return atomic_load(&slot->ended_ms) || (injection->until_ms && now_ms >= injection->until_ms) ||
	       (injection->count && used >= injection->count);
}

/* The first slot whose injection has ended long enough ago, or INJECTIONS_MAX. */
static uint32_t find_ended(const struct injections *injections, uint64_t now_ms)
{
	for (uint32_t i = 0; i < INJECTIONS_MAX; i++) {
		const struct slot *slot = &injections->slots[i];
		uint64_t until_ms = slot->injection.until_ms, ended_ms = atomic_load(&slot->ended_ms);
		if ((until_ms && now_ms >= until_ms + KEPT_MS) || (ended_ms && now_ms >= ended_ms + KEPT_MS))
			return i;
	}
	return INJECTIONS_MAX;
}

int injections_add(
	struct injections *injections, const struct injection *injection, uint64_t now_ms, struct err *err)
{
	uint32_t count = atomic_load(&injections->count);
	uint32_t at = count < INJECTIONS_MAX ? count : find_ended(injections, now_ms);
	if (at == INJECTIONS_MAX)
		return err_set(err, -ENOSPC,
			"%u behaviours are injected already; an ended one makes room 10 s later, `mxmirage "
			"reset` takes all back",
			count);
	struct slot *slot = &injections->slots[at];
	struct injection filled = *injection;
	/* Not afterwards: who still looks at what was in the slot would find no text at all. */
	filled.reply.text = slot->injection.text;
	filled.reply.enhanced = slot->injection.enhanced;
	atomic_store(&slot->ended_ms, REPLACING);
	slot->injection = filled;
	atomic_store(&slot->used, 0);
	atomic_store(&slot->ended_ms, 0);
	if (at == count)
		atomic_store_explicit(&injections->count, count + 1, memory_order_release);
	return (int)at;
}

bool injections_end(struct injections *injections, size_t index, uint64_t now_ms)
{
	if (index >= atomic_load(&injections->count))
		return false;
	struct slot *slot = &injections->slots[index];
	if (has_ended(slot, atomic_load(&slot->used), now_ms))
		return false;
	atomic_store(&slot->ended_ms, now_ms);
	return true;
}

void injections_reset(struct injections *injections)
{
	atomic_store(&injections->count, 0);
}

bool injections_at(const struct injections *injections, size_t index, struct injection *copy, uint32_t *used)
{
	if (index >= atomic_load(&injections->count))
		return false;
	*copy = injections->slots[index].injection;
	*used = atomic_load(&injections->slots[index].used);
	uint64_t ended_ms = atomic_load(&injections->slots[index].ended_ms);
	if (ended_ms && !(copy->count && *used >= copy->count))
		copy->until_ms = ended_ms;
	return true;
}

bool injections_any(const struct injections *injections)
{
	return atomic_load_explicit(&injections->count, memory_order_relaxed) > 0;
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
	uint32_t count = atomic_load_explicit(&injections->count, memory_order_acquire);
	size_t fitting = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct injection *injection = &injections->slots[i].injection;
		fitting += domain_fits(injection->domain, domain) &&
			   text_fits(injection->provider, provider) &&
			   (!source || text_fits(injection->source, source)) &&
			   !has_ended(&injections->slots[i], atomic_load(&injections->slots[i].used), now_ms);
	}
	return fitting;
}

const struct injection *injections_match(struct injections *injections, enum smtp_phase phase,
	struct span domain, const char *provider, const char *source, uint64_t now_ms)
{
	uint32_t count = atomic_load_explicit(&injections->count, memory_order_acquire);
	for (uint32_t i = 0; i < count; i++) {
		struct slot *slot = &injections->slots[i];
		const struct injection *injection = &slot->injection;
		if (injection->phase == phase && domain_fits(injection->domain, domain) &&
			text_fits(injection->provider, provider) && text_fits(injection->source, source) &&
			slot_take(slot, now_ms))
			return injection;
	}
	return NULL;
}
