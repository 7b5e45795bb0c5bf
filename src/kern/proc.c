#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Processes that a search considers at most, the youngest of them. */
#define PIDS_MAX 8192

static bool step(struct proc *proc)
{
	if (proc->steps == 0)
		return false;
	proc->steps--;
	return true;
}

static bool is_number(const char *text)
{
	return isdigit((unsigned char)text[0]);
}

/* Whether a descriptor's link is `link`: "socket:[INODE]". */
static bool is_socket(struct proc *proc, int directory, const char *name, const char *link)
{
	char target[64];
	ssize_t len = readlinkat(directory, name, target, sizeof(target) - 1);
	if (len < 0) {
		proc->denied = proc->denied || errno == EACCES;
		return false;
	}
	target[len] = '\0';
	return strcmp(target, link) == 0;
}

static bool is_there(struct proc *proc, const struct proc_place *place, const char *link)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)place->pid, place->fd);
	return is_socket(proc, AT_FDCWD, path, link);
}

/* Whether a process has the socket open, and where. */
static bool has_socket(struct proc *proc, pid_t pid, const char *link, struct proc_place *place)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	if (!step(proc))
		return false;
	DIR *dir = opendir(path);
	if (!dir) {
		proc->denied = proc->denied || errno == EACCES;
		return false;
	}
	bool found = false;
	const struct dirent *entry;
	while (!found && (entry = readdir(dir)) && step(proc))
		if (is_number(entry->d_name) && is_socket(proc, dirfd(dir), entry->d_name, link)) {
			*place = (struct proc_place){pid, (int)strtol(entry->d_name, NULL, 10)};
			found = true;
		}
	closedir(dir);
	return found;
}

static pid_t remember(struct proc *proc, struct proc_place place)
{
	size_t at = 0;
	while (at < PROC_RECENT - 1 && proc->recent[at].pid != place.pid)
		at++;
	memmove(&proc->recent[1], &proc->recent[0], at * sizeof(proc->recent[0]));
	proc->recent[0] = place;
	return place.pid;
}

/* The running processes in ascending order, the youngest where there are too many; the caller frees them. */
static pid_t *pids_list(size_t *count)
{
	*count = 0;
	pid_t *pids = malloc(PIDS_MAX * sizeof(*pids));
	DIR *dir = pids ? opendir("/proc") : NULL;
	if (!dir)
		return pids;
	const struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (!is_number(entry->d_name))
			continue;
		if (*count == PIDS_MAX) {
			memmove(pids, pids + PIDS_MAX / 2, PIDS_MAX / 2 * sizeof(*pids));
			*count = PIDS_MAX / 2;
		}
		pids[(*count)++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(dir);
	return pids;
}

/* Cheap, and wrong for a process that gave up another user's rights: the kernel hides these behind root. */
static bool seems_of(pid_t pid, uint32_t uid)
{
	char path[32];
	struct stat stat;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return lstat(path, &stat) == 0 && stat.st_uid == uid;
}

pid_t proc_find(struct proc *proc, uint64_t inode, uint32_t uid)
{
	char link[64];
	snprintf(link, sizeof(link), "socket:[%llu]", (unsigned long long)inode);
	proc->steps = PROC_STEPS;
	proc->denied = false;
	for (size_t i = 0; i < PROC_RECENT && proc->recent[i].pid > 0 && step(proc); i++)
		if (is_there(proc, &proc->recent[i], link))
			return remember(proc, proc->recent[i]);
	struct proc_place place;
	for (size_t i = 0; i < PROC_RECENT && proc->recent[i].pid > 0; i++)
		if (has_socket(proc, proc->recent[i].pid, link, &place))
			return remember(proc, place);

	size_t count;
	pid_t *pids = step(proc) ? pids_list(&count) : NULL;
	if (!pids)
		return 0;
	/* First those that run as the socket's user, then those that gave up what they were. */
	bool found = false;
	for (int pass = 0; pass < 2 && !found; pass++)
		for (size_t i = count; i > 0 && !found && step(proc); i--)
			found = seems_of(pids[i - 1], uid) == (pass == 0) &&
				has_socket(proc, pids[i - 1], link, &place);
	free(pids);
	return found ? remember(proc, place) : 0;
}

/* The first bytes of a file of a process, terminated; "" on failure. */
static void file_read(pid_t pid, const char *name, char *text, size_t size)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, size - 1);
	text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

bool proc_is_of(pid_t pid, uint32_t uid)
{
	char text[1024];
	file_read(pid, "status", text, sizeof(text));
	/* Real and effective. */
	const char *line = strstr(text, "\nUid:");
	unsigned real, effective;
	return line && sscanf(line, "\nUid: %u %u", &real, &effective) == 2 && effective == uid;
}

void proc_name(pid_t pid, char *name, size_t size)
{
	file_read(pid, "comm", name, size);
	name[strcspn(name, "\n")] = '\0';
}

/* The unified hierarchy's line is "0::PATH". */
void proc_cgroup(pid_t pid, char *path, size_t size)
{
	char text[4096];
	path[0] = '\0';
	file_read(pid, "cgroup", text, sizeof(text));
	for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, "0::", 3) == 0)
			snprintf(path, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
}
