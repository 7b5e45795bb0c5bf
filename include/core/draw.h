/*
 * draw: chance that is no chance: a number that depends on a seed and on what it is drawn for, not on
 * time, order or thread. The same seed and keys give the same numbers on every machine and in every
 * version: known answers in the tests hold them. It is no cryptography: who knows the seed can choose
 * keys for a number.
 *
 * A draw begins with the seed and takes in one key after the other; each key is taken in with its length,
 * so that ("ab", "c") and ("a", "bc") are different draws.
 */
#ifndef MX_DRAW_H
#define MX_DRAW_H

#include <stdint.h>

#include "span.h"

/* Mixes further bytes or a number into a draw; begin with the seed. */
uint64_t draw_bytes(uint64_t draw, struct span bytes);
/* The same with ASCII letters in lower case. */
uint64_t draw_name(uint64_t draw, struct span name);
uint64_t draw_number(uint64_t draw, uint64_t number);

/*
 * Whether a draw falls into the first ppm parts of a million. Exact: over all draws, ppm of a million do.
 * 0 never does, 1,000,000 and more always.
 */
static inline int draw_hits(uint64_t draw, uint32_t ppm)
{
	return (uint64_t)(((unsigned __int128)draw * 1000000u) >> 64) < ppm;
}

/* Uniform in [0, below). */
static inline uint64_t draw_below(uint64_t draw, uint64_t below)
{
	return (uint64_t)(((unsigned __int128)draw * below) >> 64);
}

/*
 * Standard normal by one draw (for lognormal delays); within ±6. Integer arithmetic, so that it is the same
 * on every machine. Its tails are thinner than the true ones from 3 on.
 */
double draw_normal(uint64_t draw);

#endif
