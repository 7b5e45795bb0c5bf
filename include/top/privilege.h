/*
 * privilege: what a process gives up before it meets the network.
 */
#ifndef MX_PRIVILEGE_H
#define MX_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

struct privilege_user {
	uid_t uid;
	gid_t gid;
	bool stands_in; /* nobody, since there is no user mxmirage */
};

/*
 * Finds the responder's user: `name`, or for "" the user mxmirage where there is one, else nobody. Who is
 * not root stays who it is. 0 or -ENOENT, err filled.
 */
int privilege_find_user(const char *name, struct privilege_user *user, struct err *err);

/*
 * Becomes that user for good, without capabilities, without supplementary groups, never to gain any
 * (no_new_privs), and dies with its parent. For the moment between fork() and exec().
 */
int privilege_drop(const struct privilege_user *user, pid_t parent, struct err *err);

/*
 * The warden's, where it is not root: gives up every capability but CAP_NET_ADMIN (which it may lack), the right
 * to pass any on, and the bounding set, so that its children have nothing. Its memory is closed to processes of
 * the same user. Root changes nothing: it needs its capabilities to start a responder of another user.
 */
int privilege_confine(struct err *err);

/*
 * The warden's: ahead of other processes, in real time or else by its nice value, where it may and nobody has said
 * otherwise, since a new device is not guarded before the warden has run. What it starts is not ahead.
 */
void privilege_precede(void);

/* Raises the limit of open files as far as this process may. */
void privilege_raise_files(void);

#endif
