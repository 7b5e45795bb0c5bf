#include "reply_reader.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
	const char *stream,
		*read; /* "code text" of last lines, "code+text" of others; "!" where it is malformed */
} streams[] = {
	{"220 mx.example ready\r\n", "220 mx.example ready|"},
	{"250-one\r\n250-two\r\n250 three\r\n354 go\r\n", "250+one|250+two|250 three|354 go|"},
	{"250\r\n", "250 |"},
	{"250 \r\n", "250 |"},
	{"250 bare line end\n", "250 bare line end|"},
	{"550 5.1.1 <a@b>: no\r\n", "550 5.1.1 <a@b>: no|"},
	{"hello\r\n", "!"},
	{"2\r\n", "!"},
	{"\r\n", "!"},
	{"250_x\r\n", "!"},
	{"999 x\r\n", "!"},
	{"012 x\r\n", "!"},
	{"250 ok\r\nHTTP/1.1 400 Bad Request\r\n", "250 ok|!"},
};

/* What is read of a stream that comes in chunks. */
static const char *read_all(const char *stream, size_t chunk)
{
	static char told[4096];
	struct reply_reader reader = {{0}, 0, 0};
	size_t len = strlen(stream), at = 0;
	told[0] = '\0';
	while (at < len) {
		struct span in = {stream + at, len - at < chunk ? len - at : chunk};
		at += in.len;
		struct reply_line line;
		enum reply_read read;
		while ((read = reply_read(&reader, &in, &line)) == REPLY_LINE)
			snprintf(told + strlen(told), sizeof(told) - strlen(told), "%u%c%.*s|", line.code,
				line.last ? ' ' : '+', (int)line.text.len, line.text.data);
		if (read == REPLY_MALFORMED) {
			strcat(told, "!");
			return told;
		}
		ck_assert_uint_eq(in.len, 0);
	}
	return told;
}

START_TEST(any_chunking_reads_the_same)
{
	for (size_t chunk = 1; chunk <= strlen(streams[_i].stream); chunk++)
		ck_assert_str_eq(read_all(streams[_i].stream, chunk), streams[_i].read);
}
END_TEST

START_TEST(long_lines_are_cut)
{
	char stream[3000], expected[REPLY_LINE_KEPT];
	memset(stream, 'x', sizeof(stream));
	memcpy(stream, "550 ", 4);
	memcpy(stream + sizeof(stream) - 3, "\r\n", 3);
	for (size_t chunk = 1; chunk < 64; chunk += 7) {
		const char *told = read_all(stream, chunk);
		ck_assert_uint_eq(strlen(told), REPLY_LINE_KEPT + 1);
		snprintf(expected, sizeof(expected), "%.*s", REPLY_LINE_KEPT - 1, stream);
		ck_assert_msg(strncmp(told, expected, REPLY_LINE_KEPT - 1) == 0, "%s", told);
	}
}
END_TEST

START_TEST(endless_replies_are_malformed)
{
	struct reply_reader reader = {{0}, 0, 0};
	struct reply_line line;
	unsigned lines = 0;
	for (;;) {
		struct span in = span_of("250-more\r\n");
		if (reply_read(&reader, &in, &line) != REPLY_LINE)
			break;
		ck_assert_uint_lt(++lines, 1000);
	}
	ck_assert_uint_eq(lines, REPLY_LINES_MAX - 1);
}
END_TEST

static const struct {
	const char *text, *enhanced;
} texts[] = {
	{"4.2.1 The user", "4.2.1"},
	{"5.7.515 Access denied", "5.7.515"},
	{"5.1.1", "5.1.1"},
	{"", ""},
	{"no", ""},
	{"5.1", ""},
	{"5.1. x", ""},
	{"5.1.1x", ""},
	{"5.1.1234 x", ""},
	{"192.168.1.1 is listed", ""},
};

START_TEST(enhanced_codes_are_found)
{
	struct span found = reply_enhanced(span_of(texts[_i].text));
	ck_assert_uint_eq(found.len, strlen(texts[_i].enhanced));
	ck_assert(span_equal(found, span_of(texts[_i].enhanced)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reply_reader");
	TCase *tcase = tcase_create("reply_reader");
	tcase_add_loop_test(tcase, any_chunking_reads_the_same, 0, ROWS(streams));
	tcase_add_test(tcase, long_lines_are_cut);
	tcase_add_test(tcase, endless_replies_are_malformed);
	tcase_add_loop_test(tcase, enhanced_codes_are_found, 0, ROWS(texts));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
