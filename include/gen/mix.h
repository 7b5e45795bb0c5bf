/*
 * mix: names with weights, and one of them by a draw: the domains that mail goes to, the tenants that it is
 * for. Read once, then unchanging and shared by all threads.
 */
#ifndef MX_MIX_H
#define MX_MIX_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "span.h"

#define MIX_NAME_MAX 253 /* as for a domain name; with the suffix */

struct mix_row {
	struct span name; /* with the suffix */
	double weight;
	uint64_t up_to; /* the draws up to this one, behind those of the row before it */
};

struct mix {
	struct mix_row *rows;
	size_t count;
};

/*
 * Reads "NAME" or "NAME:WEIGHT" (weight 1), `count` of them, and appends "." and the suffix where it is not
 * empty. Names are letters, digits and "-._"; a weight is a number above 0. what is how errors call a row:
 * "--domain". 0, or a negative errno and nothing to give back.
 */
int mix_read(struct mix *mix, const char *const *texts, size_t count, const char *suffix, const char *what,
	struct err *err) MX_MUST_CHECK;
void mix_done(struct mix *mix);

/* A row, as often as its weight says over all draws. The mix must have one. */
const struct mix_row *mix_pick(const struct mix *mix, uint64_t draw);

#endif
