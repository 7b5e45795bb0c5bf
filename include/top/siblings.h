/*
 * siblings: further processes of the responder, for more connections than one process may have descriptors. The first
 * one forks them before it has threads, speaks with the warden for all, and passes on what concerns them. They share
 * what senders have been doing (struct policy_state), so they live and die together: what one that died had
 * counted there can't be told from what the others did.
 */
#ifndef MX_SIBLINGS_H
#define MX_SIBLINGS_H

#include <event2/event.h>
#include <sys/types.h>

#include "conf.h"
#include "control.h"
#include "err.h"

struct siblings;

struct sibling {
	struct siblings *all;
	pid_t pid;
	int channel;
	struct event *readable;
	unsigned answers[CONTROL_TYPES]; /* that it gave, by their type */
};

/* What a sibling has to say. Called on the loop of siblings_watch(). */
typedef void siblings_answered(void *arg, enum control_type type);
/* One has ended; err says which and how. */
typedef void siblings_ended(void *arg, const struct err *err);

struct siblings {
	struct sibling others[CONF_WORKERS_MAX];
	unsigned count;                   /* of others; 0 in a forked one */
	unsigned asked[CONTROL_TYPES];    /* questions, by the type that answers them */
	unsigned answered[CONTROL_TYPES]; /* of these, by all others */
	siblings_answered *on_answered;
	siblings_ended *on_ended;
	void *arg;
};

/*
 * Makes processes of one: there are `processes` afterwards. Returns this one's number, 0 for the first. *channel is the
 * one to the warden; in a forked process it becomes the one to the first. Negative errno on failure, err filled.
 */
int siblings_fork(struct siblings *siblings, unsigned processes, int *channel, struct err *err);

/* Follows the channels to the others. 0 or -ENOMEM. */
int siblings_watch(struct siblings *siblings, struct event_base *base, siblings_answered *on_answered,
	siblings_ended *on_ended, void *arg, struct err *err);

/* Passes a message on to the other with this number, from 1 on; to all. 0 or a negative errno, err filled. */
int siblings_send(
	struct siblings *siblings, unsigned number, const struct control_message *message, struct err *err);
int siblings_send_all(struct siblings *siblings, const struct control_message *message, struct err *err);

/*
 * The same, and on_answered is called once for each question, when all others have answered it; at once where there are
 * none. A late answer counts for the question that it answers, never for the next one.
 */
int siblings_ask_all(struct siblings *siblings, const struct control_message *message,
	enum control_type answer, struct err *err);

/* Lets go of the others, which say goodbye to their sessions, and waits for them. */
void siblings_end(struct siblings *siblings);

#endif
