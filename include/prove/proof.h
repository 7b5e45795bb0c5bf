/*
 * proof: whether packets for the diverted ports can leave this host, found out by trying. Canaries are sent
 * by every path, and an independent witness tells which of them reached a device; first both are tried in a
 * network without rules, where every canary must be seen to leave. It reads no counter of ours and asks no
 * daemon; it changes no rule, and what it makes is gone when it returns.
 */
#ifndef MX_PROOF_H
#define MX_PROOF_H

#include <stdbool.h>
#include <stddef.h>

#include "canary_plan.h"
#include "conf.h"
#include "err.h"

#define PROOF_NOTES_MAX 32
#define PROOF_NOTE_MAX  200

enum proof_verdict {
	PROOF_HOLDS,  /* nothing left, every canary ended as it should */
	PROOF_FAILED, /* nothing left, but something was not as it should be, or could not be proven */
	PROOF_LEAK,   /* something left */
};

struct proof {
	struct canary_plan plan;                        /* the canaries, with their outcomes */
	size_t controls;                                /* canaries that the witness was tried with */
	char unproven[PROOF_NOTES_MAX][PROOF_NOTE_MAX]; /* each makes the proof fail */
	size_t unproven_count;
	char untested[PROOF_NOTES_MAX]
		     [PROOF_NOTE_MAX]; /* what this host does not have, or prove does not try */
	size_t untested_count;
};

/* Takes a second or two. 0 or a negative errno, err filled; -EPERM without root's capabilities. */
int proof_run(struct proof *proof, const struct conf *conf, struct err *err);
void proof_done(struct proof *proof);

enum proof_verdict proof_verdict(const struct proof *proof);

#endif
