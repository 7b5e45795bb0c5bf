/*
 * systemd_bus: a connection to the systemd of this host, past the bus daemon, which may not be there. For root.
 */
#ifndef MX_SYSTEMD_BUS_H
#define MX_SYSTEMD_BUS_H

#include <systemd/sd-bus.h>

/* NULL where nobody answers, or this is not root. The caller closes it: sd_bus_flush_close_unref(). */
sd_bus *systemd_bus_open(void);

#endif
