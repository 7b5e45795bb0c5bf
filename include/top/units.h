/*
 * units: our units, as systemd on this host knows them. `guard arm` and `guard disarm` act through them where
 * there are any, because what systemd holds neither comes nor goes otherwise. It asks systemd itself, so it
 * needs root but no message bus, and waits until systemd has done what was asked. It loads and deletes no rule.
 */
#ifndef MX_UNITS_H
#define MX_UNITS_H

#include <stdbool.h>

#include "err.h"

/* Whether systemd runs this host (this network namespace, too) and knows our units. */
bool units_known(void);

/* Starts the guard, and has it started at each boot. 0 or a negative errno, err filled. */
int units_arm(struct err *err) MX_MUST_CHECK;

struct units_left {
	bool daemon_at_boot; /* mxmirage.service is enabled: the next boot shuts the port again */
};

/* Stops the daemon, then the guard, then the socket that owns the rules, and has none of the guard started at boot. */
int units_disarm(struct units_left *left, struct err *err) MX_MUST_CHECK;

#endif
