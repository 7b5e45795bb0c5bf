/*
 * keeper: keeps the guard true for as long as the warden runs. It arms it, follows the devices, holds what the
 * kernel has against the configuration every two seconds and puts it right, and reads the kernel's counters into
 * the counts. It says what it finds in the log.
 */
#ifndef MX_KEEPER_H
#define MX_KEEPER_H

#include <event2/event.h>
#include <stdbool.h>

#include "conf.h"
#include "guard.h"
#include "links.h"
#include "lookout.h"
#include "stats.h"

struct keeper {
	const struct stats *stats;
	struct stats_kernel *kernel; /* the warden's, which writes what else is in it */
	const struct conf *conf;
	unsigned tables;
	struct guard *guard; /* NULL: not diverting */
	struct links links;
	bool behind; /* the rules are not those for the devices: to be made again */
	struct ruleset_observation observation;
	struct lookout *lookout; /* NULL: nobody sees what is stopped */
	struct ruleset *rules;   /* what stands */
	struct event *on_verify, *on_links;
};

/* Arms for conf, of which it takes a share. */
int keeper_open(struct keeper *keeper, struct event_base *base, const struct conf *conf,
	const struct stats *stats, struct stats_kernel *kernel, struct err *err) MX_MUST_CHECK;
/* What is armed stays. Fine on one that is all zero. */
void keeper_close(struct keeper *keeper);

/* The rules for another configuration; on failure those of the old one stand again. */
int keeper_change(struct keeper *keeper, const struct conf *conf, struct err *err) MX_MUST_CHECK;

/* Reads the kernel's counters and state now. Fine where it was not opened. */
void keeper_read(struct keeper *keeper);

/* Takes all rules down. */
int keeper_disarm(struct keeper *keeper, struct err *err) MX_MUST_CHECK;

/*
 * The netlink socket that systemd holds for us and handed over, or -1: sd_listen_fds(3). The same on each call.
 */
int keeper_inherited_socket(void);

#endif
