#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int path_below(const struct host *host, const char *path, char full[PATH_MAX])
{
	int len = snprintf(full, PATH_MAX, "%s%s", host->root, path);
	return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int host_read(const struct host *host, const char *path, char *text, size_t size)
{
	char full[PATH_MAX];
	int code = path_below(host, path, full);
	if (code < 0)
		return code;
	int fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t len = 0;
	ssize_t got = 1;
	while (got > 0 && len + 1 < size) {
		got = read(fd, text + len, size - 1 - len);
		if (got > 0)
			len += (size_t)got;
	}
	code = got < 0 ? -errno : 0;
	close(fd);
	if (code < 0)
		return code;
	while (len > 0 && strchr(" \t\n", text[len - 1]))
		len--;
	text[len] = '\0';
	return (int)len;
}

bool host_exists(const struct host *host, const char *path)
{
	char full[PATH_MAX];
	struct stat about;
	return path_below(host, path, full) == 0 && lstat(full, &about) == 0;
}

int host_sysctl_text(const struct host *host, const char *key, char *text, size_t size)
{
	char path[256];
	int used = snprintf(path, sizeof(path), "/proc/sys/%s", key);
	if (used < 0 || (size_t)used >= sizeof(path))
		return -ENAMETOOLONG;
	for (char *dot = path + strlen("/proc/sys/"); (dot = strchr(dot, '.'));)
		*dot = '/';
	int len = host_read(host, path, text, size);
	for (int i = 0; i < len; i++)
		if (text[i] == '\t')
			text[i] = ' ';
	return len;
}

int host_sysctl(const struct host *host, const char *key, uint64_t *values, size_t max)
{
	char text[256];
	int len = host_sysctl_text(host, key, text, sizeof(text));
	if (len < 0)
		return len;
	int count = 0;
	char *at = text, *end;
	while ((size_t)count < max) {
		errno = 0;
		uint64_t value = strtoull(at, &end, 10);
		if (end == at || errno != 0)
			break;
		values[count++] = value;
		at = end;
	}
	return count > 0 ? count : -EBADMSG;
}

bool host_ports_reserved(const char *list, uint16_t first, uint16_t last)
{
	for (unsigned port = first; port <= last; port++) {
		bool found = false;
		for (const char *at = list; *at && !found;) {
			char *end;
			unsigned long low = strtoul(at, &end, 10), high = low;
			if (end == at)
				break;
			if (*end == '-')
				high = strtoul(end + 1, &end, 10);
			found = port >= low && port <= high;
			at = end + strspn(end, ", ");
		}
		if (!found)
			return false;
	}
	return true;
}
