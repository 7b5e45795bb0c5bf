/*
 * internet: a small world for tests of what the rules do: a host (the calling process's namespace),
 * an internet behind it with servers and an oracle that counts what arrives, and a container that
 * the host forwards for.
 *
 *	container 203.0.113.130 ── host 192.0.2.1 ── internet 192.0.2.2
 *	2001:db8:c::2              2001:db8:a::1     2001:db8:a::2
 *
 * The internet has 198.51.100.1 and 2001:db8::1 (mail servers of strangers), and 203.0.113.1 and
 * 2001:db8:e::1 (a neighbour, to be excluded).
 */
#ifndef TEST_INTERNET_H
#define TEST_INTERNET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "origdst.h"

#define STRANGER4  "198.51.100.1"
#define STRANGER6  "2001:db8::1"
#define NEIGHBOUR4 "203.0.113.1"
#define NEIGHBOUR6 "2001:db8:e::1"
#define HOST4      "192.0.2.1"
#define HOST6      "2001:db8:a::1"

enum {
	LISTENERS = 8,
	LISTENER_FIRST = 4025
};

struct internet {
	pid_t internet, container;
	int listeners[LISTENERS]; /* the host's, dual-stack, ports 4025 on */
};

void internet_make(struct internet *world);

/* Packets for port 25 (or what a foreign nat makes of it: 2587) that reached a stranger. */
unsigned long internet_arrived(const struct internet *world);

/* A server that greets everybody with a word, in the namespace of a process; ports end with 0. */
void server_start(pid_t where, const char *greeting, const uint16_t *ports);

/* A connection attempt in a process of its own. */
struct attempt {
	pid_t process;
	int result;
};

/* where: a process whose namespace it starts from, 0 for the caller's. device: to bind to, or NULL.
 */
struct attempt attempt_start(pid_t where, const char *address, uint16_t port, const char *device);

/*
 * Waits for its end, 3 s at most. 0 with the greeting (16 bytes) once it got one; else an errno:
 * ECONNREFUSED, ETIMEDOUT after 1 s.
 */
int attempt_end(struct attempt *attempt, char *greeting);

/* Accepts on the listeners for up to 1 s, greets with "mirage", closes; false when nobody came. */
bool listener_greet(
	const struct internet *world, enum origdst_result *result, struct sockaddr_storage *original);

#endif
