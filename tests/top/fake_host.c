#include "fake_host.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fake_host_init(struct fake_host *fake)
{
	strcpy(fake->root, "/tmp/mxm-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fake->root));
	fake->host = (struct host){fake->root};
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *walk)
{
	(void)about;
	(void)type;
	(void)walk;
	return remove(path);
}

void fake_host_done(struct fake_host *fake)
{
	ck_assert_int_eq(nftw(fake->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void fake_host_file(struct fake_host *fake, const char *path, const char *text)
{
	char full[PATH_MAX];
	snprintf(full, sizeof(full), "%s%s", fake->root, path);
	for (char *slash = full + strlen(fake->root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		ck_assert(mkdir(full, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	FILE *to = fopen(full, "we");
	ck_assert_msg(to != NULL, "%s: %s", full, strerror(errno));
	fprintf(to, "%s\n", text);
	ck_assert_int_eq(fclose(to), 0);
}

void fake_host_sysctl(struct fake_host *fake, const char *key, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "/proc/sys/%s", key);
	for (char *dot = path + strlen("/proc/sys/"); (dot = strchr(dot, '.'));)
		*dot = '/';
	fake_host_file(fake, path, text);
}
