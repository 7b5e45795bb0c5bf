/*
 * proc: which process has a socket open, from /proc. It looks first at the descriptors where it found the last
 * ones, then at all of those processes, then at the youngest processes of the user in question, then at the
 * others, for PROC_STEPS at most: one for each directory opened and each descriptor looked at.
 */
#ifndef MX_PROC_H
#define MX_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* About a microsecond each: a host with very many descriptors must not hold up its warden. */
#define PROC_STEPS 30000

#define PROC_RECENT 16

struct proc {
	struct proc_place {
		pid_t pid;
		int fd;
	} recent[PROC_RECENT]; /* where a socket was found, the last one first */
	unsigned steps;        /* that the search at hand has left */
	bool denied;           /* it met processes whose descriptors it may not see */
};

/* The process with the socket of this inode, or 0. uid: the socket's; UINT32_MAX where it is unknown. */
pid_t proc_find(struct proc *proc, uint64_t inode, uint32_t uid);

/* Whether a process runs as uid; no, where it may not be seen. */
bool proc_is_of(pid_t pid, uint32_t uid);

/* Each writes a terminated text, "" where the process is gone or does not show it. */
void proc_name(pid_t pid, char *name, size_t size);
void proc_cgroup(pid_t pid, char *path, size_t size);

#endif
