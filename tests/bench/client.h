/*
 * client: the connections of the load generator over epoll, in one thread. Each plays the script
 * again and again; a reply that the script does not expect, a lost connection or a word too many is
 * an error, so a sink that refuses cannot look fast. It measures nothing: load.c takes the time.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "script.h"

#define CLIENT_CODES 600

struct client_options {
	struct sockaddr_storage target;
	socklen_t target_len;
	unsigned connections; /* that send */
	unsigned idle;        /* that say EHLO and then stay */
	size_t size;          /* octets a message */
	enum script_form form;
	uint64_t per_connection; /* messages, then QUIT and a new connection; 0 = no end */
};

struct client_counts {
	uint64_t
		messages; /* accepted: the 250 behind the end of data was read; connections where none are sent */
	uint64_t connections;
	uint64_t errors;
	uint64_t replies[CLIENT_CODES]; /* by code */
	char first_error[160];
};

struct client;

/* NULL when memory or descriptors ran out, or the size is too small; nothing is connected yet. */
struct client *client_new(const struct client_options *options);
void client_free(struct client *client);

/* Opens the idle connections, until all were answered. -1 when that took longer than seconds. */
int client_open_idle(struct client *client, double seconds);

/* Opens the connections that send; they speak within client_run(). */
void client_open(struct client *client);

/*
 * Goes on for so many seconds, or until so many messages were accepted in all (0 = any number).
 * Ends early when every connection that sends was lost.
 */
void client_run(struct client *client, double seconds, uint64_t messages);

const struct client_counts *client_counts(const struct client *client);

/* Seconds on a clock that only goes forward. */
double client_clock(void);

#endif
