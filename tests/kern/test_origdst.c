#include "origdst.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

/* Finders of the test's own: what the kernel would say is `said`, or an error. */
static struct sockaddr_storage said;
static int failure;

static int say(int fd, struct sockaddr_storage *original)
{
	(void)fd;
	*original = said;
	return failure;
}

static const struct origdst_finder finder4[] = {{"four", AF_INET, say}, {NULL, AF_UNSPEC, NULL}};
static const struct origdst_finder finder6[] = {{"six", AF_INET6, say}, {NULL, AF_UNSPEC, NULL}};

static struct sockaddr_storage address(const char *text, uint16_t port)
{
	struct sockaddr_storage address = {0};
	if (strchr(text, ':')) {
		struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
		ck_assert_int_eq(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
		memcpy(&address, &six, sizeof(six));
	} else {
		struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
		ck_assert_int_eq(inet_pton(AF_INET, text, &four.sin_addr), 1);
		memcpy(&address, &four, sizeof(four));
	}
	return address;
}

/* The socket is bound to [::1]:port or [::ffff:127.0.0.1]:port of a dual-stack socket. */
static const struct {
	const char *local, *peer, *said;
	uint16_t said_port; /* 0: the listener's own */
	int failure;
	const struct origdst_finder *finders;
	enum origdst_result result;
	const char *original;
} cases[] = {
	{"::ffff:127.0.0.1", "::ffff:192.0.2.1", "198.51.100.1", 25, 0, finder4, ORIGDST_DIVERTED,
		"198.51.100.1"},
	{"::1", "2001:db8::2", "2001:db8::1", 25, 0, finder6, ORIGDST_DIVERTED, "2001:db8::1"},
	{"::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1", 0, 0, finder4, ORIGDST_UNDIVERTED, "127.0.0.1"},
	{"::1", "::1", "::1", 0, 0, finder6, ORIGDST_UNDIVERTED, "::1"},
	/* The listener's address with another port is another destination. */
	{"::1", "::1", "::1", 25, 0, finder6, ORIGDST_DIVERTED, "::1"},
	{"::1", "2001:db8::2", "::", 0, -ENOENT, finder6, ORIGDST_UNKNOWN, "::1"},
	{"::ffff:127.0.0.1", "::ffff:192.0.2.1", "0.0.0.0", 0, -ENOPROTOOPT, finder4, ORIGDST_UNKNOWN,
		"127.0.0.1"},
	/* Nobody to ask for this family. */
	{"::1", "2001:db8::2", "2001:db8::1", 25, 0, finder4, ORIGDST_UNKNOWN, "::1"},
	{"::ffff:127.0.0.1", "::ffff:192.0.2.1", "198.51.100.1", 25, 0, finder6, ORIGDST_UNKNOWN,
		"127.0.0.1"},
};

START_TEST(test_results)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	ck_assert_int_ge(fd, 0);
	struct sockaddr_storage local = address(cases[_i].local, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, sizeof(struct sockaddr_in6)), 0);
	socklen_t len = sizeof(local);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&local, &len), 0);
	uint16_t port = ntohs(((struct sockaddr_in6 *)&local)->sin6_port);

	said = address(cases[_i].said, cases[_i].said_port ? cases[_i].said_port : port);
	failure = cases[_i].failure;
	struct sockaddr_storage peer = address(cases[_i].peer, 50000), original;
	ck_assert_int_eq(
		origdst_find(cases[_i].finders, fd, (struct sockaddr *)&peer, &original), cases[_i].result);
	bool diverted = cases[_i].result == ORIGDST_DIVERTED;
	struct sockaddr_storage wanted = address(cases[_i].original, diverted ? cases[_i].said_port : port);
	ck_assert_mem_eq(&original, &wanted, sizeof(struct sockaddr_in6));
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("origdst");
	TCase *tests = tcase_create("origdst");
	tcase_add_loop_test(tests, test_results, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
