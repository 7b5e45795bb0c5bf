/* The kernel has a limit of what one user's processes watch (epoll(7), max_user_watches): a worker at that limit. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "suite.h"
#include "worker_scene.h"

static atomic_bool exhausted;

/* In place of the C library's. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	if (operation == EPOLL_CTL_ADD && atomic_load(&exhausted)) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

static const struct origdst_finder finders[] = {{"listener", AF_INET, served_find_listener}, {0}};

static void start(void)
{
	atomic_store(&exhausted, false);
	served_start(served_policy(), finders, NULL);
}

/* All that comes until the end, 5 s at most. False where there is none. */
static bool read_all(int fd, char *text, size_t size)
{
	size_t len = 0;
	struct pollfd poll_fd = {fd, POLLIN, 0};
	while (len + 1 < size && poll(&poll_fd, 1, 5000) == 1) {
		ssize_t n = recv(fd, text + len, size - 1 - len, 0);
		if (n <= 0)
			return true;
		len += (size_t)n;
		text[len] = '\0';
	}
	return false;
}

/* Nobody would ever see what it says. Each is tried once, and then there is a pause: no line a connection in the log. */
START_TEST(who_cannot_be_watched_is_not_kept)
{
	char text[512] = "";
	atomic_store(&exhausted, true);
	int fd = dial();
	ck_assert_msg(read_all(fd, text, sizeof(text)), "kept; so far: %s", text);
	ck_assert(comes_to(STATS_ACCEPT_BACKOFFS, 1));
	close(fd);
	atomic_store(&exhausted, false);
	fd = dial();
	put(fd, "QUIT\r\n");
	ck_assert(read_all(fd, text, sizeof(text)));
	ck_assert_msg(strncmp(text, "554 ", 4) == 0 || strstr(text, "\r\n221 "), "%s", text);
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, stats_sum(&served.stats, STATS_CONNECTIONS)));
}
END_TEST

/* It was to be waited for until it closes, and will not be seen to. */
START_TEST(who_can_be_watched_no_more_is_let_go)
{
	char text[512] = "";
	int fd = dial();
	struct pollfd poll_fd = {fd, POLLIN, 0};
	ck_assert_int_eq(poll(&poll_fd, 1, 5000), 1);
	atomic_store(&exhausted, true);
	put(fd, "NOOP\n");
	ck_assert(read_all(fd, text, sizeof(text)));
	ck_assert_msg(strstr(text, "\r\n550 "), "%s", text);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
	close(fd);
}
END_TEST

/* A pause of accept() takes the listeners out of the loop: they come back as soon as they can. */
START_TEST(listeners_come_back)
{
	struct rlimit before, tight;
	char text[512] = "";
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(served.port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	tight = before;
	tight.rlim_cur = 0; /* no new descriptor at all in this process, so none for an assertion either */
	bool limited = setrlimit(RLIMIT_NOFILE, &tight) == 0;
	int connected = connect(fd, (struct sockaddr *)&to, sizeof(to));
	while (stats_sum(&served.stats, STATS_ACCEPT_BACKOFFS) == 0)
		usleep(1000);
	atomic_store(&exhausted, true);
	bool restored = setrlimit(RLIMIT_NOFILE, &before) == 0;
	usleep(350000);
	atomic_store(&exhausted, false);
	ck_assert(limited && restored);
	ck_assert_int_eq(connected, 0);
	put(fd, "QUIT\r\n");
	ck_assert_msg(read_all(fd, text, sizeof(text)), "nobody accepts");
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watches");
	TCase *cases = tcase_create("watches");
	tcase_set_timeout(cases, 30);
	tcase_add_checked_fixture(cases, start, served_stop);
	tcase_add_test(cases, who_cannot_be_watched_is_not_kept);
	tcase_add_test(cases, who_can_be_watched_no_more_is_let_go);
	tcase_add_test(cases, listeners_come_back);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
