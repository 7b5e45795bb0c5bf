/*
 * resolver_scene: a resolver and its name server for a test, both on loopback, and askers that note what
 * they hear. It also watches that the resolver's loop is never held up: scene_stop() fails the test where
 * it was.
 */
#ifndef TEST_RESOLVER_SCENE_H
#define TEST_RESOLVER_SCENE_H

#include <stdbool.h>
#include <time.h>

#include "dns_server.h"
#include "resolver.h"

extern struct scene {
	struct dns_server *server;
	struct event_base *base;
	struct resolver *resolver;
	struct stats stats;
} scene;

/* Small limits, short times. */
extern const struct resolver_setup scene_setup;

/* Fixtures: a name server and a loop; the second also a resolver with scene_setup. */
void scene_start(void);
void scene_start_default(void);
void scene_stop(void);

void scene_resolver_start(struct resolver_setup setup, const char *servers);

/* An asker and what it heard, in words. */
struct asker {
	struct resolver_question *question;
	int answers;
	unsigned after_ms;
	struct timespec asked;
	char heard[16384];
	struct resolver_entry *entry;
};

void scene_ask(struct asker *asker, const char *domain);

/* Runs the loop until all have heard, or for so long. */
void scene_run(const struct asker *askers, size_t count, unsigned max_ms);

/* Runs the loop until the condition holds, 10 s at most: whether it does. */
bool scene_comes_to(bool (*condition)(void));

/* Asks and waits: "found 10 mx1.example 20 mx2.example at 192.0.2.1 2001:db8::1, partial". Static storage. */
const char *scene_lookup(const char *domain);

/* Of the resolver, and of those before it in the same test. */
uint64_t scene_count(enum stats_counter counter);

#endif
