/*
 * culprit: the process behind a packet that was stopped, where it can still be found: packet to socket (sock_diag),
 * socket to process (/proc). The work is bounded: CULPRIT_BUDGET_MS of each second. What is not found, and what there
 * was no time to look for, is said to be unknown, never guessed.
 *
 * To see which files a process of another user has open takes CAP_SYS_PTRACE. Without it the control group is
 * still found where the kernel tells it with the socket.
 */
#ifndef MX_CULPRIT_H
#define MX_CULPRIT_H

#include <sys/types.h>

#include "err.h"
#include "escape.h"

/* Of a second: what a flood of nameless packets may cost. */
#define CULPRIT_BUDGET_MS 60

struct culprit {
	pid_t pid;                      /* 0: not found, or one of several */
	char name[ESCAPE_PROGRAM_MAX];  /* what the process calls itself; "one of A, B"; "": not found */
	char cgroup[ESCAPE_CGROUP_MAX]; /* path from the root of the hierarchy, "": not found */
};

struct culprit_search;

struct culprit_search *culprit_search_new(struct err *err);
/* NULL is fine. */
void culprit_search_free(struct culprit_search *search);

/* Names may hold any byte that a process may choose, but are terminated. */
void culprit_find(struct culprit_search *search, const struct escape_event *event, struct culprit *culprit);

#endif
