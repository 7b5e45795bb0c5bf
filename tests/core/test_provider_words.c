#include "provider_words.h"

#include <check.h>
#include <string.h>

#include "suite.h"

enum {
	OWN = 1,
	COMMA = 2,
	CRLF = 4,
	CONTROL = 8,
	FOLDED = 16,
};

static const struct {
	const char *msg;
	unsigned code;
	const char *enhanced;
	const char *text;
	unsigned mended;
} rows[] = {
	{"No such user", 550, "", "No such user", 0},
	{"5.1.1 No such user", 550, "5.1.1", "No such user", 0},
	{"4.7.28 Slow down", 421, "4.7.28", "Slow down", 0},
	{"5.1.1", 550, "5.1.1", "", 0},
	{"", 550, "", "", 0},
	/* No enhanced code: of another class, too long, or a number that goes on. */
	{"4.1.1 text", 550, "", "4.1.1 text", 0},
	{"5.1.1000 text", 550, "", "5.1.1000 text", 0},
	{"5.1.1x text", 550, "", "5.1.1x text", 0},
	{"5.1 text", 550, "", "5.1 text", 0},
	{"550 text", 550, "", "text", OWN},
	{"550-text", 550, "", "text", OWN},
	{"551 text", 550, "", "551 text", 0},
	{"5501 text", 550, "", "5501 text", 0},
	{"421-4.7.0 one\r\n421-4.7.0 two\r\n421,4.7.0 three", 421, "4.7.0", "one\ntwo\nthree",
		OWN | COMMA | CRLF},
	{"4.4.2 one \n451 two \n 451 three", 451, "4.4.2", "one\ntwo\nthree", OWN},
	{"5.1.1 one\n5.1.1 two\n5.1.2 three", 550, "5.1.1", "one\ntwo\n5.1.2 three", 0},
	{"one\n5.1.1 two", 550, "", "one\n5.1.1 two", 0},
	{"{ip} {", 550, "", "{{ip}} {{", 0},
	{"a\tb\x1b[2J", 550, "", "a b [2J", CONTROL},
	{"one\n", 550, "", "one", 0},
	{"one\n\nthree", 550, "", "one\n\nthree", 0},
	{"d\xc3\xbc", 550, "", "d\xc3\xbc", 0},
};

static unsigned mended(const struct provider_words *words)
{
	return (words->own_codes ? OWN : 0) | (words->comma ? COMMA : 0) | (words->crlf ? CRLF : 0) |
	       (words->control ? CONTROL : 0) | (words->folded ? FOLDED : 0);
}

START_TEST(words_are_mended)
{
	struct provider_words words;
	provider_words_mend(rows[_i].msg, rows[_i].code, &words);
	ck_assert_str_eq(words.enhanced, rows[_i].enhanced);
	ck_assert_str_eq(words.text, rows[_i].text);
	ck_assert_uint_eq(mended(&words), rows[_i].mended);
}
END_TEST

START_TEST(long_lines_are_divided)
{
	char msg[1001];
	struct provider_words words;
	for (size_t i = 0; i < 1000; i++)
		msg[i] = i % 10 == 9 ? ' ' : 'x';
	msg[1000] = '\0';
	provider_words_mend(msg, 550, &words);
	ck_assert_uint_eq(mended(&words), FOLDED);
	ck_assert_uint_eq(strlen(words.text), 999);
	for (const char *line = words.text; *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL))
		ck_assert_uint_le(strcspn(line, "\n"), 400);
}
END_TEST

/* What does not fit is cut; braces take twice the room. */
START_TEST(endless_text_is_cut)
{
	char msg[6000];
	struct provider_words words;
	memset(msg, '{', sizeof(msg) - 1);
	msg[sizeof(msg) - 1] = '\0';
	provider_words_mend(msg, 550, &words);
	ck_assert_uint_lt(strlen(words.text), sizeof(words.text));
	ck_assert_uint_gt(strlen(words.text), sizeof(words.text) - 4);
	memset(msg, '\n', sizeof(msg) - 1);
	provider_words_mend(msg, 550, &words);
	ck_assert_uint_lt(strlen(words.text), sizeof(words.text));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("provider_words");
	TCase *tcase = tcase_create("provider_words");
	tcase_add_loop_test(tcase, words_are_mended, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tcase, long_lines_are_divided);
	tcase_add_test(tcase, endless_text_is_cut);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
