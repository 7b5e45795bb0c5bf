/* The watch over a responder that answers, or does not, under a clock that the test moves. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "fake_clock.h"
#include "health.h"
#include "suite.h"

static struct event_base *base;
static struct responder_process responder;
static struct health health;
static int other_end;

static void start(void)
{
	struct err err;
	int pair[2];
	ck_assert_int_eq(control_pair(pair, &err), 0);
	responder = (struct responder_process){.pid = suite_fork(), .channel = pair[0]};
	if (responder.pid == 0) {
		for (;;)
			pause();
	}
	other_end = pair[1];
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	ck_assert_int_eq(health_open(&health, base, &responder, &err), 0);
	health_heard(&health);
}

static void stop(void)
{
	health_close(&health);
	event_base_free(base);
	close(responder.channel);
	close(other_end);
	kill(responder.pid, SIGKILL);
	waitpid(responder.pid, NULL, 0);
}

/* So many seconds pass, and the beats that were due. */
static void pass(long seconds)
{
	fake_clock_pass(seconds);
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void answer(void)
{
	struct control_message message;
	struct err err;
	ck_assert_int_eq(control_receive(other_end, &message, &err), 1);
	ck_assert_int_eq(message.type, CONTROL_PING);
	health_heard(&health);
}

static bool is_alive(void)
{
	siginfo_t info = {0};
	usleep(50 * 1000);
	ck_assert_int_eq(waitid(P_PID, (id_t)responder.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid == 0;
}

START_TEST(who_answers_lives)
{
	for (int i = 0; i < 20; i++) {
		pass(2);
		answer();
	}
	ck_assert(is_alive());
}
END_TEST

START_TEST(who_is_silent_is_killed)
{
	/* 10 seconds, and a beat that comes at once. */
	for (int beats = 0; beats < 4; beats++) {
		pass(2);
		ck_assert(is_alive());
	}
	pass(2);
	pass(2);
	int alive = 0;
	while (alive < 100 && is_alive())
		alive++;
	ck_assert_int_lt(alive, 100);
}
END_TEST

/* The warden was stopped, or got no processor: that it heard nothing is no fault of the responder's. */
START_TEST(a_pause_of_the_warden_is_not_held_against_it)
{
	pass(2);
	answer();
	pass(60);
	ck_assert(is_alive());
	answer();
	pass(2);
	ck_assert(is_alive());
}
END_TEST

START_TEST(who_has_not_announced_itself_is_not_expected_to_answer)
{
	health_forget(&health);
	for (int i = 0; i < 20; i++)
		pass(2);
	ck_assert(is_alive());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("health");
	TCase *cases = tcase_create("responder");
	unsetenv("WATCHDOG_USEC");
	tcase_add_checked_fixture(cases, start, stop);
	tcase_add_test(cases, who_answers_lives);
	tcase_add_test(cases, who_is_silent_is_killed);
	tcase_add_test(cases, a_pause_of_the_warden_is_not_held_against_it);
	tcase_add_test(cases, who_has_not_announced_itself_is_not_expected_to_answer);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
