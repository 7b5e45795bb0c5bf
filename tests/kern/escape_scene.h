/*
 * escape_scene: internet.h's world with the guard's rules and somebody who looks at what they stop; and senders, each a
 * process of its own, that try to get past the divert.
 */
#ifndef TEST_ESCAPE_SCENE_H
#define TEST_ESCAPE_SCENE_H

#include "core/rules.h"
#include "culprit.h"
#include "escape.h"
#include "guard.h"
#include "internet.h"

#define SENDER_UID 4321
#define SENDER     "some-offender"

/* A foreign rule that keeps connections away from the divert. */
#define NOTRACK(hook)                                                \
	"nft 'table inet foreign { chain c { type filter hook " hook \
	" priority raw; tcp dport 25 notrack; }; }'"

struct scene {
	struct internet world;
	struct guard *guard;
	struct ruleset *rules;
	struct escape *escape;
	struct culprit_search *search;
	unsigned long arrived; /* before */
};

/* What was seen. */
struct sightings {
	struct scene *scene;
	unsigned events, named; /* named: the sender's process was found */
	pid_t sender;
	struct escape_event last;
	struct culprit culprit; /* of the last */
};

struct connects {
	const char *address;
	unsigned count;
	unsigned per_second;
	int wanted;    /* errno */
	uint16_t port; /* 0: 25 */
};

struct syns {
	unsigned count;
	unsigned pause_us; /* after each */
	bool stays;
};

/* What this machine's kernel has, or logging alone. */
struct ruleset_observation observation_of(bool queue);

/* scene_make(): a fresh world, armed and looked at. The others are its parts. */
void scene_make(struct scene *scene, const struct ruleset_observation *observation);
void scene_arm(struct scene *scene, const struct ruleset_observation *observation);
void scene_listen(struct scene *scene, const struct ruleset_observation *observation);
/* Nothing may have arrived. */
void scene_end(struct scene *scene);

/* Reads until so many events came, or nothing came for 10 s. */
void watch(struct sightings *seen, unsigned events);
/* Reads what there is, until nothing came for 1 s. */
void watch_what_came(struct sightings *seen);

/* Fails where the last event is not of TCP between these addresses for port 25. */
void assert_ends(const struct escape_event *event, const char *from, const char *to);

/*
 * Fails where the sender was not found in a quarter of the events: in calm it is in each, as a thousand a second take
 * 40 ms of CULPRIT_BUDGET_MS, which other work on the processor uses up. On a slow one, where it never was.
 */
void assert_named(const struct sightings *seen);

/* A process with SENDER's name that does `act` in the namespace of `where`, 0 for the caller's. */
pid_t sender_start(void (*act)(const void *), const void *arg, pid_t where);
/* Waits for its end, which must be good. */
void sender_end(pid_t sender);
void sender_kill(pid_t sender);

/* For sender_start(). Sleeps until `done` things a second are due. */
void pace(uint64_t start, unsigned done, unsigned per_second);
/* struct connects: blocking connections by SENDER_UID, each of which must fail as wanted. */
void act_connect(const void *arg);
/* struct connects (IPv4): opens all without waiting, and stays. */
void act_try(const void *arg);
/* struct syns: by raw sockets. */
void act_raw(const void *arg);

#endif
