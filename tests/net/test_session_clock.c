/* Deadlines of sessions, under a clock that the test moves. */
#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_clock.h"
#include "session.h"
#include "suite.h"
#include "worker_scene.h"

static const struct origdst_finder finders[] = {{"listener", AF_INET, served_find_listener}, {0}};

static void start(void)
{
	served_start(served_policy(), finders, NULL);
}

/* The last line of the next reply; empty where the connection ends, 5 s at most. */
static const char *reply(int fd)
{
	static char line[1024];
	for (;;) {
		size_t len = 0;
		do {
			struct pollfd poll_fd = {fd, POLLIN, 0};
			if (poll(&poll_fd, 1, 5000) != 1 || recv(fd, line + len, 1, 0) != 1)
				return "";
		} while (line[len++] != '\n' && len + 1 < sizeof(line));
		line[len] = '\0';
		if (len < 4 || line[3] != '-')
			return line;
	}
}

static void ck_assert_reply(int fd, const char *begins)
{
	const char *line = reply(fd);
	ck_assert_msg(strncmp(line, begins, strlen(begins)) == 0, "\"%s\" in place of \"%s\"", line, begins);
}

static int greet(void)
{
	int fd = dial();
	ck_assert_reply(fd, "220 ");
	put(fd, "EHLO mta.example\r\n");
	ck_assert_reply(fd, "250 ");
	return fd;
}

/* Until the worker has read what was put. */
static void settle(void)
{
	usleep(100 * 1000);
}

/* libevent looks at the time of day again after some seconds: so these pass, too. */
static const long day_is_set_by[] = {-3600, 7200};

START_TEST(setting_the_time_of_day_ends_no_body)
{
	int fd = greet();
	put(fd, "MAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\nDATA\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "354 ");
	put(fd, "half a mess");
	settle();
	fake_clock_set_day(day_is_set_by[_i]);
	fake_clock_pass(10);
	put(fd, "age\r\n");
	settle();
	put(fd, ".\r\n");
	ck_assert_reply(fd, "250 ");
	close(fd);
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_TIMEOUTS), 0);
}
END_TEST

/* Never idle, and yet it is told to go: a command line and one that is too long for any command. */
static const size_t dripped[] = {10, 2000};

START_TEST(a_command_that_drips_is_ended)
{
	int fd = greet();
	char line[2048] = "";
	memset(line, 'x', dripped[_i]);
	put(fd, line);
	for (int passed = 0; passed <= session_limits.command; passed += 100) {
		settle();
		fake_clock_pass(100);
		put(fd, "x");
	}
	ck_assert_reply(fd, "421 4.4.2 ");
	close(fd);
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_TIMEOUTS), 1);
}
END_TEST

START_TEST(a_body_that_drips_is_ended)
{
	int fd = greet();
	put(fd, "MAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\nDATA\r\n");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "250 ");
	ck_assert_reply(fd, "354 ");
	put(fd, "x");
	for (int passed = 0; passed <= session_limits.data; passed += 200) {
		settle();
		fake_clock_pass(200);
		put(fd, "x");
	}
	ck_assert_reply(fd, "421 4.4.2 ");
	close(fd);
	ck_assert(comes_to(STATS_MESSAGES_ABORTED, 1));
}
END_TEST

/* Once, although it stays to the end of all that it is given to read why. */
START_TEST(a_client_that_is_gone_timed_out_once)
{
	int fd = greet();
	fake_clock_pass(session_limits.idle + 1);
	int other = greet(); /* wakes the worker */
	ck_assert_reply(fd, "421 4.4.2 Idle for too long");
	fake_clock_pass(session_limits.linger + 1);
	put(other, "NOOP\r\n");
	ck_assert_reply(other, "250 ");
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
	ck_assert_uint_eq(stats_sum(&served.stats, STATS_TIMEOUTS), 1);
	close(fd);
	close(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session_clock");
	TCase *clock = tcase_create("clock");
	tcase_add_checked_fixture(clock, start, served_stop);
	tcase_set_timeout(clock, 30);
	tcase_add_loop_test(clock, setting_the_time_of_day_ends_no_body, 0, 2);
	tcase_add_loop_test(clock, a_command_that_drips_is_ended, 0, 2);
	tcase_add_test(clock, a_body_that_drips_is_ended);
	tcase_add_test(clock, a_client_that_is_gone_timed_out_once);
	suite_add_tcase(suite, clock);
	return suite_run(suite);
}
