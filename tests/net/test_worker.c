/* A real worker on loopback, with finders of the test's own in place of netfilter's. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "session.h"
#include "suite.h"
#include "worker_scene.h"

/* Every connection was meant for 198.51.100.27:25. */
static int find_fixed(int fd, struct sockaddr_storage *original)
{
	(void)fd;
	struct sockaddr_in *v4 = (struct sockaddr_in *)original;
	*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(25)};
	inet_pton(AF_INET, "198.51.100.27", &v4->sin_addr);
	return 0;
}

/* The kernel cannot say: it is without netfilter, or its entry is gone. */
static int find_none(int fd, struct sockaddr_storage *original)
{
	(void)fd;
	(void)original;
	return -ENOENT;
}

static const struct origdst_finder diverted_finders[] = {
	{"fixed", AF_INET, find_fixed}, {"fixed", AF_INET6, find_fixed}, {0}};
static const struct origdst_finder undiverted_finders[] = {{"listener", AF_INET, served_find_listener}, {0}};
static const struct origdst_finder unknown_finders[] = {{"none", AF_INET, find_none}, {0}};

static void start_diverted(void)
{
	served_start(served_policy(), diverted_finders, NULL);
}

/* Reads until `wanted` replies (last lines) or the end have come; at most 5 s. Returns text in static storage. */
static const char *take(int fd, int wanted)
{
	static char text[65536];
	size_t len = 0;
	int seen = 0;
	text[0] = '\0';
	while (seen < wanted && len + 1 < sizeof(text)) {
		struct pollfd poll_fd = {fd, POLLIN, 0};
		ck_assert_msg(poll(&poll_fd, 1, 5000) == 1, "no reply within 5 s; so far: %s", text);
		ssize_t n = recv(fd, text + len, 1, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		if (text[len - 1] != '\n')
			continue;
		size_t line = len - 1;
		while (line > 0 && text[line - 1] != '\n')
			line--;
		if (text[line + 3] == ' ')
			seen++;
	}
	return text;
}

static bool at_end(int fd)
{
	char byte;
	struct pollfd poll_fd = {fd, POLLIN, 0};
	return poll(&poll_fd, 1, 5000) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static uint64_t count(enum stats_counter counter)
{
	return stats_sum(&served.stats, counter);
}

START_TEST(a_message_is_answered_and_counted)
{
	int fd = dial();
	ck_assert(begins(take(fd, 1), "220 "));
	put(fd, "EHLO mta.example\r\n");
	ck_assert(begins(take(fd, 1), "250-"));
	put(fd, "MAIL FROM:<a@mta.example>\r\nRCPT TO:<b@Gmail.COM>\r\nRCPT TO:<c@yahoo.com>\r\nDATA\r\n");
	take(fd, 4);
	put(fd, "Subject: x\r\n\r\nbody\r\n.\r\n");
	ck_assert(begins(take(fd, 1), "250 2.0.0"));
	ck_assert_uint_eq(count(STATS_MESSAGES_ACCEPTED), 1);
	ck_assert_uint_eq(count(STATS_MESSAGES_BYTES), 20);
	ck_assert_uint_eq(count(STATS_RECIPIENTS_ACCEPTED), 2);

	struct stats_row rows[8];
	ck_assert_uint_eq(stats_rows(&served.stats, STATS_DOMAINS, rows, 8), 3);
	ck_assert(span_is(rows[1].key, "gmail.com"));
	ck_assert_uint_eq(rows[1].fields[STATS_ROW_ACCEPTED], 1);
	ck_assert_uint_eq(stats_rows(&served.stats, STATS_DESTINATIONS, rows, 8), 2);
	ck_assert(span_equal(rows[1].key, (struct span){"\xc6\x33\x64\x1b", 4}));
	ck_assert_uint_eq(rows[1].fields[STATS_ROW_ACCEPTED], 1);
	ck_assert_uint_eq(stats_rows(&served.stats, STATS_SOURCES, rows, 8), 2);
	ck_assert(span_equal(rows[1].key, (struct span){"\x7f\0\0\x01", 4}));
	put(fd, "QUIT\r\n");
	ck_assert(begins(take(fd, 1), "221 "));
	ck_assert(at_end(fd));
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
}
END_TEST

/* Longer than any buffer: most of it is thrown away in the kernel, and not a byte more. */
START_TEST(chunks_are_thrown_away_to_the_byte)
{
	enum {
		CHUNK = 700000
	};
	static char chunk[CHUNK];
	for (size_t i = 0; i < CHUNK; i++)
		chunk[i] = "QUIT\r\n"[i % 6];
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\nMAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\n");
	take(fd, 3);
	for (int i = 0; i < 3; i++) {
		put(fd, "BDAT 700000\r\n");
		for (size_t sent = 0; sent < CHUNK;) {
			ssize_t n = send(fd, chunk + sent, CHUNK - sent, MSG_NOSIGNAL);
			ck_assert_int_gt(n, 0);
			sent += (size_t)n;
		}
	}
	put(fd, "BDAT 6 LAST\r\nx\n.\r\nyQUIT\r\n");
	const char *replies = take(fd, 5);
	ck_assert(begins(replies, "250 2.0.0 "));
	ck_assert_ptr_nonnull(strstr(replies, "\r\n221 "));
	ck_assert(at_end(fd));
	close(fd);
	ck_assert_uint_eq(count(STATS_MESSAGES_ACCEPTED), 1);
	ck_assert_uint_eq(count(STATS_MESSAGES_BYTES), 3 * CHUNK + 6);
}
END_TEST

START_TEST(a_connection_lost_in_a_chunk_is_counted_as_aborted)
{
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\nMAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\nBDAT 100\r\n");
	take(fd, 3);
	put(fd, "half of a chu");
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
	ck_assert_uint_eq(count(STATS_MESSAGES_ABORTED), 1);
	ck_assert_uint_eq(count(STATS_MESSAGES_ACCEPTED), 0);
}
END_TEST

START_TEST(refused_recipients_make_a_failed_message)
{
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\nMAIL FROM:<a@mta.example>\r\nRCPT TO:<tempfail@gmail.com>\r\nRSET\r\n"
		"MAIL FROM:<a@mta.example>\r\nRCPT TO:<x-permfail@gmail.com>\r\nQUIT\r\n");
	const char *replies = take(fd, 7);
	ck_assert_ptr_nonnull(strstr(replies, "\r\n451 4.7.1 "));
	ck_assert_ptr_nonnull(strstr(replies, "\r\n550 5.7.1 "));
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
	ck_assert_uint_eq(count(STATS_MESSAGES_TEMPFAIL), 1);
	ck_assert_uint_eq(count(STATS_MESSAGES_PERMFAIL), 1);
	ck_assert_uint_eq(count(STATS_RECIPIENTS_TEMPFAIL), 1);
	ck_assert_uint_eq(count(STATS_RECIPIENTS_PERMFAIL), 1);
	ck_assert_uint_eq(count(STATS_MESSAGES_ACCEPTED), 0);
}
END_TEST

START_TEST(a_message_announced_too_large_is_counted)
{
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\nMAIL FROM:<a@mta.example> SIZE=999999999999\r\n"
		"MAIL FROM:<a@mta.example> SIZE=99999999999999999999\r\nMAIL FROM:<a@mta.example> "
		"SIZE=1\r\n");
	const char *replies = take(fd, 4);
	ck_assert_ptr_nonnull(strstr(replies, "\r\n552 5.3.4 Message size exceeds limit\r\n552 5.3.4 "));
	ck_assert_ptr_nonnull(strstr(replies, "\r\n250 2.1.0 Ok\r\n"));
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
	ck_assert_uint_eq(count(STATS_MESSAGES_PERMFAIL), 2);
}
END_TEST

START_TEST(a_connection_lost_in_the_body_is_counted_as_aborted)
{
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\nMAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\nDATA\r\n");
	take(fd, 4);
	put(fd, "half a mess");
	close(fd);
	ck_assert(comes_to(STATS_MESSAGES_ABORTED, 1));
	ck_assert_uint_eq(count(STATS_MESSAGES_ACCEPTED), 0);
	ck_assert_uint_eq(count(STATS_RECIPIENTS_ACCEPTED), 0);
}
END_TEST

/* facts, row 14, over a socket: what came before the banner is refused. */
START_TEST(talking_before_the_banner)
{
	/* The listener's backlog holds the connection and its first bytes until the worker accepts it: stop it so. */
	struct err err;
	int listener = listener_open(0, &err);
	served.port = served_port_of(listener);
	int fd = dial();
	put(fd, "EHLO early.example\r\n");
	usleep(50000);
	const struct policy *policy = served_policy();
	const struct worker_setup setup = {
		.listeners = &listener,
		.listener_count = 1,
		.policy = policy,
		.finders = diverted_finders,
		.block = stats_block(&served.stats, 0),
		.state = &served.state,
	};
	struct worker *second = worker_start(&setup, &err);
	policy_unref(policy);
	ck_assert_ptr_nonnull(second);
	ck_assert(begins(take(fd, 1), "554 "));
	ck_assert(at_end(fd));
	close(fd);
	worker_stop(second);
}
END_TEST

/* facts, row 47: what is sent after a close for cause buys no time. */
START_TEST(dripping_after_the_goodbye)
{
	int fd = dial();
	take(fd, 1);
	put(fd, "GET / HTTP/1.0\r\n");
	ck_assert(begins(take(fd, 1), "421 "));
	int i = 0;
	while (i < 80 && send(fd, "x", 1, MSG_NOSIGNAL) == 1 && count(STATS_CONNECTIONS_CLOSED) == 0) {
		usleep(100000);
		i++;
	}
	ck_assert_int_lt(i, 80);
	close(fd);
}
END_TEST

/* facts, row 45 */
/* What is left unread resets the connection: not before the client has its last reply. */
START_TEST(talking_behind_quit)
{
	static char group[64 * 1024];
	int fd = dial();
	ck_assert(begins(take(fd, 1), "220 "));
	memset(group, 'x', sizeof(group));
	memcpy(group, "QUIT\r\n", 6);
	ck_assert_int_eq(send(fd, group, sizeof(group), MSG_NOSIGNAL), sizeof(group));
	ck_assert(begins(take(fd, 1), "221 "));
	ck_assert(at_end(fd));
	close(fd);
	ck_assert(comes_to(STATS_CONNECTIONS_CLOSED, 1));
}
END_TEST

START_TEST(half_close_after_a_command)
{
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\n");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	ck_assert(begins(take(fd, 1), "250-"));
	ck_assert(at_end(fd));
	close(fd);
}
END_TEST

/* facts, row 59: without rules in the way, a direct connection is served and told apart. */
START_TEST(undiverted_is_accepted_and_counted)
{
	served_start(served_policy(), undiverted_finders, NULL);
	int fd = dial();
	ck_assert(begins(take(fd, 1), "220 "));
	ck_assert_uint_eq(count(STATS_UNDIVERTED), 1);
	ck_assert_uint_eq(count(STATS_UNKNOWN_DESTINATION), 0);
	close(fd);
	served_stop();
}
END_TEST

START_TEST(unknown_is_accepted_and_counted)
{
	served_start(served_policy(), unknown_finders, NULL);
	int fd = dial();
	ck_assert(begins(take(fd, 1), "220 "));
	ck_assert_uint_eq(count(STATS_UNDIVERTED), 0);
	ck_assert_uint_eq(count(STATS_UNKNOWN_DESTINATION), 1);
	close(fd);
	served_stop();
}
END_TEST

/* What one recv() brings of replies to a group that was sent at once. */
static const char *answer_in_one_write(int fd, const char *group)
{
	static char text[1024];
	take(fd, 1);
	put(fd, "EHLO mta.example\r\n");
	take(fd, 1);
	put(fd, group);
	struct pollfd poll_fd = {fd, POLLIN, 0};
	ck_assert_int_eq(poll(&poll_fd, 1, 5000), 1);
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	return text;
}

START_TEST(a_pipelined_group_is_answered_in_one_write)
{
	int fd = dial();
	const char *text =
		answer_in_one_write(fd, "MAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\nDATA\r\n");
	ck_assert(begins(text, "250 "));
	ck_assert_ptr_nonnull(strstr(text, "\r\n354 "));
	close(fd);
}
END_TEST

/* Also where the chunk is longer than one read. */
START_TEST(a_group_with_a_chunk_is_answered_in_one_write)
{
	static char group[20100] =
		"MAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\nBDAT 20000 LAST\r\n";
	memset(group + strlen(group), 'x', 20000);
	int fd = dial();
	const char *text = answer_in_one_write(fd, group);
	ck_assert(begins(text, "250 2.1.0 "));
	ck_assert_ptr_nonnull(strstr(text, "\r\n250 2.1.5 "));
	ck_assert_ptr_nonnull(strstr(text, "\r\n250 2.0.0 "));
	close(fd);
}
END_TEST

/*
 * A client that sends commands and never reads: it is not read from any more, and holds no more than the
 * socket buffers and one read of input. Once it reads, every reply comes, in order and number.
 */
START_TEST(replies_that_nobody_reads_stop_the_reading)
{
	int fd = dial();
	take(fd, 1);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	const char line[] = "NOOP\r\n";
	static char block[6 * 10000];
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = line[i % 6];
	size_t sent = 0, at = 0;
	for (int quiet = 0; quiet < 20 && sent < 64u << 20;) {
		ssize_t n = send(fd, block + at, sizeof(block) - at, MSG_NOSIGNAL);
		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			usleep(10000);
			quiet++;
			continue;
		}
		quiet = 0;
		sent += (size_t)n;
		at = (at + (size_t)n) % sizeof(block);
	}
	ck_assert_uint_lt(sent, 64u << 20);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	size_t replies = 0, commands = sent / 6;
	static char text[65536];
	for (;;) {
		struct pollfd poll_fd = {fd, POLLIN, 0};
		ck_assert_int_eq(poll(&poll_fd, 1, 5000), 1);
		ssize_t n = recv(fd, text, sizeof(text), 0);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			replies += text[i] == '\n';
	}
	ck_assert_uint_eq(replies, commands);
	close(fd);
}
END_TEST

/* facts, row 54: without descriptors accept() pauses instead of spinning, and recovers. */
START_TEST(no_descriptors_no_spin)
{
	struct rlimit before, tight;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	int first = dial(), waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	take(first, 1);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(served.port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* Not poll(), which counts its descriptors against the limit. */
	const struct timeval patience = {5, 0};
	ck_assert_int_eq(setsockopt(first, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	tight = before;
	tight.rlim_cur = 0; /* no new descriptor at all in this process, so none for an assertion either */
	bool limited = setrlimit(RLIMIT_NOFILE, &tight) == 0;
	int connected = connect(waiting, (struct sockaddr *)&to, sizeof(to));
	uint64_t pauses = 0;
	for (int i = 0; i < 1000 && pauses == 0; i++) {
		usleep(10000);
		pauses = count(STATS_ACCEPT_BACKOFFS);
	}
	usleep(350000);
	uint64_t more = count(STATS_ACCEPT_BACKOFFS) - pauses;
	/* Who is there already is served meanwhile. */
	char reply[64] = "";
	ssize_t sent = send(first, "NOOP\r\n", 6, MSG_NOSIGNAL), got = 0;
	got = recv(first, reply, sizeof(reply) - 1, 0);
	bool restored = setrlimit(RLIMIT_NOFILE, &before) == 0;
	ck_assert(limited && restored);
	ck_assert_int_eq(connected, 0);
	ck_assert_int_eq(sent, 6);
	ck_assert_int_gt(got, 0);
	ck_assert(begins(reply, "250 "));
	ck_assert_uint_ge(pauses, 1);
	/* Ten a second; who spins comes to thousands. */
	ck_assert_uint_le(more, 100);
	ck_assert(begins(take(waiting, 1), "220 "));
	close(waiting);
	close(first);
}
END_TEST

START_TEST(stopping_says_goodbye)
{
	served_start(served_policy(), diverted_finders, NULL);
	int fd = dial();
	take(fd, 1);
	served_stop();
	ck_assert(begins(take(fd, 1), "421 4.3.2 "));
	ck_assert(at_end(fd));
	close(fd);
}
END_TEST

/* The reason is the resolver's, and so is the text. The listeners are the worker's to close all the same. */
START_TEST(name_servers_that_cannot_be_read_are_named)
{
	struct err err = {""};
	int listener = listener_open(0, &err);
	ck_assert_msg(listener >= 0, "%s", err.text);
	const struct policy *policy = served_policy();
	const struct worker_setup setup = {
		.listeners = &listener,
		.listener_count = 1,
		.policy = policy,
		.finders = undiverted_finders,
		.resolve = true,
		.dns_servers = "ns.example",
	};
	ck_assert_ptr_null(worker_start(&setup, &err));
	ck_assert_msg(strstr(err.text, "\"ns.example\"") != NULL, "%s", err.text);
	ck_assert_int_eq(fcntl(listener, F_GETFD), -1);
	policy_unref(policy);
}
END_TEST

/* facts, row 32's first part: more recipients than fit inline. */
/* The engine's own limit, past which no provider is asked. */
START_TEST(recipients_too_many_are_counted)
{
	enum {
		LIMIT = 1000,
		MORE = 7
	};
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\nMAIL FROM:<a@mta.example>\r\n");
	for (int i = 0; i < LIMIT + MORE; i++)
		put(fd, "RCPT TO:<x@gmail.com>\r\n");
	put(fd, "DATA\r\n");
	take(fd, 2 + LIMIT + MORE + 1);
	put(fd, "x\r\n.\r\n");
	ck_assert(begins(take(fd, 1), "250 "));
	ck_assert_uint_eq(count(STATS_MESSAGES_ACCEPTED), 1);
	ck_assert_uint_eq(count(STATS_RECIPIENTS_ACCEPTED), LIMIT);
	ck_assert_uint_eq(count(STATS_RECIPIENTS_TEMPFAIL), MORE);
	close(fd);
}
END_TEST

START_TEST(many_recipients_are_all_counted)
{
	int fd = dial();
	take(fd, 1);
	put(fd, "EHLO mta.example\r\nMAIL FROM:<a@mta.example>\r\n");
	take(fd, 2);
	for (int i = 0; i < 1000; i++) {
		char line[64];
		snprintf(line, sizeof(line), "RCPT TO:<u%d@d%d.example>\r\n", i, i % 10);
		put(fd, line);
	}
	take(fd, 1000);
	put(fd, "DATA\r\n");
	ck_assert(begins(take(fd, 1), "354 "));
	put(fd, "\r\n.\r\n");
	ck_assert(begins(take(fd, 1), "250 "));
	ck_assert_uint_eq(count(STATS_RECIPIENTS_ACCEPTED), 1000);
	struct stats_row rows[16];
	ck_assert_uint_eq(stats_rows(&served.stats, STATS_DOMAINS, rows, 16), 11);
	for (int i = 1; i <= 10; i++)
		ck_assert_uint_eq(rows[i].fields[STATS_ROW_ACCEPTED], 100);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("worker");
	TCase *cases = tcase_create("served");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, start_diverted, served_stop);
	tcase_add_test(cases, a_message_is_answered_and_counted);
	tcase_add_test(cases, chunks_are_thrown_away_to_the_byte);
	tcase_add_test(cases, a_connection_lost_in_a_chunk_is_counted_as_aborted);
	tcase_add_test(cases, refused_recipients_make_a_failed_message);
	tcase_add_test(cases, a_message_announced_too_large_is_counted);
	tcase_add_test(cases, a_connection_lost_in_the_body_is_counted_as_aborted);
	tcase_add_test(cases, talking_before_the_banner);
	tcase_add_test(cases, dripping_after_the_goodbye);
	tcase_add_test(cases, talking_behind_quit);
	tcase_add_test(cases, half_close_after_a_command);
	tcase_add_test(cases, a_pipelined_group_is_answered_in_one_write);
	tcase_add_test(cases, a_group_with_a_chunk_is_answered_in_one_write);
	tcase_add_test(cases, replies_that_nobody_reads_stop_the_reading);
	tcase_add_test(cases, no_descriptors_no_spin);
	tcase_add_test(cases, many_recipients_are_all_counted);
	tcase_add_test(cases, recipients_too_many_are_counted);
	suite_add_tcase(suite, cases);
	TCase *alone = tcase_create("alone");
	tcase_add_test(alone, undiverted_is_accepted_and_counted);
	tcase_add_test(alone, unknown_is_accepted_and_counted);
	tcase_add_test(alone, stopping_says_goodbye);
	tcase_add_test(alone, name_servers_that_cannot_be_read_are_named);
	suite_add_tcase(suite, alone);
	return suite_run(suite);
}
