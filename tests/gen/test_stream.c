#include "stream.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

#define HEADER "To: <user@example.com>\r\n\r\n"
#define TAIL   ".\r\nQUIT\r\n"
#define LARGE  300000

static const size_t sizes[] = {0, 1, 1000, 32767, 32768, 65536, LARGE};

/* Not one octet like the one a page further on, so that a wrong place in the file shows. */
static char *make_text(size_t len)
{
	char *text = malloc(len + 1);
	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + (i / 4096 + i) % 26);
	return text;
}

/* Writes the parts to the end and reads along; returns how much came. */
static size_t send_all(
	const struct span *parts, unsigned count, const struct stream_shared *shared, char *came)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	struct stream stream = {.fd = pair[0]};
	size_t all = 0, sent = 0, got = 0;
	for (unsigned i = 0; i < count; i++)
		all += parts[i].len;
	/* Bounded: each turn sends or reads something. */
	for (unsigned turns = 0; got < all && turns < 100000; turns++) {
		struct iovec left[3];
		unsigned used = 0;
		size_t skip = sent;
		for (unsigned i = 0; i < count; i++) {
			size_t skipped = skip < parts[i].len ? skip : parts[i].len;
			skip -= skipped;
			if (skipped < parts[i].len)
				left[used++] = (struct iovec){
					(char *)parts[i].data + skipped, parts[i].len - skipped};
		}
		ssize_t n = used ? stream_write(&stream, left, used, shared) : -EAGAIN;
		ck_assert_msg(n > 0 || n == -EAGAIN, "%zd", n);
		sent += n > 0 ? (size_t)n : 0;
		n = read(pair[1], came + got, 1 + turns % 9000);
		got += n > 0 ? (size_t)n : 0;
	}
	ck_assert_uint_eq(sent, all);
	close(pair[1]);
	stream_close(&stream);
	return got;
}

START_TEST(what_is_shared_arrives_as_it_is)
{
	size_t len = sizes[_i];
	char *text = make_text(len);
	struct stream_shared shared;
	stream_share(&shared, (struct span){text, len});
	if (len >= 65536)
		ck_assert_int_ge(shared.file, 0);
	if (len <= 1000)
		ck_assert_int_eq(shared.file, -1);
	const struct span parts[] = {{HEADER, sizeof(HEADER) - 1}, {text, len}, {TAIL, sizeof(TAIL) - 1}};
	char *came = malloc(len + 1000), *wanted = malloc(len + 1000);
	ck_assert(came && wanted);
	size_t wanted_len = (size_t)(stpcpy(wanted, HEADER) - wanted);
	memcpy(wanted + wanted_len, text, len);
	wanted_len = (size_t)(stpcpy(wanted + wanted_len + len, TAIL) - wanted);

	ck_assert_uint_eq(send_all(parts, 3, &shared, came), wanted_len);
	ck_assert_mem_eq(came, wanted, wanted_len);
	/* Alone, and at the end: as by BDAT. */
	ck_assert_uint_eq(send_all(parts + 1, 1, &shared, came), len);
	ck_assert_mem_eq(came, text, len);
	ck_assert_uint_eq(send_all(parts, 2, &shared, came), sizeof(HEADER) - 1 + len);
	ck_assert_mem_eq(came, wanted, sizeof(HEADER) - 1 + len);
	stream_share_done(&shared);
	ck_assert_int_eq(shared.file, -1);
	/* Without its file it goes from memory. */
	ck_assert_uint_eq(send_all(parts, 3, &shared, came), wanted_len);
	ck_assert_mem_eq(came, wanted, wanted_len);
	free(came);
	free(wanted);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gen/stream");
	TCase *cases = tcase_create("all");
	tcase_add_loop_test(cases, what_is_shared_arrives_as_it_is, 0, sizeof(sizes) / sizeof(sizes[0]));
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
