/*
 * host: what the machine says of itself in /proc/sys and in small files, read below a root directory so
 * that a test can lay out a machine of its own. It reads and judges nothing.
 */
#ifndef MX_HOST_H
#define MX_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host {
	const char *root; /* "" is this machine's */
};

/*
 * The first bytes of a file below the root, NUL-terminated, without trailing blanks and newlines. Its length,
 * or a negative errno: -ENOENT, -EACCES, ...
 */
int host_read(const struct host *host, const char *path, char *text, size_t size);

bool host_exists(const struct host *host, const char *path);

/* The numbers of a sysctl ("net.ipv4.tcp_rmem"), at most max. How many, or a negative errno. */
int host_sysctl(const struct host *host, const char *key, uint64_t *values, size_t max);

/* Its text as it stands, with single blanks. Its length or a negative errno. */
int host_sysctl_text(const struct host *host, const char *key, char *text, size_t size);

/*
 * True when every port from first to last is in a list as of ip_local_reserved_ports: "4025-4032,4080".
 */
bool host_ports_reserved(const char *list, uint16_t first, uint16_t last);

#endif
