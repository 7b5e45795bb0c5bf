#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "shaping.h"
#include "suite.h"
#include "toml_reader.h"

static struct toml_node *tree_of(const char *file, const char *text)
{
	struct err err = {""};
	struct toml_node *root = toml_read(file, text, strlen(text), &err);
	ck_assert_msg(root != NULL, "%s", err.text);
	return root;
}

static const char first[] = "['default']\n"
			    "connection_limit = 10\n"
			    "[['default'.automation]]\n"
			    "regex = [\n"
			    "  '''deferred \\d+''',\n"
			    "  '''busy''',\n"
			    "]\n"
			    "action = 'Suspend'\n"
			    "['example.com']\n"
			    "mx_rollup = false\n"
			    "[provider.'one']\n"
			    "match = [{MXSuffix = '.one.example'}, {HostName = 'mx.one.example'}]\n"
			    "[['example.com'.automation]]\n"
			    "regex = \"\\\\[X1\\\\]\"\n"
			    "[[provider.'one'.automation]]\n"
			    "regex = 'late'\n"
			    "[['default'.automation]]\n"
			    "regex = 'last'\n";

static const struct {
	unsigned line;
	enum shaping_block_kind kind;
	const char *block, *regex;
} expected[] = {
	{5, SHAPING_DEFAULT, "default", "deferred \\d+"},
	{6, SHAPING_DEFAULT, "default", "busy"},
	{14, SHAPING_DOMAIN, "example.com", "\\[X1\\]"},
	{16, SHAPING_PROVIDER, "one", "late"},
	{18, SHAPING_DEFAULT, "default", "last"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

START_TEST(patterns_come_in_the_order_of_their_lines)
{
	struct shaping shaping = {0};
	struct err err;
	struct toml_node *root = tree_of("first.toml", first);
	ck_assert_int_eq(shaping_add(&shaping, "first.toml", root, &err), 0);
	ck_assert_uint_eq(shaping.pattern_count, COUNT(expected));
	for (size_t i = 0; i < COUNT(expected); i++) {
		const struct shaping_pattern *pattern = &shaping.patterns[i];
		ck_assert_str_eq(pattern->file, "first.toml");
		ck_assert_uint_eq(pattern->line, expected[i].line);
		ck_assert_str_eq(pattern->regex, expected[i].regex);
		ck_assert_int_eq(shaping.blocks[pattern->owner].kind, expected[i].kind);
		ck_assert_str_eq(shaping.blocks[pattern->owner].name, expected[i].block);
	}
	shaping_done(&shaping);
	toml_free(root);
}
END_TEST

static const struct shaping_block *block_named(const struct shaping *shaping, const char *name)
{
	for (size_t i = 0; i < shaping->block_count; i++)
		if (strcmp(shaping->blocks[i].name, name) == 0)
			return &shaping->blocks[i];
	return NULL;
}

START_TEST(blocks_of_one_name_are_one)
{
	struct shaping shaping = {0};
	struct err err;
	struct toml_node *roots[] = {
		tree_of("first.toml", first),
		tree_of("second.toml", "[[provider.'one'.automation]]\nregex = 'more'\n"
				       "[provider.'two']\nmatch = {DomainSuffix = '.two.example'}\n"),
		tree_of("third.toml",
			"[provider.'one']\nreplace_base = true\nmatch = [{MXName = 'mx.new.example'}]\n"
			"[[provider.'one'.automation]]\nregex = 'new'\n"),
	};
	ck_assert_int_eq(shaping_add(&shaping, "first.toml", roots[0], &err), 0);
	ck_assert_int_eq(shaping_add(&shaping, "second.toml", roots[1], &err), 0);
	ck_assert_uint_eq(shaping.pattern_count, 6);
	const struct shaping_block *one = block_named(&shaping, "one"), *two = block_named(&shaping, "two");
	ck_assert_uint_eq(one->match_count, 2);
	ck_assert_int_eq(one->matches[0].form, SHAPING_MX_SUFFIX);
	ck_assert_int_eq(one->matches[1].form, SHAPING_MX_NAME);
	ck_assert_str_eq(shaping.blocks[shaping.patterns[5].owner].name, "one");
	ck_assert_uint_eq(two->match_count, 1);
	ck_assert_int_eq(two->matches[0].form, SHAPING_DOMAIN_SUFFIX);

	ck_assert_int_eq(shaping_add(&shaping, "third.toml", roots[2], &err), 0);
	one = block_named(&shaping, "one");
	ck_assert_uint_eq(one->match_count, 1);
	ck_assert_str_eq(one->matches[0].text, "mx.new.example");
	ck_assert_uint_eq(shaping.pattern_count, 5);
	ck_assert_str_eq(shaping.patterns[4].regex, "new");
	shaping_done(&shaping);
	for (size_t i = 0; i < COUNT(roots); i++)
		toml_free(roots[i]);
}
END_TEST

static const struct {
	const char *text, *reason;
} refused[] = {
	{"x = 1\n", "f.toml:1: \"x\" is no section"},
	{"[['d'.automation]]\naction = 'Suspend'\n", "f.toml:1: an automation without a regex"},
	{"[['d'.automation]]\nregex = 5\n", "f.toml:2: a regex is a text"},
	{"[['d'.automation]]\nregex = ['a',\n6]\n", "f.toml:3: a regex is a text"},
	{"['d']\nautomation = 'x'\n", "f.toml:2: an automation without a regex"},
	{"[provider.'p']\nmatch = [{MXSufix = '.x'}]\n",
		"f.toml:2: unknown match \"MXSufix\" (did you mean \"MXSuffix\"?)"},
	{"[provider.'p']\nmatch = [{Colour = '.x'}]\n", "f.toml:2: unknown match \"Colour\"; there are"},
	{"[provider.'p']\nmatch = ['.x']\n", "f.toml:2: a match is one rule a table"},
	{"[provider.'p']\nmatch = [{MXSuffix = 7}]\n", "f.toml:2: a match is one rule a table"},
};

START_TEST(what_is_no_shaping_file_is_refused_with_its_line)
{
	struct shaping shaping = {0};
	struct err err;
	struct toml_node *root = tree_of("f.toml", refused[_i].text);
	ck_assert_int_eq(shaping_add(&shaping, "f.toml", root, &err), -EINVAL);
	ck_assert_msg(strncmp(err.text, refused[_i].reason, strlen(refused[_i].reason)) == 0, "%s", err.text);
	shaping_done(&shaping);
	toml_free(root);
}
END_TEST

START_TEST(classes_are_read_in_the_order_of_the_file)
{
	struct shaping shaping = {0};
	struct err err;
	struct toml_node *root =
		tree_of("c.toml", "[rules]\nQuota = [\n  '^552 ',\n  '^452 ',\n]\nBadDomain = ['^550 ']\n");
	ck_assert_int_eq(shaping_add_classes(&shaping, "c.toml", root, &err), 0);
	ck_assert_uint_eq(shaping.class_count, 2);
	ck_assert_str_eq(shaping.classes[0].name, "Quota");
	ck_assert_str_eq(shaping.classes[1].name, "BadDomain");
	ck_assert_uint_eq(shaping.class_pattern_count, 3);
	ck_assert_uint_eq(shaping.class_patterns[1].line, 4);
	ck_assert_uint_eq(shaping.class_patterns[1].owner, 0);
	ck_assert_uint_eq(shaping.class_patterns[2].owner, 1);
	shaping_done(&shaping);
	toml_free(root);
}
END_TEST

static const struct {
	const char *text, *reason;
} refused_classes[] = {
	{"['default']\nx = 1\n", "f.toml: no [rules] section"},
	{"[rules]\nQuota = '^552 '\n", "f.toml:2: class \"Quota\" is no array"},
	{"[rules]\nQuota = ['^552 ',\n5]\n", "f.toml:3: a pattern is a text"},
};

START_TEST(what_is_no_file_of_classes_is_refused)
{
	struct shaping shaping = {0};
	struct err err;
	struct toml_node *root = tree_of("f.toml", refused_classes[_i].text);
	ck_assert_int_eq(shaping_add_classes(&shaping, "f.toml", root, &err), -EINVAL);
	ck_assert_msg(strncmp(err.text, refused_classes[_i].reason, strlen(refused_classes[_i].reason)) == 0,
		"%s", err.text);
	shaping_done(&shaping);
	toml_free(root);
}
END_TEST

static const struct {
	const char *regex, *text;
	bool found;
} found[] = {
	{"\\[TS?S04\\]", "421 4.7.0 [TSS04] Messages", true},
	{"\\[TS?S04\\]", "421 4.7.0 TSS04 Messages", false},
	{"^(?!.*internal).*RL000010", "421 4.1.0 RL000010", true},
	{"^(?!.*internal).*RL000010", "internal 421 4.1.0 RL000010", false},
	{"weren.t sent", "weren\xe2\x80\x99t sent", true}, /* one character is one '.' */
	{"sent", "\xff sent", true},
	{"(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false},
};

START_TEST(patterns_find_what_the_sender_would)
{
	struct err err;
	struct pattern *pattern = pattern_new(found[_i].regex, &err);
	ck_assert_ptr_nonnull(pattern);
	ck_assert_int_eq(pattern_found(pattern, found[_i].text), found[_i].found);
	pattern_free(pattern);
}
END_TEST

START_TEST(a_broken_pattern_is_told_by_its_byte)
{
	struct err err;
	ck_assert_ptr_null(pattern_new("abc(", &err));
	ck_assert_ptr_nonnull(strstr(err.text, "byte 4"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shaping");
	TCase *tests = tcase_create("shaping");
	tcase_add_test(tests, patterns_come_in_the_order_of_their_lines);
	tcase_add_test(tests, blocks_of_one_name_are_one);
	tcase_add_loop_test(tests, what_is_no_shaping_file_is_refused_with_its_line, 0, COUNT(refused));
	tcase_add_test(tests, classes_are_read_in_the_order_of_the_file);
	tcase_add_loop_test(tests, what_is_no_file_of_classes_is_refused, 0, COUNT(refused_classes));
	tcase_add_loop_test(tests, patterns_find_what_the_sender_would, 0, COUNT(found));
	tcase_add_test(tests, a_broken_pattern_is_told_by_its_byte);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
