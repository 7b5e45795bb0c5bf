#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static pid_t runner;

int suite_run(Suite *suite)
{
	runner = getpid();
	SRunner *all = srunner_create(suite);
	srunner_run_all(all, CK_ENV);
	int failed = srunner_ntests_failed(all);
	srunner_free(all);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

pid_t suite_fork(void)
{
	pid_t parent = getpid();
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		return 0;
	}
	must(child > 0, "fork: %s", strerror(errno));
	return child;
}

/* Where Check forks the tests (CK_FORK=yes), it makes each the leader of a process group. */
static bool is_the_tests_own(void)
{
	return getpid() == runner || getpid() == getpgrp();
}

void must(bool is, const char *format, ...)
{
	if (is)
		return;
	char text[4096];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (is_the_tests_own())
		ck_abort_msg("%s", text);
	fprintf(stderr, "%s\n", text);
	_exit(EXIT_FAILURE);
}

static void assert_own(const char *file, int line)
{
	must(is_the_tests_own(), "%s:%d: an assertion in a process beside the test's own", file, line);
}

/* The linker puts these before Check's own functions: by the first each assertion begins that fails, and each test. */
void __real_send_loc_info(const char *file, int line);
void __wrap_send_loc_info(const char *file, int line);

void __wrap_send_loc_info(const char *file, int line)
{
	assert_own(file, line);
	__real_send_loc_info(file, line);
}

/*
 * And by the second each that holds. Its place is for the parent of a test that crashes; without one nobody reads it, and
 * a test of a million assertions would write 80 MB to /tmp.
 */
void __real__mark_point(const char *file, int line);
void __wrap__mark_point(const char *file, int line);

void __wrap__mark_point(const char *file, int line)
{
	assert_own(file, line);
	if (getpid() != runner)
		__real__mark_point(file, line);
}
