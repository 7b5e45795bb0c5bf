/*
 * control_net: a network namespace with no rules, whose packets go from one end of a veth pair to the other
 * and no further. The witness is tried here first: what it does not see here it would not see anywhere. It
 * is gone when the last descriptor of it is closed. The calling thread alone is in it.
 */
#ifndef MX_CONTROL_NET_H
#define MX_CONTROL_NET_H

#include "canary_range.h"
#include "err.h"

/*
 * Moves the calling thread into it. The ranges become reachable through the pair. 0 or a negative errno, err
 * filled, the thread where it was. The way back is netspace_enter().
 */
int control_net_enter(const struct canary_range *v4, const struct canary_range *v6, struct err *err);

#endif
