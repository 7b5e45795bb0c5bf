#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "suite.h"

static int pair[2];
static struct err err;

static void setup(void)
{
	ck_assert_int_eq(control_pair(pair, &err), 0);
}

static void teardown(void)
{
	close(pair[0]);
	close(pair[1]);
}

START_TEST(a_message_arrives_with_its_descriptors)
{
	int pipe_fds[2];
	ck_assert_int_eq(pipe(pipe_fds), 0);
	struct control_message sent = {.type = CONTROL_FILE, .code = -7, .value = UINT64_MAX, .fd_count = 1},
			       got = {0};
	snprintf(sent.text, sizeof(sent.text), "/etc/x.toml");
	sent.fds[0] = pipe_fds[1];
	ck_assert_int_eq(control_send(pair[0], &sent, &err), 0);
	close(pipe_fds[1]);
	ck_assert_int_eq(control_receive(pair[1], &got, &err), 1);
	ck_assert_int_eq(got.type, CONTROL_FILE);
	ck_assert_int_eq(got.code, -7);
	ck_assert_uint_eq(got.value, UINT64_MAX);
	ck_assert_str_eq(got.text, "/etc/x.toml");
	ck_assert_uint_eq(got.fd_count, 1);
	ck_assert_int_eq(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(write(got.fds[0], "x", 1), 1);
	char x;
	ck_assert_int_eq(read(pipe_fds[0], &x, 1), 1);
	close(got.fds[0]);
	close(pipe_fds[0]);
}
END_TEST

/* A responder that does not read must not hold the warden, and with it the guard, for ever. */
START_TEST(the_warden_does_not_wait_for_ever)
{
	const struct control_message message = {.type = CONTROL_CONFIG};
	time_t begun = time(NULL);
	int code = 0;
	for (int i = 0; i < 100000 && code == 0; i++)
		code = control_send(pair[0], &message, &err);
	ck_assert_int_eq(code, -EAGAIN);
	ck_assert_int_le(time(NULL) - begun, 2 * CONTROL_PATIENCE_S);
}
END_TEST

START_TEST(as_many_descriptors_as_a_worker_may_have_listeners)
{
	struct control_message sent = {.type = CONTROL_WORKER, .fd_count = CONTROL_FDS_MAX}, got = {0};
	for (size_t i = 0; i < CONTROL_FDS_MAX; i++)
		sent.fds[i] = STDERR_FILENO;
	ck_assert_int_eq(control_send(pair[0], &sent, &err), 0);
	ck_assert_int_eq(control_receive(pair[1], &got, &err), 1);
	ck_assert_uint_eq(got.fd_count, CONTROL_FDS_MAX);
	for (size_t i = 0; i < got.fd_count; i++)
		ck_assert_int_eq(close(got.fds[i]), 0);
}
END_TEST

START_TEST(the_end_is_told_from_a_message)
{
	struct control_message got = {0};
	close(pair[0]);
	ck_assert_int_eq(control_receive(pair[1], &got, &err), 0);
	ck_assert_uint_eq(got.fd_count, 0);
	pair[0] = -1;
}
END_TEST

START_TEST(a_broken_message_is_an_error)
{
	struct control_message got = {0};
	ck_assert_int_eq(send(pair[0], "short", 5, 0), 5);
	ck_assert_int_eq(control_receive(pair[1], &got, &err), -EPROTO);
	ck_assert_ptr_nonnull(strstr(err.text, "restart mxmirage"));
}
END_TEST

START_TEST(a_long_text_is_cut)
{
	char text[2 * CONTROL_TEXT_MAX];
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	struct control_message got = {0};
	ck_assert_int_eq(control_say(pair[1], CONTROL_RELOADED, 0, text, &err), 0);
	ck_assert_int_eq(control_receive(pair[0], &got, &err), 1);
	ck_assert_uint_eq(strlen(got.text), CONTROL_TEXT_MAX - 1);
}
END_TEST

/* Each end full of what the other has not read: neither may wait for the other. */
START_TEST(who_says_something_never_waits)
{
	for (int end = 0; end < 2; end++) {
		int code = 0;
		for (int i = 0; i < 100000 && code == 0; i++)
			code = control_say(pair[end], CONTROL_REFRESH, 0, "", &err);
		ck_assert_int_eq(code, -EAGAIN);
	}
	struct control_message got = {0};
	ck_assert_int_eq(control_receive(pair[1], &got, &err), 1);
	ck_assert_int_eq(control_say(pair[0], CONTROL_REFRESH, 0, "", &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control");
	TCase *tcase = tcase_create("control");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_message_arrives_with_its_descriptors);
	tcase_add_test(tcase, the_warden_does_not_wait_for_ever);
	tcase_add_test(tcase, as_many_descriptors_as_a_worker_may_have_listeners);
	tcase_add_test(tcase, the_end_is_told_from_a_message);
	tcase_add_test(tcase, a_broken_message_is_an_error);
	tcase_add_test(tcase, a_long_text_is_cut);
	tcase_add_test(tcase, who_says_something_never_waits);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
