#include "injection.h"

#include <errno.h>
#include <stdatomic.h>

#include "shared.h"

struct slot {
	_Atomic uint32_t used;
	struct injection injection;
};

/*
 * Slots are filled in order and never changed while `count` says that they are there. A reset only
 * sets `count` to 0; to fill a slot again while a worker still looks at what was in it would need 10 s
 * of that worker in one decision, and then shows a mixed text, not a fault: sizes and ends are fixed.
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

int injections_add(struct injections *injections, const struct injection *injection, struct err *err)
{
	uint32_t count = atomic_load(&injections->count);
	if (count == INJECTIONS_MAX)
		return err_set(err, -ENOSPC,
			"%u behaviours are injected already; `mxmirage reset` takes them back", count);
	struct slot *slot = &injections->slots[count];
	struct injection filled = *injection;
	/* Not afterwards: who still looks at what was in the slot would find no text at all. */
	filled.reply.text = slot->injection.text;
	filled.reply.enhanced = slot->injection.enhanced;
	atomic_store(&slot->used, 0);
	slot->injection = filled;
	atomic_store_explicit(&injections->count, count + 1, memory_order_release);
	return (int)count;
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
	const struct injection *injection = &slot->injection;
	if (injection->until_ms && now_ms >= injection->until_ms)
		return false;
	uint32_t used = atomic_load(&slot->used);
	do {
		if (injection->count && used >= injection->count)
			return false;
	} while (!atomic_compare_exchange_weak(&slot->used, &used, used + 1));
	return true;
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
