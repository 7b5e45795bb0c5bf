/*
 * listening: who listens on a TCP port of this network namespace, from /proc. It opens no socket.
 */
#ifndef MX_LISTENING_H
#define MX_LISTENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host.h"

struct listening {
	uint16_t port;
	uint64_t inode; /* of the socket */
	pid_t pid;      /* 0 where the process cannot be found: no right to look, or another namespace */
	char name[32];  /* the process's */
};

/*
 * The first listener on each port from first to last, at most max; of several sockets on one port (a socket
 * each of many threads) the first alone. How many, or a negative errno.
 */
int listening_find(
	const struct host *host, uint16_t first, uint16_t last, struct listening *found, size_t max);

/* The port of a line of /proc/net/tcp whose socket listens, and its inode; false for every other line. */
bool listening_line(const char *line, uint16_t *port, uint64_t *inode);

#endif
