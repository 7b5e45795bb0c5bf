/*
 * tune: what a host should have for a load test of so many connections, what it has, and why: the one place
 * with this arithmetic. It reads through `host` and changes nothing; a sysctl file is for the user to load.
 */
#ifndef MX_TUNE_H
#define MX_TUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "host.h"

#define TUNE_CONNECTIONS_DEFAULT 20000
#define TUNE_CONNECTIONS_MAX     10000000
#define TUNE_ROWS_MAX            24
/* Seconds for which connection tracking should keep a closed connection; the kernel's own are 120. */
#define TUNE_TIME_WAIT 30

/* What the test is to be. */
struct tune_need {
	uint64_t connections;               /* open at once, between 1 and TUNE_CONNECTIONS_MAX */
	uint16_t listen_first, listen_last; /* the listener ports */
};

enum tune_state {
	TUNE_OK,      /* as wanted or better */
	TUNE_SHORT,   /* too little */
	TUNE_UNKNOWN, /* not readable: another kernel, a module that is not loaded, a network namespace */
};

struct tune_row {
	const char *key; /* of sysctl; "RLIMIT_NOFILE" is none */
	bool sysctl;
	enum tune_state state;
	char has[96]; /* "" where unknown */
	char wants[64];
	char reason[384];
};

/* Fills rows; their number. */
size_t tune_rows(const struct host *host, const struct tune_need *need, struct tune_row rows[TUNE_ROWS_MAX]);

/* The row of that key, or NULL. */
const struct tune_row *tune_find(const struct tune_row *rows, size_t count, const char *key);

/* Entries that connection tracking holds at most, with closed connections kept for time_wait seconds. */
uint64_t tune_conntrack_entries(uint64_t connections, uint64_t time_wait);

/*
 * Prints a file for /etc/sysctl.d: a value for each row that is short or unknown, its reason above it. What the
 * host has already is left out.
 */
void tune_print_sysctl(const struct tune_row *rows, size_t count, const struct tune_need *need, FILE *to);

#endif
