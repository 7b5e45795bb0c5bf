/*
 * suite: the end of every test program's main(), and the processes that a test has beside its own. Only the test's own
 * may use Check's assertions, which write to a file whose position all of them share, and where tests are forked also if
 * they hold. Such an assertion in another process ends that process and says where; it would spoil the file once in a
 * hundred runs else.
 */
#ifndef TEST_SUITE_H
#define TEST_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <sys/types.h>

/* Runs the suite, which is gone then; how loudly, CK_VERBOSITY says. The program's exit status. */
int suite_run(Suite *suite);

/* fork(); what comes of it is killed when the test's process ends, however that ends. Fails the test on an error. */
pid_t suite_fork(void);

/* The assertion that any process may make: fails the test in its own, ends another with the text. */
void must(bool is, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
