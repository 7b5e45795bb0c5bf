/*
 * counts: the file that holds the statistics region, mapped by both processes, in the runtime directory:
 * it outlives them, not the host. Its lock says which instance of mxmirage is the one that runs.
 */
#ifndef MX_COUNTS_H
#define MX_COUNTS_H

#include "conf.h"
#include "err.h"
#include "stats.h"

struct counts {
	int fd;
	size_t size;
	struct stats stats;
};

/*
 * The warden's: opens or makes the file that conf names, with its directory, and takes its lock. What an
 * earlier run counted is kept when the tables have the same size. Space is set aside at once: a counter
 * must never fail later for want of it. 0 or a negative errno, err filled (-EBUSY: another instance
 * holds the lock).
 */
int counts_open(struct counts *counts, const struct conf *conf, struct err *err);

/* The responder's: maps the descriptor that the warden sent, and owns it. */
int counts_adopt(struct counts *counts, int fd, struct err *err);

void counts_close(struct counts *counts);

#endif
