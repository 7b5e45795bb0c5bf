#include "culprit.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cgroup.h"
#include "proc.h"
#include "sock_diag.h"

/* Sockets of one user that a packet without a connection may have come from: with more it is not said which. */
#define CANDIDATES_MAX 16

struct culprit_search {
	struct sock_diag diag;
	struct proc proc;
	uint64_t cgroup; /* the last one that was looked for, and its path */
	char cgroup_path[ESCAPE_CGROUP_MAX];
	uint64_t second, spent_us; /* the second at hand, and how much of it went into searches */
};

struct culprit_search *culprit_search_new(struct err *err)
{
	struct culprit_search *search = calloc(1, sizeof(*search));
	if (!search) {
		err_set(err, -ENOMEM, "no memory to look for processes");
		return NULL;
	}
	if (sock_diag_open(&search->diag, err) < 0) {
		free(search);
		return NULL;
	}
	return search;
}

void culprit_search_free(struct culprit_search *search)
{
	if (!search)
		return;
	sock_diag_close(&search->diag);
	free(search);
}

/*
 * Sockets that the packet can have come from. A connection's own is certain; where another rule rewrote the
 * addresses it still has the source port; what has no connection was written by a raw or a packet socket.
 */
static size_t sockets_find(
	struct culprit_search *search, const struct escape_event *event, struct sock_diag_match *matches)
{
	const struct packet *packet = &event->packet;
	size_t count = 0;
	if (event->path == ESCAPE_EGRESS)
		count = sock_diag_packet(&search->diag, event->uid, event->out, matches, CANDIDATES_MAX);
	if (count > 0 || !event->readable)
		return count;
	bool tcp = packet->has_ports && packet->protocol == IPPROTO_TCP;
	if (tcp)
		count = sock_diag_tcp(&search->diag, packet, matches);
	/* Raw sockets of this sort are rare and few; the walk over all connections is dear, so it comes last. */
	if (count == 0)
		count = sock_diag_raw(packet->family, event->uid, matches, CANDIDATES_MAX);
	if (count == 0 && tcp)
		count = sock_diag_tcp_port(&search->diag, packet, event->uid, matches, CANDIDATES_MAX);
	return count;
}

static bool is_among(const pid_t *pids, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* "one of dhclient, python3": as many as there is room for. */
static void names_join(const pid_t *pids, size_t count, char *text, size_t size)
{
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		char name[ESCAPE_PROGRAM_MAX];
		proc_name(pids[i], name, sizeof(name));
		int more = snprintf(text + len, size - len, "%s%s", i == 0 ? "one of " : ", ", name);
		if (more < 0 || (size_t)more >= size - len) {
			text[len] = '\0';
			return;
		}
		len += (size_t)more;
	}
}

/*
 * The control group alone. Where the process was not found because its descriptors may not be seen, and it waits for
 * us so that it still lives, it is one of the group's.
 */
static void group_find(struct culprit_search *search, uint64_t cgroup, const struct escape_event *event,
	struct culprit *culprit)
{
	if (cgroup != search->cgroup) {
		search->cgroup = cgroup;
		cgroup_path(cgroup, search->cgroup_path, sizeof(search->cgroup_path));
	}
	memcpy(culprit->cgroup, search->cgroup_path, sizeof(culprit->cgroup));
	if (!culprit->cgroup[0] || !search->proc.denied || !event->waits)
		return;
	pid_t members[CANDIDATES_MAX];
	size_t all = cgroup_members(culprit->cgroup, members, CANDIDATES_MAX), count = 0;
	for (size_t i = 0; i < all; i++)
		if (proc_is_of(members[i], event->uid))
			members[count++] = members[i];
	if (count == 1 && all < CANDIDATES_MAX) {
		culprit->pid = members[0];
		proc_name(culprit->pid, culprit->name, sizeof(culprit->name));
	} else if (count > 0) {
		names_join(members, count, culprit->name, sizeof(culprit->name));
	}
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void find(struct culprit_search *search, const struct escape_event *event, struct culprit *culprit)
{
	struct sock_diag_match matches[CANDIDATES_MAX];
	size_t count = sockets_find(search, event, matches);
	pid_t pids[CANDIDATES_MAX];
	size_t found = 0;
	for (size_t i = 0; i < count; i++) {
		pid_t pid = proc_find(&search->proc, matches[i].inode, event->uid);
		if (pid > 0 && !is_among(pids, found, pid))
			pids[found++] = pid;
	}
	if (found == 1) {
		culprit->pid = pids[0];
		proc_name(culprit->pid, culprit->name, sizeof(culprit->name));
		proc_cgroup(culprit->pid, culprit->cgroup, sizeof(culprit->cgroup));
	} else if (found > 1) {
		names_join(pids, found, culprit->name, sizeof(culprit->name));
	} else if (count > 0 && matches[0].cgroup > 0) {
		group_find(search, matches[0].cgroup, event, culprit);
	}
}

void culprit_find(struct culprit_search *search, const struct escape_event *event, struct culprit *culprit)
{
	*culprit = (struct culprit){0};
	/* What is forwarded has no socket here. */
	if (event->uid == ESCAPE_UNKNOWN)
		return;
	uint64_t second = clock_us(CLOCK_MONOTONIC) / 1000000;
	if (second != search->second) {
		search->second = second;
		search->spent_us = 0;
	}
	if (search->spent_us >= CULPRIT_BUDGET_MS * 1000)
		return;
	/* Processor time: on a busy machine a search lasts longer and takes no more. */
	uint64_t start = clock_us(CLOCK_THREAD_CPUTIME_ID);
	find(search, event, culprit);
	search->spent_us += clock_us(CLOCK_THREAD_CPUTIME_ID) - start;
}
