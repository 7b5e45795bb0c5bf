#include "conf_text.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10

static const struct {
	int (*check)(const char *text, struct err *err);
	const char *text;
	const char *says; /* what the error must hold; NULL where the text is good */
} cases[] = {
	{conf_text_file, "", NULL},
	{conf_text_file, "responses.toml", NULL},
	{conf_text_file, "/etc/mxmirage/responses.toml", NULL},
	{conf_text_file, "/etc/mxmirage/", "directory's path"},
	{conf_text_servers, "", NULL},
	{conf_text_servers, "192.0.2.53", NULL},
	{conf_text_servers, "192.0.2.53:5353,2001:db8::53,[2001:db8::53]:53", NULL},
	{conf_text_servers, "192.0.2.53,", "no server's address"},
	{conf_text_servers, "192.0.2.53:", "no server's address"},
	{conf_text_servers, "192.0.2.53:x", "no server's address"},
	{conf_text_servers, "[2001:db8::53]53", "no server's address"},
	{conf_text_servers, "ns.example", "no server's address"},
	{conf_text_hostname, "mx.mxmirage.test", NULL},
	{conf_text_hostname, "localhost", NULL},
	{conf_text_hostname, "3com.example", NULL},
	{conf_text_hostname, "xn--bcher-kva.example", NULL},
	{conf_text_hostname, X60 "yyy.test", NULL},
	{conf_text_hostname, X60 "." X60 "." X60 "." X60 ".yyyyyyyyy", NULL},
	{conf_text_hostname, X60 "." X60 "." X60 "." X60 ".yyyyyyyyyy", "longer than"},
	{conf_text_hostname, X60 "yyyy.test", "1 to 63 letters"},
	{conf_text_hostname, "", "is not a host name"},
	{conf_text_hostname, "mx..test", "the label \"\""},
	{conf_text_hostname, "mx.test.", "the label \"\""},
	{conf_text_hostname, ".test", "the label \"\""},
	{conf_text_hostname, "mx_1.test", "the label \"mx_1\""},
	{conf_text_hostname, "-mx.test", "the label \"-mx\""},
	{conf_text_hostname, "mx-.test", "the label \"mx-\""},
	{conf_text_hostname, "mx test", "is not a host name"},
	{conf_text_hostname, "b\303\274cher.test", "is not a host name"},
	{conf_text_hostname, "192.0.2.1", "ends in a number"},
	{conf_text_hostname, "[192.0.2.1]", "is not a host name"},

	{conf_text_socket, "/run/mxmirage/control.sock", NULL},
	{conf_text_socket, "/" X60 X10 X10 X10 X10 "123456", NULL},
	{conf_text_socket, "/" X60 X10 X10 X10 X10 "1234567", "108 bytes; at most 107"},
	{conf_text_socket, "control.sock", "not an absolute path"},
	{conf_text_socket, "", "not an absolute path"},
	{conf_text_socket, "/run/mxmirage/", "names a directory"},

	{conf_text_path, "/run/mxmirage/counts", NULL},
	{conf_text_path, "/" X60 X60 X60, NULL},
	{conf_text_path, "counts", "not an absolute path"},
	{conf_text_path, "/", "names a directory"},

	{conf_text_user, "", NULL},
	{conf_text_user, "mxmirage", NULL},
	{conf_text_user, "_mx-mirage.1", NULL},
	{conf_text_user, "root", "must have no privilege"},
	{conf_text_user, "0", "not a user's name"},
	{conf_text_user, "-mx", "not a user's name"},
	{conf_text_user, "mx mirage", "not a user's name"},
	{conf_text_user, X10 X10 X10 "xxx", "not a user's name"},
};

START_TEST(text_is_judged)
{
	struct err err = {.text = "untouched"};
	int result = cases[_i].check(cases[_i].text, &err);
	if (cases[_i].says) {
		ck_assert_int_eq(result, -EINVAL);
		ck_assert_msg(strstr(err.text, cases[_i].says), "%s", err.text);
	} else {
		ck_assert_msg(result == 0, "%s", err.text);
		ck_assert_str_eq(err.text, "untouched");
	}
}
END_TEST

START_TEST(path_has_a_limit)
{
	char path[4097];
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[4096] = '\0';
	struct err err;
	ck_assert_int_eq(conf_text_path(path, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, "4096 bytes; at most 4095"), "%s", err.text);
	path[4095] = '\0';
	ck_assert_int_eq(conf_text_path(path, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conf_text");
	TCase *tcase = tcase_create("conf_text");
	tcase_add_loop_test(tcase, text_is_judged, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, path_has_a_limit);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
