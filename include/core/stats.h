/*
 * stats: what is counted, in memory that outlives the processes that count. A region (the caller maps
 * it) holds a header, what the warden last read from the kernel, whom it saw try to get past the divert
 * (escapes.h), and one block per worker. A block has one writer, its worker; readers sum over the
 * blocks. All loads and stores are relaxed atomics, so that a reader sees whole numbers and a writer
 * pays nothing; a process killed at any instruction leaves a region that is whole.
 *
 * Tables keyed by what peers send (domains, destinations, sources) have a fixed number of rows; what
 * finds no room is counted in the row `other`. Nothing is ever evicted: a count that was shown stays.
 */
#ifndef MX_STATS_H
#define MX_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "escapes.h"
#include "ruleset.h"
#include "ruleset_observe.h"
#include "span.h"

typedef _Atomic uint64_t stats_u64;
typedef _Atomic uint32_t stats_u32;

/* Per worker. Order is layout: append only, and raise STATS_VERSION when it changes. */
enum stats_counter {
	STATS_CONNECTIONS, /* accepted */
	STATS_CONNECTIONS_CLOSED,
	STATS_UNDIVERTED, /* came to the listener itself */
	STATS_UNKNOWN_DESTINATION,
	STATS_MESSAGES_ACCEPTED, /* 250 at the end of data */
	STATS_MESSAGES_TEMPFAIL, /* ended without acceptance, some 4xx on the way */
	STATS_MESSAGES_PERMFAIL, /* the same with 5xx only */
	STATS_MESSAGES_ABORTED,  /* the connection ended inside a transaction with recipients */
	STATS_MESSAGES_BYTES,    /* octets of accepted messages */
	STATS_RECIPIENTS_ACCEPTED,
	STATS_RECIPIENTS_TEMPFAIL,
	STATS_RECIPIENTS_PERMFAIL,
	STATS_TLS_HANDSHAKES,
	STATS_TLS_FAILED,
	STATS_TIMEOUTS,        /* sessions closed because a time-out passed */
	STATS_ACCEPT_BACKOFFS, /* times that accept() paused for want of descriptors or memory */
	STATS_MX_MISMATCH,     /* recipients refused because their domain is not served at the destination */
	STATS_LIMITED,         /* replies given because a limit was passed */
	STATS_FAULTS,          /* connections broken on purpose */
	STATS_DNS_FAILED,      /* domains of which DNS said nothing in time, each time that a session asked */
	STATS_DNS_LOOKUPS,     /* begun; of one domain, whoever waits for it */
	STATS_DNS_CACHED,      /* answers that were at hand */
	STATS_DNS_TIMED_OUT,   /* lookups that took too long */
	STATS_DNS_REFUSED,     /* not begun: too many were under way */
	STATS_COUNTERS,
};

enum stats_table_id {
	STATS_DOMAINS,      /* recipient domains, lower case; counted per recipient */
	STATS_DESTINATIONS, /* original destinations, 4 or 16 bytes; counted per message */
	STATS_SOURCES,      /* the clients' addresses, likewise */
	STATS_PROVIDERS,    /* by name; counted per recipient */
	STATS_TABLES,
};

enum stats_field {
	STATS_ROW_CONNECTIONS,
	STATS_ROW_ACCEPTED,
	STATS_ROW_TEMPFAIL,
	STATS_ROW_PERMFAIL,
	STATS_ROW_BYTES,
	STATS_ROW_FIELDS,
};

#define STATS_KEY_MAX 255 /* a domain's longest (RFC 5321 4.5.3.1.2); a longer key goes to `other` */
#define STATS_OTHER   0   /* the row for what has none of its own */

/* How large a region is; equal layouts are interchangeable. */
struct stats_layout {
	uint32_t blocks;
	uint32_t rows[STATS_TABLES]; /* each at least 1 */
};

/* One block's tables and counters: the writer's handle, cheap to copy. */
struct stats_block;
/* A mapped region. */
struct stats {
	void *memory;
	struct stats_layout layout;
};

/* Bytes that a region of this layout takes. */
size_t stats_size(const struct stats_layout *layout);

/* Makes zeroed memory of stats_size() bytes a region. now_s: seconds since the epoch. */
void stats_format(struct stats *stats, void *memory, const struct stats_layout *layout, uint64_t now_s);

/*
 * Takes over a region that stats_format() made, perhaps in another process; layout comes from its
 * header. False where memory holds none, one of another version, or one that does not fit size.
 */
bool stats_attach(struct stats *stats, void *memory, size_t size);

/*
 * Whether all that leads from one place of the region to another stays within it: a file of which a power cut left
 * some pages may have a header and no tables, and a writer that trusted it would die of it at each start. Looks at
 * every row; only while nobody writes.
 */
bool stats_is_sound(const struct stats *stats);

/* The block of worker `index`, below layout.blocks. */
struct stats_block *stats_block(const struct stats *stats, uint32_t index);

/*
 * The writer's start: connections that an earlier process had open are closed, since it is gone.
 */
void stats_block_begin(struct stats_block *block);

/*
 * All counts to nothing, but for the connections that are open. Keys keep their rows, since sessions hold these;
 * a row without counts is not listed. Only by the block's writer.
 */
void stats_block_reset(struct stats_block *block);

/* Adds. Only by the block's writer. */
void stats_add(struct stats_block *block, enum stats_counter counter, uint64_t n);

/*
 * The row of a key, made where there is none yet; STATS_OTHER when the table is full. Only by the
 * block's writer. Bounded time whatever the keys. Rows stay valid for the region's life.
 */
uint32_t stats_row(struct stats_block *block, enum stats_table_id table, struct span key);
void stats_row_add(struct stats_block *block, enum stats_table_id table, uint32_t row, enum stats_field field,
	uint64_t n);

/* Readers, from any process that has the region mapped. */

uint64_t stats_sum(const struct stats *stats, enum stats_counter counter);

/* Connections that are open, of one block. */
uint64_t stats_open(const struct stats_block *block);

struct stats_row {
	struct span key; /* in the region; empty for `other` */
	uint64_t fields[STATS_ROW_FIELDS];
};

/* Rows that there are at the moment: room for them, and stats_rows() leaves out what comes later. */
size_t stats_rows_max(const struct stats *stats, enum stats_table_id table);

/*
 * Writes the table summed over all blocks into rows, of which there are max: first `other`, then each key once, the most
 * counted (accepted, tempfail and permfail together, then connections) first. Returns how many.
 */
size_t stats_rows(const struct stats *stats, enum stats_table_id table, struct stats_row *rows, size_t max);

/* Who tried to get past the divert; only the warden writes. */
struct escapes *stats_escapes(const struct stats *stats);

/* Seconds since the epoch at which counting began, or began again: the warden says when, at a reset. */
uint64_t stats_since(const struct stats *stats);
void stats_begin_again(const struct stats *stats, uint64_t now_s);

#define STATS_DEVICES_MAX 64

/*
 * The kernel's counters as the warden last read them. `total` goes on over a table that was removed and
 * made anew: stats_kernel_restart() says that the kernel begins at 0 again.
 */
struct stats_kernel {
	uint64_t packets[RULESET_COUNTERS];
	uint64_t bytes[RULESET_COUNTERS];
	bool armed, owner, persist, walled; /* as guard_state() reads them */
	bool diverting;                     /* this daemon was asked to divert */
	/* Guarded devices: how many, and the names of the first of them. */
	uint32_t device_count;
	char devices[STATS_DEVICES_MAX][IFNAMSIZ];
	uint64_t read_s;                 /* when, since the epoch */
	uint64_t repairs;                /* times that the rules were found changed and put right */
	uint64_t starts;                 /* of the responder */
	enum ruleset_means escape_queue; /* how packets that the guard stops are shown to the warden */
	bool escape_log;                 /* likewise those that are not locally sent */
	uint64_t escapes_lost;           /* stopped, and not shown for want of room */
};

void stats_kernel_restart(const struct stats *stats);
/* Totals to 0; what the kernel counts goes on from there. */
void stats_kernel_reset(const struct stats *stats);
void stats_kernel_write(const struct stats *stats, const struct stats_kernel *kernel);
void stats_kernel_read(const struct stats *stats, struct stats_kernel *kernel);

/*
 * What stats_kernel_write() wrote last, without what tables now gone had counted: where a writer goes on, in this
 * process or the next.
 */
void stats_kernel_last(const struct stats *stats, struct stats_kernel *kernel);

#endif
