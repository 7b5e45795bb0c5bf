/* What keeps the tests' own processes apart: an assertion is Check's in one of them alone. */
#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void holds(void)
{
	must(true, "not reached");
}

static void does_not_hold(void)
{
	must(false, "as it should");
}

static void holds_by_check(void)
{
	ck_assert(true);
}

static const struct {
	void (*act)(void);
	int status;
} acts[] = {{holds, EXIT_SUCCESS}, {does_not_hold, EXIT_FAILURE}, {holds_by_check, EXIT_FAILURE}};

START_TEST(in_another_process)
{
	pid_t pid = suite_fork();
	if (pid == 0) {
		acts[_i].act();
		_exit(EXIT_SUCCESS);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), acts[_i].status);
}
END_TEST

START_TEST(goes_with_the_process_that_made_it)
{
	int fds[2];
	char byte;
	ck_assert_int_eq(pipe(fds), 0);
	pid_t first = suite_fork();
	if (first == 0) {
		/* Makes one more, and ends at once. */
		if (suite_fork() == 0)
			for (;;)
				pause();
		_exit(EXIT_SUCCESS);
	}
	close(fds[1]);
	/* The end of it all: nobody has the pipe any more. */
	ck_assert_int_eq(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	ck_assert_int_eq(waitpid(first, NULL, 0), first);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("suite");
	TCase *tcase = tcase_create("suite");
	tcase_add_loop_test(tcase, in_another_process, 0, (int)(sizeof(acts) / sizeof(acts[0])));
	tcase_add_test(tcase, goes_with_the_process_that_made_it);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
