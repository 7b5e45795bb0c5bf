/*
 * listener: the sockets that diverted connections arrive at. The warden binds them and keeps them, so
 * that while the responder is away connections wait in the backlog.
 */
#ifndef MX_LISTENER_H
#define MX_LISTENER_H

#include <stdint.h>

#include "err.h"

/*
 * Whether the port is free for this instance alone: SO_REUSEPORT would let another one of the same user share it,
 * and each would get some of the connections. To be asked before the first listener_open() of the port. 0 or a
 * negative errno (-EADDRINUSE: somebody listens there), err filled.
 */
int listener_check(uint16_t port, struct err *err);

/*
 * Binds one non-blocking, listening socket on `port` of every address, v4 and v6 through one dual-stack
 * socket (v4 alone where the kernel has no v6). SO_REUSEPORT: each worker has its own for each port, and
 * the kernel spreads connections over them. Returns the descriptor or a negative errno, err filled.
 */
int listener_open(uint16_t port, struct err *err);

/*
 * Binds the control socket at path (mode 0660, of group gid), replacing a stale one. Returns the descriptor or a
 * negative errno (-EADDRINUSE: somebody answers there), err filled.
 */
int listener_open_unix(const char *path, unsigned gid, struct err *err);

#endif
