/*
 * escape: receives the packets that the guard stops (core/ruleset_observe.h has the rules that show them), and
 * says who sent each, from where to where and on which way out it was. It observes only: whatever is answered
 * here, the guard's own rule comes next.
 *
 * It needs CAP_NET_ADMIN and never blocks. A packet that waits for this listener goes on as soon as the callback
 * has returned; if the process ends, the kernel drops what still waits, and what comes later does not wait.
 */
#ifndef MX_ESCAPE_H
#define MX_ESCAPE_H

#include <net/if.h>
#include <stdint.h>

#include "err.h"
#include "escapes.h"
#include "packet.h"
#include "ruleset_observe.h"

struct escape_event {
	enum escape_path path;
	struct packet packet;
	bool readable; /* packet says something */
	bool waits;    /* its sender waits until the callback returns */
	uint32_t uid, gid;
	uint32_t mark;
	uint32_t out, in;                               /* interface indexes, 0: none */
	char out_device[IFNAMSIZ], in_device[IFNAMSIZ]; /* "" where it is gone or there is none */
};

typedef void (*escape_callback)(void *arg, const struct escape_event *event);

struct escape;

/* Finds out what the kernel has, by rules that it is asked to check and not to load. */
int escape_probe(struct ruleset_observation *observation, struct err *err) MX_MUST_CHECK;

/*
 * Starts to listen. -EBUSY: another program listens under our number. Where observation asks for nothing there is
 * nothing to listen for, and that is an error of the caller.
 */
struct escape *escape_new(const struct ruleset_observation *observation, struct err *err);
/* NULL is fine. */
void escape_free(struct escape *escape);

/* Readable when packets wait. */
int escape_fd(const struct escape *escape);

/*
 * Gives what waits to callback, ESCAPE_BATCH packets at most, so that a flood does not keep the caller's loop
 * busy. Returns how many, or a negative errno.
 */
#define ESCAPE_BATCH 64
int escape_read(struct escape *escape, escape_callback callback, void *arg, struct err *err) MX_MUST_CHECK;

/* Packets that the kernel could not show for want of room; they were stopped like all others. */
uint64_t escape_lost(const struct escape *escape);

#endif
