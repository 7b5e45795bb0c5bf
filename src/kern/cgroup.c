#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Groups looked at in one search: a host has hundreds. */
#define GROUPS_MAX 10000
#define DEPTH_MAX  16

/* Where the unified hierarchy is mounted: alone, or beside the older ones. NULL: nowhere. */
static const char *root(void)
{
	static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	struct statfs fs;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return places[i];
	return NULL;
}

struct walk {
	uint64_t id;
	char *path; /* of the group at hand, below the root */
	size_t size;
	unsigned groups, depth;
};

/* A group's number is its directory's inode. directory: taken over. */
static bool walk(struct walk *at, int directory)
{
	DIR *dir = fdopendir(directory);
	if (!dir) {
		close(directory);
		return false;
	}
	bool found = false;
	size_t len = strlen(at->path);
	const struct dirent *entry;
	while (!found && (entry = readdir(dir)) && at->groups < GROUPS_MAX) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		at->groups++;
		if ((size_t)snprintf(at->path + len, at->size - len, "/%s", entry->d_name) >=
			at->size - len) {
			at->path[len] = '\0';
			continue;
		}
		found = entry->d_ino == at->id;
		if (!found && at->depth < DEPTH_MAX) {
			int below = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			at->depth++;
			found = below >= 0 && walk(at, below);
			at->depth--;
		}
		if (!found)
			at->path[len] = '\0';
	}
	closedir(dir);
	return found;
}

void cgroup_path(uint64_t id, char *path, size_t size)
{
	path[0] = '\0';
	const char *place = root();
	int directory = place ? open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct walk at = {.id = id, .path = path, .size = size};
	if (directory >= 0 && !walk(&at, directory))
		path[0] = '\0';
}

size_t cgroup_members(const char *path, pid_t *pids, size_t max)
{
	char file[512];
	const char *place = root();
	if (!place || (size_t)snprintf(file, sizeof(file), "%s%s/cgroup.procs", place, path) >= sizeof(file))
		return 0;
	FILE *from = fopen(file, "re");
	size_t count = 0;
	int pid;
	while (from && count < max && fscanf(from, "%d", &pid) == 1)
		pids[count++] = pid;
	if (from)
		fclose(from);
	return count;
}
