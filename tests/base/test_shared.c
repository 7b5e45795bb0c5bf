#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"
#include "suite.h"

#define COUNT 100000

START_TEST(it_is_zero_and_common_to_forked_processes)
{
	_Atomic uint64_t *numbers = shared_new(COUNT, sizeof(*numbers));
	ck_assert_ptr_nonnull(numbers);
	for (int i = 0; i < COUNT; i++)
		ck_assert_uint_eq(numbers[i], 0);
	pid_t pid = suite_fork();
	if (pid == 0) {
		for (int i = 0; i < COUNT; i++)
			atomic_fetch_add(&numbers[i], 1);
		_exit(0);
	}
	for (int i = 0; i < COUNT; i++)
		atomic_fetch_add(&numbers[i], 2);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < COUNT; i++)
		ck_assert_uint_eq(numbers[i], 3);
	shared_free(numbers, COUNT, sizeof(*numbers));
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	ck_assert_ptr_null(shared_new(SIZE_MAX / 8 + 2, 8));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_null(shared_new(SIZE_MAX / 16, 8));
	ck_assert_ptr_null(shared_new(1, 0));
	shared_free(NULL, 1, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shared");
	TCase *tcase = tcase_create("shared");
	tcase_add_test(tcase, it_is_zero_and_common_to_forked_processes);
	tcase_add_test(tcase, what_cannot_be_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
