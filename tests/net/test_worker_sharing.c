/*
 * What two workers write to while messages go through them: not one page in common, and so no cache line either. The
 * kernel says which pages were written (userfaultfd's asynchronous write protection, Linux 6.7; older ones: skipped).
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tree.h"
#include "listener.h"
#include "suite.h"
#include "worker.h"

/* Of Linux 6.7's headers; Debian 12's are older. */
struct scan {
	uint64_t size, flags, start, end, walk_end, regions, regions_max, pages_max;
	uint64_t inverted, mask, anyof_mask, return_mask;
};
struct region {
	uint64_t start, end, categories;
};
#define SCAN            _IOWR('f', 16, struct scan)
#define SCAN_REPROTECT  1                             /* PM_SCAN_WP_MATCHING */
#define SCAN_ASYNC_ONLY 2                             /* PM_SCAN_CHECK_WPASYNC */
#define PAGE_WRITTEN    2                             /* PAGE_IS_WRITTEN */
#define FEATURES        (1 << 12 | 1 << 13 | 1 << 15) /* WP_HUGETLBFS_SHMEM, WP_UNPOPULATED, WP_ASYNC */

enum {
	SINK,
	SMART,
	MODES,
};

enum {
	WORKERS = 2,
	MESSAGES = 300,
	SETTLES_US = 50000,
	MAPPINGS_MAX = 256,
	REGIONS_MAX = 4096,
};

/* All that the watching itself writes is here or on its stack, and is not watched. */
struct watch {
	int uffd, pagemap;
	size_t mapping_count;
	struct {
		uint64_t start, end;
		char name[64];
	} mappings[MAPPINGS_MAX];
	size_t counts[WORKERS];
	struct region written[WORKERS][REGIONS_MAX];
};

/* Two providers, so that nothing is shared on purpose: what one sender may do at one provider is one row for all. */
#define CALM(name)                                                                                        \
	TABLE(name, ARRAY("domains", TEXT(NULL, name ".test")), TEXT("max_message_rate", "1000000000/s"), \
		NUMBER("connection_limit", 1000))
static const struct toml_node profiles = TABLE("", TABLE("provider", CALM("calm0"), CALM("calm1")));

static const struct stats_layout layout = {.blocks = WORKERS, .rows = {64, 64, 64, 64}};

static int find_fixed(int fd, struct sockaddr_storage *original)
{
	(void)fd;
	struct sockaddr_in *v4 = (struct sockaddr_in *)original;
	*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(25)};
	inet_pton(AF_INET, "198.51.100.27", &v4->sin_addr);
	return 0;
}

static const struct origdst_finder finders[] = {
	{"fixed", AF_INET, find_fixed}, {"fixed", AF_INET6, find_fixed}, {0}};

static struct worker *start(struct stats *stats, struct policy_state *state, const struct policy *policy,
	unsigned index, uint16_t *port)
{
	struct err err = {""};
	int listener = listener_open(0, &err);
	ck_assert_msg(listener >= 0, "%s", err.text);
	struct sockaddr_in6 bound;
	socklen_t len = sizeof(bound);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&bound, &len), 0);
	*port = ntohs(bound.sin6_port);
	const struct worker_setup setup = {
		.index = index,
		.listeners = &listener,
		.listener_count = 1,
		.policy = policy,
		.finders = finders,
		.block = stats_block(stats, index),
		.state = state,
	};
	struct worker *worker = worker_start(&setup, &err);
	ck_assert_msg(worker != NULL, "%s", err.text);
	return worker;
}

static void talk(int fd, const char *text, int replies)
{
	char reply[4096];
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		_exit(1);
	while (replies > 0) {
		ssize_t n = recv(fd, reply, sizeof(reply), 0);
		if (n <= 0)
			_exit(1);
		for (ssize_t i = 0; i < n; i++)
			replies -= reply[i] == '\n';
	}
}

/* In a process of its own: a byte that comes names the worker that MESSAGES messages are for; one goes back. */
static void client(int commands, const uint16_t ports[WORKERS])
{
	int fds[WORKERS];
	for (int i = 0; i < WORKERS; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(ports[i])};
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fds[i], (struct sockaddr *)&to, sizeof(to)) < 0)
			_exit(1);
		talk(fds[i], "", 1);
		talk(fds[i], "HELO mta.example\r\n", 1);
	}
	char which;
	while (read(commands, &which, 1) == 1) {
		char envelope[128];
		snprintf(envelope, sizeof(envelope),
			"MAIL FROM:<a@mta.example>\r\nRCPT TO:<b@calm%d.test>\r\nDATA\r\n", which);
		for (int n = 0; n < MESSAGES; n++) {
			talk(fds[(int)which], envelope, 3);
			talk(fds[(int)which], "Subject: shared\r\n\r\nText.\r\n.\r\n", 1);
		}
		if (write(commands, &which, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

/* The client sends to this worker, which is then waiting again. */
static bool has_sent(int commands, int worker)
{
	char which = (char)worker;
	bool sent = write(commands, &which, 1) == 1 && read(commands, &which, 1) == 1;
	usleep(SETTLES_US);
	return sent;
}

/* False where the kernel cannot do it. */
static bool watch_open(struct watch *watch)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	watch->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* UFFD_USER_MODE_ONLY */);
	watch->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return watch->uffd >= 0 && watch->pagemap >= 0 && ioctl(watch->uffd, UFFDIO_API, &api) == 0;
}

/*
 * Every writable mapping that can be watched; not this thread's stack and its errno, nor the watch itself, nor
 * libevent's own: version 2.1.12 stores the same 1 to one word there (event_debug_mode_too_late) in every event_add()
 * and event_del().
 */
static void watch_mappings(struct watch *watch)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	ck_assert_ptr_nonnull(maps);
	char line[512];
	while (fgets(line, sizeof(line), maps) && watch->mapping_count < MAPPINGS_MAX) {
		unsigned long long from, to;
		char mode[5], name[64] = "";
		if (sscanf(line, "%llx-%llx %4s %*s %*s %*s %63s", &from, &to, mode, name) < 3 ||
			mode[1] != 'w' || strcmp(name, "[stack]") == 0 || strstr(name, "/libevent") ||
			(from <= (uintptr_t)watch && (uintptr_t)watch < to) ||
			(from <= (uintptr_t)&errno && (uintptr_t)&errno < to))
			continue;
		struct uffdio_register range = {.range = {from, to - from}, .mode = UFFDIO_REGISTER_MODE_WP};
		if (ioctl(watch->uffd, UFFDIO_REGISTER, &range) < 0)
			continue; /* a library's initialised data */
		watch->mappings[watch->mapping_count].start = from;
		watch->mappings[watch->mapping_count].end = to;
		memcpy(watch->mappings[watch->mapping_count++].name, name, sizeof(name));
	}
	fclose(maps);
}

/* What was written since the last time. */
static size_t watch_take(const struct watch *watch, struct region *regions)
{
	size_t count = 0;
	for (size_t i = 0; i < watch->mapping_count; i++) {
		struct scan scan = {.size = sizeof(scan),
			.flags = SCAN_REPROTECT | SCAN_ASYNC_ONLY,
			.start = watch->mappings[i].start,
			.end = watch->mappings[i].end,
			.regions = (uintptr_t)(regions + count),
			.regions_max = REGIONS_MAX - count,
			.mask = PAGE_WRITTEN,
			.return_mask = PAGE_WRITTEN};
		int found = ioctl(watch->pagemap, SCAN, &scan);
		if (found < 0)
			return REGIONS_MAX;
		count += (size_t)found;
	}
	return count;
}

static size_t pages_of(const struct region *regions, size_t count)
{
	size_t pages = 0;
	for (size_t i = 0; i < count; i++)
		pages += (regions[i].end - regions[i].start) / 4096;
	return pages;
}

static size_t in_common(const struct watch *watch)
{
	size_t common = 0;
	for (size_t i = 0; i < watch->counts[0]; i++)
		for (size_t j = 0; j < watch->counts[1]; j++) {
			const struct region *a = &watch->written[0][i], *b = &watch->written[1][j];
			uint64_t from = a->start > b->start ? a->start : b->start,
				 to = a->end < b->end ? a->end : b->end;
			for (; from < to; from += 4096, common++)
				for (size_t m = 0; m < watch->mapping_count; m++)
					if (watch->mappings[m].start <= from && from < watch->mappings[m].end)
						fprintf(stderr, "both write to page %#llx of %#llx %s\n",
							(unsigned long long)from,
							(unsigned long long)watch->mappings[m].start,
							watch->mappings[m].name);
		}
	return common;
}

START_TEST(no_written_page_in_common)
{
	struct watch *watch = mmap(NULL, sizeof(*watch), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ck_assert_ptr_ne(watch, MAP_FAILED);
	if (!watch_open(watch)) {
		fprintf(stderr, "skipped: this kernel does not tell which pages were written: %s\n",
			strerror(errno));
		return;
	}
	struct err err;
	struct stats stats;
	struct policy_state state;
	void *memory =
		mmap(NULL, stats_size(&layout), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	ck_assert_int_eq(policy_state_init(&state, &err), 0);
	stats_format(&stats, memory, &layout, 0);
	struct conf *conf = conf_new("test", NULL, 1, &err);
	struct provider_set *set = _i == SMART ? provider_set_new(&err) : NULL;
	ck_assert(conf &&
		  (_i == SINK || (set && provider_set_add(set, "test", &profiles, "current", &err) == 0)));
	struct policy *policy = policy_new(conf, set, 1, &err);
	ck_assert_ptr_nonnull(policy);
	conf_unref(conf);
	struct worker *workers[WORKERS];
	uint16_t ports[WORKERS];
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = start(&stats, &state, policy, i, &ports[i]);
	policy_unref(policy);

	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid_t pid = suite_fork();
	if (pid == 0) {
		close(pair[0]);
		client(pair[1], ports);
	}
	close(pair[1]);
	/* The first time nothing is watched: what is made once is made then. */
	for (int i = 0; i < WORKERS; i++)
		ck_assert(has_sent(pair[0], i));
	watch_mappings(watch);
	/* An assertion writes: none in here. */
	bool sent = true;
	for (int i = 0; i < WORKERS; i++) {
		watch_take(watch, watch->written[i]);
		sent = has_sent(pair[0], i) && sent;
		watch->counts[i] = watch_take(watch, watch->written[i]);
	}
	ck_assert(sent);
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_msg(watch->counts[i] < REGIONS_MAX, "PAGEMAP_SCAN failed");
		size_t pages = pages_of(watch->written[i], watch->counts[i]);
		fprintf(stderr, "%s mode: worker %d wrote to %zu pages for %d messages\n",
			_i == SMART ? "smart" : "sink", i, pages, MESSAGES);
		/* At least its counts and its buffers: else nothing was seen. */
		ck_assert_uint_ge(pages, 3);
		ck_assert_uint_eq(stats_open(stats_block(&stats, (uint32_t)i)), 1);
	}
	ck_assert_uint_eq(in_common(watch), 0);
	ck_assert_uint_eq(stats_sum(&stats, STATS_MESSAGES_ACCEPTED), 2 * WORKERS * MESSAGES);

	close(watch->uffd);
	close(watch->pagemap);
	close(pair[0]);
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (int i = 0; i < WORKERS; i++)
		worker_stop(workers[i]);
	policy_state_done(&state);
	munmap(memory, stats_size(&layout));
	munmap(watch, sizeof(*watch));
}
END_TEST

int main(void)
{
#ifdef __SANITIZE_ADDRESS__
	/* It notes what is in use eight bytes to one: neighbours' notes share a page. */
	return EXIT_SUCCESS;
#endif
	Suite *suite = suite_create("worker_sharing");
	TCase *tcase = tcase_create("sharing");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, no_written_page_in_common, SINK, MODES);
	suite_add_tcase(suite, tcase);
	/* Each in a process that is as fresh as the responder: a heap with holes in it lays out anything anywhere. */
	setenv("CK_FORK", "yes", 1);
	return suite_run(suite);
}
