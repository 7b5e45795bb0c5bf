/*
 * generator: one run of the traffic generator: its threads, its clock, its signals, and what came out of it.
 * Ctrl-C (SIGINT, SIGTERM) ends it in good order: messages under way are finished; a second one ends it at
 * once.
 */
#ifndef MX_GENERATOR_H
#define MX_GENERATOR_H

#include <stdio.h>

#include "err.h"
#include "gen_options.h"
#include "tally.h"

enum generator_end {
	GENERATOR_ALL_SENT,    /* --message-count is reached */
	GENERATOR_DEADLINE,    /* --duration is over */
	GENERATOR_INTERRUPTED, /* by a signal */
	GENERATOR_STOPPED,     /* every connection met a refusal, or never came about */
};

struct generator_result {
	enum generator_end end;
	uint64_t messages;    /* sent in the measured stretch */
	double seconds;       /* that it took */
	double cpu_s;         /* this program's CPU time in it */
	double cpu_of_s;      /* the process's of --cpu-of */
	uint64_t idle_memory; /* by how many octets it grew for the idle connections */
	unsigned threads;
	struct tally tally; /* of the whole run; latencies of the measured stretch */
};

/*
 * Runs to the end. progress gets a line a second. The result is the caller's to free(). 0, or a negative errno
 * when the run could not begin.
 */
int generator_run(const struct gen_options *options, FILE *progress, struct generator_result **result,
	struct err *err) MX_MUST_CHECK;

#endif
