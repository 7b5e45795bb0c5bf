/*
 * canary_plan: the canaries that a network namespace needs: every kind, by every way that there is (its
 * devices, its own addresses, the namespaces behind it), for every diverted port.
 */
#ifndef MX_CANARY_PLAN_H
#define MX_CANARY_PLAN_H

#include <stddef.h>

#include "canary.h"
#include "canary_range.h"
#include "conf.h"
#include "err.h"
#include "netspace.h"

/* A second for each 250 of them on a host that answers nothing. */
#define CANARY_PLAN_MAX 5000

struct canary_plan {
	struct canary *canaries;
	size_t count;
	size_t left_out; /* beyond CANARY_PLAN_MAX */
	size_t down;     /* devices that are down: nothing leaves by them */
	struct canary_range v4, v6;
};

/* Own addresses that are not on loopback or of a link alone; to be freed. NULL on failure, err filled. */
struct address *canary_plan_addresses(size_t *count, struct err *err);

/* The ranges are chosen already. 0 or a negative errno, err filled. */
int canary_plan_make(
	struct canary_plan *plan, const struct conf *conf, const struct netspaces *behind, struct err *err);
void canary_plan_done(struct canary_plan *plan);

#endif
