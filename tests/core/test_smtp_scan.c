#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "smtp_scan.h"
#include "suite.h"

/*
 * The end of data as a table, a byte at a time: what every scanner is held against. A row a state,
 * a column a kind of byte.
 */
enum kind {
	KIND_CR,
	KIND_LF,
	KIND_DOT,
	KIND_OTHER,
	KINDS,
};

static const enum smtp_scan_state table[][KINDS] = {
	[SMTP_SCAN_LINE_START] = {SMTP_SCAN_CR, SMTP_SCAN_TEXT, SMTP_SCAN_DOT, SMTP_SCAN_TEXT},
	[SMTP_SCAN_TEXT] = {SMTP_SCAN_CR, SMTP_SCAN_TEXT, SMTP_SCAN_TEXT, SMTP_SCAN_TEXT},
	[SMTP_SCAN_CR] = {SMTP_SCAN_CR, SMTP_SCAN_LINE_START, SMTP_SCAN_TEXT, SMTP_SCAN_TEXT},
	[SMTP_SCAN_DOT] = {SMTP_SCAN_DOT_CR, SMTP_SCAN_TEXT, SMTP_SCAN_TEXT, SMTP_SCAN_TEXT},
	[SMTP_SCAN_DOT_CR] = {SMTP_SCAN_CR, SMTP_SCAN_END, SMTP_SCAN_TEXT, SMTP_SCAN_TEXT},
};

static enum kind kind_of(char c)
{
	return c == '\r' ? KIND_CR : c == '\n' ? KIND_LF : c == '.' ? KIND_DOT : KIND_OTHER;
}

static size_t scan_by_table(enum smtp_scan_state *state, struct span in, struct smtp_message *message)
{
	for (size_t at = 0; at < in.len; at++) {
		char c = in.data[at];
		bool behind_cr = *state == SMTP_SCAN_CR || *state == SMTP_SCAN_DOT_CR;
		if (behind_cr && c != '\n')
			message->flags |= SMTP_FLAG_BARE_CR;
		if (!behind_cr && c == '\n')
			message->flags |= SMTP_FLAG_BARE_LF;
		if (c == '\0')
			message->flags |= SMTP_FLAG_NUL;
		*state = table[*state][kind_of(c)];
		message->octets += *state != SMTP_SCAN_DOT;
		if (*state == SMTP_SCAN_END) {
			message->octets -= 2;
			return at + 1;
		}
	}
	return in.len;
}

/* Memory between two pages that cannot be read. */
static char *fenced_first, *fenced_end;

static void fence(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *area = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(area, MAP_FAILED);
	ck_assert_int_eq(mprotect(area + page, page, PROT_READ | PROT_WRITE), 0);
	fenced_first = area + page;
	fenced_end = fenced_first + page;
}

/* Scans in, cut in two, and compares with the table. in may be anywhere. */
static void check_scanner(const struct smtp_scanner *scanner, struct span in, size_t cut)
{
	enum smtp_scan_state state = SMTP_SCAN_LINE_START, wanted_state = SMTP_SCAN_LINE_START;
	struct smtp_message got = {0}, wanted = {0};
	size_t wanted_used = scan_by_table(&wanted_state, in, &wanted);
	size_t used = scanner->scan(&state, (struct span){in.data, cut}, &got);
	if (state != SMTP_SCAN_END) {
		ck_assert_uint_eq(used, cut);
		used += scanner->scan(&state, span_from(in, cut), &got);
	}
	ck_assert_msg(used == wanted_used && state == wanted_state && got.octets == wanted.octets &&
			      got.flags == wanted.flags,
		"%s, %zu bytes cut at %zu: used %zu not %zu, state %d not %d, octets %llu not "
		"%llu, "
		"flags %x not %x",
		scanner->name, in.len, cut, used, wanted_used, (int)state, (int)wanted_state,
		(unsigned long long)got.octets, (unsigned long long)wanted.octets, got.flags, wanted.flags);
}

static unsigned random_state;

/* Longer than any stride that a scanner takes at once. */
#define LONG 1500

/* Lines as nearly everybody sends them: what is taken in strides. */
static void fill_with_lines(char *to, size_t len)
{
	for (size_t at = 0; at < len; at++)
		to[at] = at % 78 == 76 ? '\r' : at % 78 == 77 ? '\n' : at % 5 ? 'x' : '.';
}

/* Mostly what bodies are made of, in an order that nobody would send. */
static void fill_with_soup(char *to, size_t len)
{
	static char plain[700];
	fill_with_lines(plain, sizeof(plain));
	const struct span bits[] = {
		{"\r\n", 2},
		{"\r", 1},
		{"\n", 1},
		{".", 1},
		{"\0", 1},
		{"\r\n.", 3},
		{"\r\n.\r", 4},
		{"\r\n..", 4},
		{"a", 1},
		{"bcdefghijklmnopqrstuvwxyz\t0123456789", 37},
		{plain, sizeof(plain)},
		{"\r\n.\r\n", 5},
	};
	/* The last one ends the scan: rare, or little else would be seen. */
	size_t choices = sizeof(bits) / sizeof(bits[0]) - (rand_r(&random_state) % 3 != 0);
	for (size_t at = 0; at < len;) {
		struct span bit = bits[(size_t)rand_r(&random_state) % choices];
		size_t n = bit.len < len - at ? bit.len : len - at;
		memcpy(to + at, bit.data, n);
		at += n;
	}
}

START_TEST(every_scanner_agrees_with_the_table)
{
	const struct smtp_scanner *scanner = &smtp_scanners[_i];
	if (!scanner->usable())
		return;
	random_state = 1;
	for (unsigned round = 0; round < 100; round++) {
		for (size_t len = 0; len <= 200; len++) {
			char *before_fence = fenced_end - len;
			fill_with_soup(before_fence, len);
			size_t cut = (size_t)rand_r(&random_state) % (len + 1);
			check_scanner(scanner, (struct span){before_fence, len}, cut);
			memmove(fenced_first, before_fence, len);
			check_scanner(scanner, (struct span){fenced_first, len}, cut);
		}
	}
}
END_TEST

START_TEST(strides_agree_with_the_table)
{
	const struct smtp_scanner *scanner = &smtp_scanners[_i];
	if (!scanner->usable())
		return;
	random_state = 2;
	for (unsigned round = 0; round < 5000; round++) {
		size_t len = (size_t)rand_r(&random_state) % LONG;
		char *body = fenced_end - len;
		fill_with_soup(body, len);
		check_scanner(scanner, (struct span){body, len}, (size_t)rand_r(&random_state) % (len + 1));
	}
}
END_TEST

/* What a stride may not pass over, at every place that it can have there. */
START_TEST(nothing_odd_is_lost_in_a_stride)
{
	static const struct span odd[] = {
		{"\r", 1},
		{"\n", 1},
		{"\0", 1},
		{"\n.\r\n", 4},
		{"\r\n.\n", 4},
		{"\r\n.\r\r\n", 6},
		{"\r.\r\n", 4},
		{"\r\n.x", 4},
		{"\r\n..\r\n", 6},
		{"\r\n.\r\n", 5},
	};
	const struct smtp_scanner *scanner = &smtp_scanners[_i];
	if (!scanner->usable())
		return;
	char *body = fenced_end - LONG;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		for (size_t at = 0; at + odd[i].len <= LONG; at++) {
			fill_with_lines(body, LONG);
			memcpy(body + at, odd[i].data, odd[i].len);
			check_scanner(scanner, (struct span){body, LONG}, 0);
			check_scanner(scanner, (struct span){body, LONG}, at + odd[i].len / 2);
		}
	}
}
END_TEST

START_TEST(the_end_is_found_at_every_offset_and_cut)
{
	static const char tail[] = "\r\n.\r\n\n\r\0NOOP\r\n";
	const struct smtp_scanner *scanner = &smtp_scanners[_i];
	if (!scanner->usable())
		return;
	for (size_t offset = 0; offset < 700; offset += offset < 140 ? 1 : 61) {
		size_t len = offset + sizeof(tail) - 1;
		char *body = fenced_end - len;
		memset(body, 'x', offset);
		memcpy(body + offset, tail, sizeof(tail) - 1);
		for (size_t cut = 0; cut <= len; cut++)
			check_scanner(scanner, (struct span){body, len}, cut);

		enum smtp_scan_state state = SMTP_SCAN_LINE_START;
		struct smtp_message message = {0};
		size_t used = scanner->scan(&state, (struct span){body, len}, &message);
		ck_assert_int_eq(state, SMTP_SCAN_END);
		ck_assert_uint_eq(used, offset + 5);
		ck_assert_uint_eq(message.octets, offset + 2);
		/* What follows the end is not the message's. */
		ck_assert_uint_eq(message.flags, 0);
	}
}
END_TEST

/* What stands behind the body's first byte, and what RFC 1870 says of it. */
static const struct {
	struct span body;
	enum smtp_scan_state state;
	uint64_t octets;
	uint32_t flags;
} bodies[] = {
	{{".\r\n", 3}, SMTP_SCAN_END, 0, 0},
	{{"\r\n.\r\n", 5}, SMTP_SCAN_END, 2, 0},
	{{"a\r\n.\r\n", 6}, SMTP_SCAN_END, 3, 0},
	{{"..\r\n.\r\n", 7}, SMTP_SCAN_END, 3, 0},
	{{"a\r\n.b\r\n.\r\n", 10}, SMTP_SCAN_END, 6, 0},
	{{"a\n.\r\n", 5}, SMTP_SCAN_LINE_START, 5, SMTP_FLAG_BARE_LF},
	{{"a\r\n.\n", 5}, SMTP_SCAN_TEXT, 4, SMTP_FLAG_BARE_LF},
	{{"a\r\n.\r\r\n", 7}, SMTP_SCAN_LINE_START, 6, SMTP_FLAG_BARE_CR},
	{{"a\r.\r\n", 5}, SMTP_SCAN_LINE_START, 5, SMTP_FLAG_BARE_CR},
	{{"\0\r\n.\r\n", 6}, SMTP_SCAN_END, 3, SMTP_FLAG_NUL},
	{{"a\r\n.\0\r\n", 7}, SMTP_SCAN_LINE_START, 6, SMTP_FLAG_NUL},
};

START_TEST(bodies_are_counted_as_written)
{
	enum smtp_scan_state state = SMTP_SCAN_LINE_START;
	struct smtp_message message = {0};
	ck_assert_uint_eq(smtp_scan(&state, bodies[_i].body, &message), bodies[_i].body.len);
	ck_assert_int_eq(state, bodies[_i].state);
	ck_assert_uint_eq(message.octets, bodies[_i].octets);
	ck_assert_uint_eq(message.flags, bodies[_i].flags);
}
END_TEST

START_TEST(a_state_is_not_lost_before_a_plain_block)
{
	static const char *const starts[] = {"", "a", "a\r", "a\r\n", ".", ".\r"};
	const struct smtp_scanner *scanner = &smtp_scanners[_i];
	if (!scanner->usable())
		return;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		size_t start = strlen(starts[i]), len = start + 64;
		char *body = fenced_end - len;
		memcpy(body, starts[i], start);
		memset(body + start, 'x', 64);
		check_scanner(scanner, (struct span){body, len}, start);
	}
}
END_TEST

int main(void)
{
	int scanners = 0;
	while (smtp_scanners[scanners].name)
		scanners++;
	Suite *suite = suite_create("smtp_scan");
	TCase *tcase = tcase_create("scan");
	tcase_set_timeout(tcase, 120);
	tcase_add_unchecked_fixture(tcase, fence, NULL);
	tcase_add_loop_test(tcase, bodies_are_counted_as_written, 0, sizeof(bodies) / sizeof(bodies[0]));
	tcase_add_loop_test(tcase, every_scanner_agrees_with_the_table, 0, scanners);
	tcase_add_loop_test(tcase, strides_agree_with_the_table, 0, scanners);
	tcase_add_loop_test(tcase, nothing_odd_is_lost_in_a_stride, 0, scanners);
	tcase_add_loop_test(tcase, the_end_is_found_at_every_offset_and_cut, 0, scanners);
	tcase_add_loop_test(tcase, a_state_is_not_lost_before_a_plain_block, 0, scanners);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
