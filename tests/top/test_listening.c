#include "listening.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"
#include "top/fake_host.h"

static const struct host here = {""};

START_TEST(test_line)
{
	static const char listening[] =
		"   0: 00000000:0FB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000   "
		"104        0 31415 1 ffff8881 100 0 0 10 0";
	static const char v6[] =
		"   1: 00000000000000000000000000000000:1A0A 00000000000000000000000000000000:0000 0A "
		"00000000:00000000 00:00000000 00000000     0        0 2718 1 ffff8881 100 0 0 10 0";
	static const char established[] =
		"   2: 0100007F:0FB9 0100007F:C350 01 00000000:00000000 00:00000000 00000000 "
		"  104        0 31415 1 ffff8881 100 0 0 10 0";
	uint16_t port;
	uint64_t inode;
	ck_assert(listening_line(listening, &port, &inode));
	ck_assert_uint_eq(port, 4025);
	ck_assert_uint_eq(inode, 31415);
	ck_assert(listening_line(v6, &port, &inode));
	ck_assert_uint_eq(port, 6666);
	ck_assert_uint_eq(inode, 2718);
	ck_assert(!listening_line(established, &port, &inode));
	ck_assert(!listening_line("  sl  local_address rem_address   st tx_queue", &port, &inode));
	ck_assert(!listening_line("", &port, &inode));
}
END_TEST

/* A socket of the family on a port that the kernel chooses. */
static int listen_on(int family, uint16_t *port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {.any.sa_family = (sa_family_t)family};
	socklen_t len = family == AF_INET ? sizeof(address.v4) : sizeof(address.v6);
	if (family == AF_INET)
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.v6.sin6_addr = in6addr_loopback;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, &address.any, len), 0);
	ck_assert_int_eq(getsockname(fd, &address.any, &len), 0);
	*port = ntohs(family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
	return fd;
}

START_TEST(test_ourselves)
{
	static const int families[] = {AF_INET, AF_INET6};
	for (int i = 0; i < 2; i++) {
		uint16_t port;
		struct listening found[4];
		int fd = listen_on(families[i], &port);
		/* Bound is not listening. */
		ck_assert_int_eq(listening_find(&here, port, port, found, 4), 0);
		ck_assert_int_eq(listen(fd, 1), 0);
		ck_assert_int_eq(listening_find(&here, port, port, found, 4), 1);
		ck_assert_uint_eq(found[0].port, port);
		ck_assert_int_eq(found[0].pid, getpid());
		ck_assert_str_eq(found[0].name, "test_listening");
		ck_assert_int_eq(listening_find(&here, port, port, found, 0), 0);
		close(fd);
		ck_assert_int_eq(listening_find(&here, port, port, found, 4), 0);
	}
}
END_TEST

START_TEST(test_nobody_to_be_seen)
{
	struct fake_host fake;
	struct listening found[4];
	fake_host_init(&fake);
	ck_assert_int_lt(listening_find(&fake.host, 1, 65535, found, 4), 0);
	fake_host_file(&fake, "/proc/net/tcp",
		"  sl  local_address rem_address\n   0: 00000000:0FB9 00000000:0000 0A 00000000:00000000 "
		"00:00000000 "
		"00000000   104        0 31415 1 0 100 0 0 10 0\n   1: 0100007F:0FB9 00000000:0000 0A "
		"00000000:00000000 00:00000000 00000000   104        0 31416 1 0 100 0 0 10 0");
	ck_assert_int_eq(listening_find(&fake.host, 4025, 4032, found, 4), 1);
	ck_assert_int_eq(found[0].pid, 0);
	ck_assert_int_eq(listening_find(&fake.host, 4026, 4032, found, 4), 0);
	fake_host_done(&fake);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listening");
	TCase *tcase = tcase_create("listening");
	tcase_add_test(tcase, test_line);
	tcase_add_test(tcase, test_ourselves);
	tcase_add_test(tcase, test_nobody_to_be_seen);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
