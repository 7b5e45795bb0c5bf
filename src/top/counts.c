#include "counts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* An earlier warden's responder dies with it, but not in the same instant: 50 ms each. */
#define LOCK_TRIES 60
/* Profiles are few. */
#define PROVIDER_ROWS 1024

static int map(struct counts *counts, struct err *err)
{
	void *memory = mmap(NULL, counts->size, PROT_READ | PROT_WRITE, MAP_SHARED, counts->fd, 0);
	if (memory == MAP_FAILED)
		return err_set(err, -errno, "counts: cannot be mapped: %s", strerror(errno));
	counts->stats.memory = memory;
	return 0;
}

static int lock(int fd, const char *file, struct err *err)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(err, -errno, "counts %s: %s", file, strerror(errno));
		nanosleep(&(struct timespec){0, 50 * 1000 * 1000}, NULL);
	}
	return err_set(err, -EBUSY,
		"another mxmirage is running with %s: stop it, or give this one its own "
		"counts.file, admin.socket and listen.ports",
		file);
}

static void make_directory(const char *file)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s", file);
	/* Where this fails, opening the file says why. */
	if (mkdir(dirname(path), 0755) < 0)
		return;
}

/* Takes over what is in the file when it fits; 1 = taken over. */
static int take_over(struct counts *counts, const struct stats_layout *want, struct err *err)
{
	struct stat st;
	if (fstat(counts->fd, &st) < 0)
		return err_set(err, -errno, "counts: %s", strerror(errno));
	if (st.st_size == 0)
		return 0;
	counts->size = (size_t)st.st_size;
	int code = map(counts, err);
	if (code < 0)
		return code;
	/* The lock says that nobody writes. */
	if (stats_attach(&counts->stats, counts->stats.memory, counts->size) &&
		stats_is_sound(&counts->stats)) {
		const struct stats_layout *have = &counts->stats.layout;
		if (memcmp(have->rows, want->rows, sizeof(have->rows)) == 0 && have->blocks >= want->blocks) {
			/* Also those that get no worker now. */
			for (uint32_t i = 0; i < have->blocks; i++)
				stats_block_begin(stats_block(&counts->stats, i));
			return 1;
		}
	}
	munmap(counts->stats.memory, counts->size);
	counts->stats.memory = NULL;
	log_warning("counts-begin-anew reason=\"the file is damaged or of another version, or listen.workers "
		    "or the "
		    "tables' sizes have changed\"");
	return 0;
}

int counts_open(struct counts *counts, const struct conf *conf, struct err *err)
{
	*counts = (struct counts){.fd = -1};
	const char *file = conf->counts.file;
	make_directory(file);
	counts->fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (counts->fd < 0)
		return err_set(err, -errno,
			"counts %s: %s: run as root, or give counts.file and admin.socket paths that this "
			"user may write",
			file, strerror(errno));
	const struct stats_layout layout = {
		.blocks = conf->listen.workers,
		.rows = {conf->counts.domains, conf->counts.destinations, conf->counts.sources,
			PROVIDER_ROWS},
	};
	int code = lock(counts->fd, file, err);
	if (code == 0)
		code = take_over(counts, &layout, err);
	if (code == 1)
		return 0;
	if (code == 0 && ftruncate(counts->fd, 0) < 0)
		code = err_set(err, -errno, "counts %s: %s", file, strerror(errno));
	if (code == 0) {
		counts->size = stats_size(&layout);
		int reserved = posix_fallocate(counts->fd, 0, (off_t)counts->size);
		if (reserved != 0)
			code = err_set(err, -reserved,
				"counts %s: no room for %zu MiB: %s: make room, or "
				"lower listen.workers, counts.domains, counts.destinations, counts.sources",
				file, counts->size >> 20, strerror(reserved));
	}
	if (code == 0)
		code = map(counts, err);
	if (code < 0) {
		counts_close(counts);
		return code;
	}
	stats_format(&counts->stats, counts->stats.memory, &layout, (uint64_t)time(NULL));
	return 0;
}

int counts_adopt(struct counts *counts, int fd, struct err *err)
{
	*counts = (struct counts){.fd = fd};
	struct stat st;
	int code = fstat(fd, &st) < 0 ? err_set(err, -errno, "counts: %s", strerror(errno)) : 0;
	if (code == 0) {
		counts->size = (size_t)st.st_size;
		code = map(counts, err);
	}
	if (code == 0 && !stats_attach(&counts->stats, counts->stats.memory, counts->size))
		code = err_set(err, -EPROTO, "counts: the warden's file is not one");
	if (code < 0)
		counts_close(counts);
	return code;
}

void counts_close(struct counts *counts)
{
	if (counts->stats.memory)
		munmap(counts->stats.memory, counts->size);
	if (counts->fd >= 0)
		close(counts->fd);
	*counts = (struct counts){.fd = -1};
}
