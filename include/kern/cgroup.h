/*
 * cgroup: control groups of the unified hierarchy, by the number that the kernel tells with a socket. For processes
 * that are gone, or whose files this process may not see: the group's name says which service they were of.
 */
#ifndef MX_CGROUP_H
#define MX_CGROUP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The path from the hierarchy's root, "/system.slice/x.service"; "" where there is no such group (any more). */
void cgroup_path(uint64_t id, char *path, size_t size);

/* Writes up to max processes of the group; returns how many. */
size_t cgroup_members(const char *path, pid_t *pids, size_t max);

#endif
