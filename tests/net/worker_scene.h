/* worker_scene: one worker on a listener on loopback, its counts, and what a client of it does. One at a time. */
#ifndef TEST_WORKER_SCENE_H
#define TEST_WORKER_SCENE_H

#include <stdbool.h>

#include "origdst.h"
#include "policy.h"
#include "stats.h"
#include "worker.h"

struct worker_scene {
	struct stats stats;
	struct policy_state state;
	struct worker *worker;
	uint16_t port; /* on loopback */
};

extern struct worker_scene served;

/* Of a configuration in which nothing is set. */
const struct policy *served_policy(void);

/* Takes the policy's reference. dns_servers as in struct worker_setup; NULL: nothing is resolved. */
void served_start(const struct policy *policy, const struct origdst_finder *finders, const char *dns_servers);
void served_stop(void);

/* A finder's: nobody diverted the connection, it was meant for the listener. */
int served_find_listener(int fd, struct sockaddr_storage *original);

/* The port that a socket is bound to. */
uint16_t served_port_of(int fd);

/* A connection to the worker; sends text on it. */
int dial(void);
void put(int fd, const char *text);

/* Counters move before the reply is sent, but a close is seen by the worker a moment later: waits, 5 s at most. */
bool comes_to(enum stats_counter counter, uint64_t value);

#endif
