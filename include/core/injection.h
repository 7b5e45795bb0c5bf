/*
 * injection: temporary behaviour, set while the daemon runs: "the next 3 to gmail.com get 421 4.7.28". A few
 * rules, looked at before all else; each ends by its count, its time, by hand, or a reset.
 *
 * Set by one thread; matched by all workers without a lock, those of forked processes too.
 */
#ifndef MX_INJECTION_H
#define MX_INJECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "provider.h"
#include "smtp.h"
#include "span.h"

#define INJECTIONS_MAX 32

struct injection {
	/* The filter: an empty text matches all. */
	char domain[256]; /* of the recipient, lower case; or ".suffix" */
	char provider[64];
	char source[64]; /* the client's address, as text */
	enum smtp_phase phase;
	/* The behaviour. */
	struct provider_reply reply; /* code, action; its texts point into the injection */
	char enhanced[16], text[512];
	uint32_t delay_ms; /* with code 0: only a delay */
	/* The end. */
	uint64_t until_ms; /* of the monotonic clock; 0 = none */
	uint32_t count;    /* 0 = no count */
};

struct injections;

struct injections *injections_new(void);
void injections_free(struct injections *injections);

/*
 * Adds a copy, where all places are taken in that of one that ended 10 s ago. Returns its number, or -ENOSPC with err
 * when INJECTIONS_MAX are in force.
 */
int injections_add(
	struct injections *injections, const struct injection *injection, uint64_t now_ms, struct err *err);
/* Ends one by its number; false where there is none in force. */
bool injections_end(struct injections *injections, size_t index, uint64_t now_ms);
void injections_reset(struct injections *injections);

/* What an injection did so far; false behind the last one. Of one that was ended by hand until_ms says when. */
bool injections_at(const struct injections *injections, size_t index, struct injection *copy, uint32_t *used);

/* How many that have not ended are for recipients of this domain, at any phase. source: NULL = any. */
size_t injections_for(const struct injections *injections, struct span domain, const char *provider,
	const char *source, uint64_t now_ms);

/* Whether any is set: one load. */
bool injections_any(const struct injections *injections);

/*
 * The first that fits and has not ended; takes one off its count. The return points into the table, and
 * stays as it is until its end or the next reset, and 10 s beyond. NULL where none fits.
 */
const struct injection *injections_match(struct injections *injections, enum smtp_phase phase,
	struct span domain, const char *provider, const char *source, uint64_t now_ms);

#endif
