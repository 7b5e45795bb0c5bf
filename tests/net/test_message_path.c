/* What a message costs: no memory, once the first of a connection has been through. */
#include <check.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"
#include "worker_scene.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTED 0
#else
#define COUNTED 1
#endif

/* Of all threads but the test's own, which Check's assertions let allocate. */
static atomic_ulong allocations;
static _Thread_local bool is_test;

#if COUNTED

static void note(void)
{
	if (!is_test)
		atomic_fetch_add(&allocations, 1);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
	note();
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	note();
	return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	note();
	return __libc_realloc(memory, size);
}

#endif

static const struct origdst_finder finders[] = {{"listener", AF_INET, served_find_listener}, {0}};

static void start(void)
{
	is_test = true;
	served_start(served_policy(), finders, NULL);
}

/* Reads until a line with this code is complete, 5 s at most. */
static bool read_to(int fd, const char *code)
{
	char text[4096];
	size_t len = 0;
	struct pollfd poll_fd = {fd, POLLIN, 0};
	while (len + 1 < sizeof(text) && poll(&poll_fd, 1, 5000) == 1) {
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		text[len] = '\0';
		const char *found = strstr(text, code);
		if (found && strchr(found, '\n'))
			return true;
	}
	return false;
}

/* One by one, and several recipients in each. */
static bool message(int fd)
{
	put(fd, "MAIL FROM:<a@mta.example>\r\nRCPT TO:<b@gmail.com>\r\nRCPT TO:<c@yahoo.com>\r\nDATA\r\n");
	if (!read_to(fd, "354 "))
		return false;
	put(fd, "Subject: x\r\n\r\nbody\r\n.\r\n");
	return read_to(fd, "250 2.0.0");
}

START_TEST(a_message_takes_no_memory)
{
	int fd = dial();
	bool good = read_to(fd, "220 ");
	put(fd, "EHLO mta.example\r\n");
	good = good && read_to(fd, "250 ") && message(fd);
	unsigned long before = atomic_load(&allocations);
	for (int i = 0; i < 100 && good; i++)
		good = message(fd);
	unsigned long after = atomic_load(&allocations);
	ck_assert(good);
	ck_assert_uint_eq(after - before, 0);
	ck_assert(!COUNTED || before > 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("message_path");
	TCase *cases = tcase_create("message_path");
	tcase_set_timeout(cases, 30);
	tcase_add_checked_fixture(cases, start, served_stop);
	tcase_add_test(cases, a_message_takes_no_memory);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
