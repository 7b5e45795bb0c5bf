/*
 * crowd: as many processes as the descriptor limit makes necessary, with counters that all of them
 * share. Each holds its connections until the parent's standard input ends; the connections are
 * reset then, so that nothing lingers. It knows nothing of what the processes do.
 */
#ifndef SCALE_CROWD_H
#define SCALE_CROWD_H

#include <stddef.h>
#include <sys/types.h>

#define CROWD_MAX 64 /* processes */

struct crowd {
	unsigned processes;
	unsigned each; /* connections a process has descriptors for */
	void *shared;  /* zeroed memory that all of them see */
	pid_t pids[CROWD_MAX];
};

/* Sees how many processes so many connections take. -1 when that is more than CROWD_MAX,
 * or memory ran out. */
int crowd_init(struct crowd *crowd, unsigned connections, size_t shared_size);

/*
 * Forks them; each runs work(crowd, index) and then stays as it is until crowd_done(). Returns in
 * the parent; -1 when a fork failed.
 */
int crowd_start(struct crowd *crowd, void (*work)(struct crowd *crowd, unsigned index));

/* Waits for SIGTERM, which is held back from crowd_init() on. */
void crowd_await_end(void);

/* Ends the processes. */
void crowd_done(struct crowd *crowd);

/* Sets fd, and what is accepted from it, to be reset when it is closed. */
void crowd_reset_on_close(int fd);

#endif
