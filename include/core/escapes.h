/*
 * escapes: who tried to get past the divert: a bounded table in the region of the counts, which outlives the
 * processes. The warden alone writes; readers in other processes see whole rows, and whole numbers in them.
 *
 * A row is a sender, by the way it took, its user and its program, and one of its destinations. A sender with many
 * destinations gets ESCAPES_PER_SENDER rows and one more for the rest, so that none fills the table; what finds no
 * row is only counted.
 */
#ifndef MX_ESCAPES_H
#define MX_ESCAPES_H

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the guard stopped a packet. */
enum escape_path {
	ESCAPE_OUTPUT,      /* a local program's; the divert did not see it */
	ESCAPE_FORWARD,     /* came in by another device */
	ESCAPE_POSTROUTING, /* passed the chains before; another rule rewrote it */
	ESCAPE_EGRESS,      /* at a device, past the IP stack: packet sockets, bridges, macvlan */
	ESCAPE_PATHS,
};

/* "output" and so on. */
const char *escape_path_name(enum escape_path path);

#define ESCAPE_UNKNOWN     UINT32_MAX /* a uid or gid that the kernel did not tell */
#define ESCAPE_PROGRAM_MAX 64
#define ESCAPE_CGROUP_MAX  128
#define ESCAPES_ROWS       256
#define ESCAPES_PER_SENDER 8

struct escape_record {
	uint32_t path; /* enum escape_path */
	uint32_t uid, gid;
	uint32_t pid;                        /* the last one's, 0: not found */
	uint32_t family;                     /* of the addresses; 0: unreadable, or several destinations */
	uint32_t port;                       /* destination's, host order; 0: unreadable */
	uint8_t source[16], destination[16]; /* network order; the source is the first one's */
	char device[IFNAMSIZ];               /* by which it was to leave */
	char in_device[IFNAMSIZ];            /* by which it came, "": a local one */
	char program[ESCAPE_PROGRAM_MAX];    /* "": not found */
	char cgroup[ESCAPE_CGROUP_MAX];      /* the first one's, "": not found */
	uint64_t packets;                    /* these three are the table's to fill in */
	uint64_t first_s, last_s;            /* since the epoch */
};

struct escapes;

/* Bytes that a table takes; zeroed memory is an empty one. */
size_t escapes_size(void);

/*
 * Counts a packet; record's texts may hold any byte and are made printable. Returns the index of its row, below
 * ESCAPES_ROWS, or -1 where it has none. is_new: it was not there before.
 */
int escapes_add(struct escapes *escapes, const struct escape_record *record, uint64_t now_s, bool *is_new);
void escapes_reset(struct escapes *escapes);

/* Row `index`, to be said in the log. */
void escapes_get(const struct escapes *escapes, int index, struct escape_record *record);

/* Writes all rows, the most counted first; returns how many. */
size_t escapes_list(const struct escapes *escapes, struct escape_record records[ESCAPES_ROWS]);

/* Packets without a row. */
uint64_t escapes_other(const struct escapes *escapes);

#endif
