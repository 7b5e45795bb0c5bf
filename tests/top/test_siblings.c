#include <check.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "siblings.h"
#include "suite.h"

#define PROCESSES 4

static struct siblings siblings;
static struct event_base *base;
static struct err err, ended_err;
static enum control_type answered;
static int answers, ends, warden[2];

/* What a sibling does here: it answers PING, passes a descriptor's byte on, and ends with its channel. */
static void serve(int channel)
{
	struct control_message message;
	while (control_receive(channel, &message, NULL) == 1) {
		if (message.type == CONTROL_PING)
			control_say(channel, CONTROL_PONG, 0, "", NULL);
		if (message.fd_count == 1 && write(message.fds[0], "x", 1) != 1)
			_exit(1);
		for (size_t i = 0; i < message.fd_count; i++)
			close(message.fds[i]);
	}
	_exit(0);
}

static void on_answer(void *arg, enum control_type type)
{
	(void)arg;
	answers++;
	answered = type;
	event_base_loopbreak(base);
}

static void on_end(void *arg, const struct err *why)
{
	(void)arg;
	ends++;
	ended_err = *why;
	event_base_loopbreak(base);
}

static void setup(void)
{
	answers = ends = 0;
	ck_assert_int_eq(control_pair(warden, &err), 0);
	int channel = warden[1];
	int number = siblings_fork(&siblings, PROCESSES, &channel, &err);
	/* Before any assertion: each writes to the file that Check reads, which all share. */
	if (number > 0)
		serve(channel);
	ck_assert_int_eq(number, 0);
	ck_assert_int_eq(channel, warden[1]);
	ck_assert_uint_eq(siblings.count, PROCESSES - 1);
	base = event_base_new();
	ck_assert_int_eq(siblings_watch(&siblings, base, on_answer, on_end, NULL, &err), 0);
}

static void teardown(void)
{
	siblings_end(&siblings);
	/* None is left, dead or alive. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	event_base_free(base);
	close(warden[0]);
	close(warden[1]);
}

/* At most 10 s of the loop. */
static void run(void)
{
	event_base_loopexit(base, &(struct timeval){10, 0});
	event_base_dispatch(base);
}

START_TEST(all_have_to_answer)
{
	const struct control_message ping = {.type = CONTROL_PING};
	for (int round = 1; round <= 3; round++) {
		ck_assert_int_eq(siblings_ask_all(&siblings, &ping, CONTROL_PONG, &err), 0);
		run();
		ck_assert_int_eq(answers, round);
		ck_assert_int_eq(answered, CONTROL_PONG);
	}
	/* One that hangs: no answer of the others makes up for it. */
	ck_assert_int_eq(kill(siblings.others[1].pid, SIGSTOP), 0);
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(siblings_ask_all(&siblings, &ping, CONTROL_PONG, &err), 0);
		event_base_loopexit(base, &(struct timeval){0, 100000});
		event_base_dispatch(base);
	}
	ck_assert_int_eq(answers, 3);
	ck_assert_int_eq(kill(siblings.others[1].pid, SIGCONT), 0);
}
END_TEST

START_TEST(late_answers_count_for_their_question)
{
	const struct control_message ping = {.type = CONTROL_PING};
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(kill(siblings.others[i].pid, SIGSTOP), 0);
	for (int round = 0; round < 2; round++)
		ck_assert_int_eq(siblings_ask_all(&siblings, &ping, CONTROL_PONG, &err), 0);
	/* The two of the first, and the two of the third: enough answers for one question, but not to one. */
	ck_assert_int_eq(kill(siblings.others[0].pid, SIGCONT), 0);
	event_base_loopexit(base, &(struct timeval){0, 200000});
	event_base_dispatch(base);
	ck_assert_int_eq(answers, 0);
	ck_assert_int_eq(kill(siblings.others[1].pid, SIGCONT), 0);
	run();
	if (answers == 1)
		run();
	ck_assert_int_eq(answers, 2);
}
END_TEST

START_TEST(one_alone_answers_at_once)
{
	struct siblings none = {.on_answered = on_answer};
	const struct control_message ping = {.type = CONTROL_PING};
	ck_assert_int_eq(siblings_ask_all(&none, &ping, CONTROL_PONG, &err), 0);
	ck_assert_int_eq(answers, 1);
}
END_TEST

START_TEST(descriptors_reach_the_one_meant)
{
	int fds[2];
	char byte;
	for (unsigned number = 1; number < PROCESSES; number++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		struct control_message message = {.type = CONTROL_WORKER, .fd_count = 1, .fds = {fds[1]}};
		ck_assert_int_eq(siblings_send(&siblings, number, &message, &err), 0);
		close(fds[1]);
		ck_assert_int_eq(read(fds[0], &byte, 1), 1);
		/* Nobody else holds it. */
		ck_assert_int_eq(read(fds[0], &byte, 1), 0);
		close(fds[0]);
	}
}
END_TEST

START_TEST(a_death_is_told)
{
	pid_t dead = siblings.others[2].pid;
	ck_assert_int_eq(kill(dead, SIGKILL), 0);
	run();
	ck_assert_int_eq(ends, 1);
	char named[16];
	snprintf(named, sizeof(named), "%d", (int)dead);
	ck_assert_ptr_nonnull(strstr(ended_err.text, named));
}
END_TEST

START_TEST(they_do_not_outlive_the_first)
{
	/* A first one of its own, which is killed. The pipe is held by its family alone. */
	int fds[2];
	char byte;
	ck_assert_int_eq(pipe(fds), 0);
	pid_t first = suite_fork();
	if (first == 0) {
		struct siblings family;
		int pair[2];
		if (control_pair(pair, NULL) < 0 || siblings_fork(&family, PROCESSES, &pair[1], NULL) < 0)
			_exit(1);
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	ck_assert_int_eq(kill(first, SIGKILL), 0);
	ck_assert_int_eq(waitpid(first, NULL, 0), first);
	signal(SIGALRM, SIG_DFL); /* Check's handler ends the process group */
	alarm(60);
	ck_assert_int_eq(read(fds[0], &byte, 1), 0);
	alarm(0);
	close(fds[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("siblings");
	TCase *tcase = tcase_create("siblings");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, all_have_to_answer);
	tcase_add_test(tcase, late_answers_count_for_their_question);
	tcase_add_test(tcase, one_alone_answers_at_once);
	tcase_add_test(tcase, descriptors_reach_the_one_meant);
	tcase_add_test(tcase, a_death_is_told);
	tcase_add_test(tcase, they_do_not_outlive_the_first);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
