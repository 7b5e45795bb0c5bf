/*
 * canary_flight: sends canaries, all at once, and follows each until it has ended.
 */
#ifndef MX_CANARY_FLIGHT_H
#define MX_CANARY_FLIGHT_H

#include <stddef.h>

#include "canary_plan.h"
#include "witness.h"

/*
 * Gives each canary of the plan its outcome, in rounds of CANARY_RANGE_SIZE. `home` is the namespace to be in
 * after one was sent from another. Returns how many packets the witness lost.
 */
unsigned canary_flight(struct canary_plan *plan, struct witness *witness, int home);

#endif
