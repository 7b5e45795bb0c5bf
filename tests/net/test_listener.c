/* The sockets that are listened on: the ports shared by the workers of one instance, all by nobody else. */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "suite.h"

static struct err err;

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 address;
	socklen_t len = sizeof(address);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return ntohs(address.sin6_port); /* at the same place for v4 */
}

START_TEST(each_worker_has_its_own_socket_for_a_port)
{
	int first = listener_open(0, &err);
	ck_assert_msg(first >= 0, "%s", err.text);
	int second = listener_open(port_of(first), &err);
	ck_assert_msg(second >= 0, "%s", err.text);
	close(second);
	close(first);
}
END_TEST

/* SO_REUSEPORT alone would let a second instance of the same user take half of the connections. */
START_TEST(a_port_that_another_instance_listens_on_is_refused_by_name)
{
	int other = listener_open(0, &err);
	ck_assert_msg(other >= 0, "%s", err.text);
	uint16_t port = port_of(other);
	ck_assert_int_eq(listener_check(port, &err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err.text, "in use by another process"));
	close(other);
	ck_assert_int_eq(listener_check(port, &err), 0);
}
END_TEST

START_TEST(a_control_socket_is_replaced_only_where_nobody_answers)
{
	char path[64];
	snprintf(path, sizeof(path), "/tmp/mxmirage-test-listener-%d", (int)getpid());
	int first = listener_open_unix(path, getgid(), &err);
	ck_assert_msg(first >= 0, "%s", err.text);
	ck_assert_int_eq(listener_open_unix(path, getgid(), &err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	close(first);
	int second = listener_open_unix(path, getgid(), &err);
	ck_assert_msg(second >= 0, "%s", err.text);
	close(second);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listener");
	TCase *tcase = tcase_create("listener");
	tcase_add_test(tcase, each_worker_has_its_own_socket_for_a_port);
	tcase_add_test(tcase, a_port_that_another_instance_listens_on_is_refused_by_name);
	tcase_add_test(tcase, a_control_socket_is_replaced_only_where_nobody_answers);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
