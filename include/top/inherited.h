/* inherited: the descriptors that systemd hands over. */
#ifndef MX_INHERITED_H
#define MX_INHERITED_H

/* The netlink socket of mxmirage-guard.socket, or -1. */
int inherited_netlink(void);

#endif
