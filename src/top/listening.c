#include "listening.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel's TCP_LISTEN, as /proc/net/tcp prints it. */
#define STATE_LISTEN 0x0a

bool listening_line(const char *line, uint16_t *port, uint64_t *inode)
{
	unsigned local, state;
	if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64,
		    &local, &state, inode) != 3 ||
		state != STATE_LISTEN || local > UINT16_MAX)
		return false;
	*port = (uint16_t)local;
	return true;
}

static bool is_known(const struct listening *found, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (found[i].port == port)
			return true;
	return false;
}

static int table_read(const struct host *host, const char *table, uint16_t first, uint16_t last,
	struct listening *found, size_t count, size_t max)
{
	char path[PATH_MAX], line[512];
	snprintf(path, sizeof(path), "%s%s", host->root, table);
	FILE *from = fopen(path, "re");
	if (!from)
		return -errno;
	while (count < max && fgets(line, sizeof(line), from)) {
		uint16_t port;
		uint64_t inode;
		if (listening_line(line, &port, &inode) && port >= first && port <= last &&
			!is_known(found, count, port))
			found[count++] = (struct listening){.port = port, .inode = inode};
	}
	fclose(from);
	return (int)count;
}

static void process_take(
	const struct host *host, const char *pid, int descriptors, struct listening *found, size_t count)
{
	DIR *dir = fdopendir(descriptors);
	if (!dir) {
		close(descriptors);
		return;
	}
	const struct dirent *entry;
	while ((entry = readdir(dir))) {
		char target[64], path[300];
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		uint64_t inode;
		if (len < 0)
			continue;
		target[len] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) != 1)
			continue;
		for (size_t i = 0; i < count; i++) {
			if (found[i].inode != inode || found[i].pid)
				continue;
			found[i].pid = atoi(pid);
			snprintf(path, sizeof(path), "/proc/%s/comm", pid);
			if (host_read(host, path, found[i].name, sizeof(found[i].name)) < 0)
				strcpy(found[i].name, "?");
		}
	}
	closedir(dir);
}

static void processes_find(const struct host *host, struct listening *found, size_t count)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/proc", host->root);
	DIR *dir = opendir(path);
	if (!dir)
		return;
	const struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/fd", entry->d_name);
		int descriptors = openat(dirfd(dir), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (descriptors >= 0)
			process_take(host, entry->d_name, descriptors, found, count);
	}
	closedir(dir);
}

int listening_find(
	const struct host *host, uint16_t first, uint16_t last, struct listening *found, size_t max)
{
	int count = table_read(host, "/proc/net/tcp", first, last, found, 0, max);
	if (count < 0)
		return count;
	int more = table_read(host, "/proc/net/tcp6", first, last, found, (size_t)count, max);
	if (more > count)
		count = more;
	if (count > 0)
		processes_find(host, found, (size_t)count);
	return count;
}
