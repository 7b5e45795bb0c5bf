#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "suite.h"

/* What a call writes to standard error. */
static char written[8192];

static void begin(int pipe_fds[2], int *kept)
{
	ck_assert_int_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
	*kept = dup(STDERR_FILENO);
	dup2(pipe_fds[1], STDERR_FILENO);
}

static void end(int pipe_fds[2], int kept)
{
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(pipe_fds[1]);
	ssize_t n = read(pipe_fds[0], written, sizeof(written) - 1);
	written[n > 0 ? n : 0] = '\0';
	close(pipe_fds[0]);
}

#define WRITTEN(call)                   \
	do {                            \
		int pipe_fds[2], kept;  \
		begin(pipe_fds, &kept); \
		call;                   \
		end(pipe_fds, kept);    \
	} while (0)

START_TEST(each_line_is_a_line)
{
	unsetenv("JOURNAL_STREAM");
	WRITTEN(log_error("f.toml:1: one\nf.toml:2: two"));
	ck_assert_str_eq(written, "mxmirage error: f.toml:1: one\nmxmirage error: f.toml:2: two\n");
	WRITTEN(log_info("ready\n"));
	ck_assert_str_eq(written, "mxmirage info: ready\n");
}
END_TEST

START_TEST(control_characters_are_shown_as_such)
{
	WRITTEN(log_warning("a\x1b[31m\r\x7f"));
	ck_assert_str_eq(written, "mxmirage warning: a?[31m??\n");
}
END_TEST

START_TEST(journald_reads_the_priority)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	WRITTEN(log_error("x"));
	unsetenv("JOURNAL_STREAM");
	ck_assert_str_eq(written, "<3>mxmirage error: x\n");
}
END_TEST

START_TEST(a_long_text_is_cut_to_one_line)
{
	char text[5000];
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	WRITTEN(log_info("%s", text));
	ck_assert_uint_le(strlen(written), 2048);
	ck_assert_int_eq(written[strlen(written) - 1], '\n');
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");
	tcase_add_test(tcase, each_line_is_a_line);
	tcase_add_test(tcase, control_characters_are_shown_as_such);
	tcase_add_test(tcase, journald_reads_the_priority);
	tcase_add_test(tcase, a_long_text_is_cut_to_one_line);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
