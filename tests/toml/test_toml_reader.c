#include "toml_reader.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failmalloc.h"
#include "suite.h"

static struct toml_node *read_text(const char *text, struct err *err)
{
	return toml_read("f.toml", text, strlen(text), err);
}

/* The tree as one line: what it holds, in which order, on which lines. */
static void node_dump(const struct toml_node *node, FILE *to)
{
	fprintf(to, "%s%s", node->key ? node->key : "", node->key ? "=" : "");
	switch (node->type) {
	case TOML_TABLE:
	case TOML_ARRAY:
		fputc(node->type == TOML_TABLE ? '{' : '[', to);
		for (size_t i = 0; i < node->count; i++) {
			fputs(i ? " " : "", to);
			node_dump(&node->items[i], to);
		}
		fputc(node->type == TOML_TABLE ? '}' : ']', to);
		break;
	case TOML_STRING:
		fprintf(to, "'%s'", node->string);
		break;
	case TOML_INTEGER:
		fprintf(to, "%lld", (long long)node->integer);
		break;
	case TOML_FLOAT:
		fprintf(to, "%g", node->real);
		break;
	case TOML_BOOLEAN:
		fputs(node->boolean ? "true" : "false", to);
		break;
	case TOML_OTHER:
		fputs("other", to);
		break;
	}
	fprintf(to, "@%u", node->line);
}

static const struct {
	const char *text;
	const char *tree;
} documents[] = {
	{"", "{}@1"},
	{"# nothing but a comment\n", "{}@1"},
	{"z = 1\na = 2\n", "{z=1@1 a=2@2}@1"},
	{"[z]\nb = true\n\n[a]\nc = false\n", "{z={b=true@2}@1 a={c=false@5}@4}@1"},
	{"a = [1,\n  2,\n  'x']\n", "{a=[1@1 2@2 'x'@3]@1}@1"},
	{"a = []\nb = {}\n", "{a=[]@1 b={}@2}@1"},
	{"a.b = 1\na.c = 2\n", "{a={b=1@1 c=2@2}@1}@1"},
	{"\n[a.b]\nc = 1\n", "{a={b={c=1@3}@2}@2}@1"},
	{"a = {b = 1, 'c d' = 2}\n", "{a={b=1@1 c d=2@1}@1}@1"},
	{"[[a]]\nb = 1\n[[a]]\nb = 2\n", "{a=[{b=1@2}@1 {b=2@4}@3]@1}@1"},
	{"a = 1.5\nb = -9223372036854775808\n", "{a=1.5@1 b=-9223372036854775808@2}@1"},
	{"a = 1979-05-27\nb = 07:32:00\n", "{a=other@1 b=other@2}@1"},
	{"a = \"\\u00e9\\n\"\n", "{a='\303\251\n'@1}@1"},
	{"a = ''\n", "{a=''@1}@1"},
	{"a = \"\"\"\none\ntwo\"\"\"\nb = 1\n", "{a='one\ntwo'@1 b=1@4}@1"},
	{"a = 1\r\nb = 2\r\n", "{a=1@1 b=2@2}@1"},
};

START_TEST(tree_holds_values_in_order_with_lines)
{
	struct err err = {.text = "untouched"};
	struct toml_node *root = read_text(documents[_i].text, &err);
	ck_assert_msg(root, "%s", err.text);
	ck_assert_str_eq(err.text, "untouched");
	char *tree;
	size_t len;
	FILE *to = open_memstream(&tree, &len);
	ck_assert_ptr_nonnull(to);
	node_dump(root, to);
	fclose(to);
	ck_assert_str_eq(tree, documents[_i].tree);
	free(tree);
	toml_free(root);
}
END_TEST

/* The first words of the error, and the remedy that it must hold. */
static const struct {
	const char *text;
	const char *where;
	const char *remedy;
} refused[] = {
	{"a = 1\nb = foo\n", "f.toml:2:6: ", "text in double quotes"},
	{"a = /run/x\n", "f.toml:1:5: ", "text stands in double quotes"},
	{"a = 192.0.2.1\n", "f.toml:1:", "key = \"192.0.2.1\""},
	{"a = 4025-4032\n", "f.toml:1:", "key = \"4025-4032\""},
	{"a = True\n", "f.toml:1:5: ", "true or false"},
	{"a = \n", "f.toml:1:5: ", "write key = value"},
	{"a: 1\n", "f.toml:1:2: ", "write key = value"},
	{"a = 1\na = 2\n", "f.toml:2:", "each key and each section once"},
	{"[a]\n[a]\n", "f.toml:2:1: ", "each key and each section once"},
	{"[a.\"b\"]\n[a.\"b\"]\n",
		"f.toml:2:1: ", "redefine existing table; name each key and each section once"},
	{"[a\nb = 1\n", "f.toml:1:3: ", "[name]"},
	{"a = \"x\nb = 1\n", "f.toml:1:7: ", "closing quote"},
	{"a = \"\"\"x", "f.toml:1:9: ", "closing quote"},
	{"a = \"\\d\"\n", "f.toml:1:7: ", "write a backslash as \\\\"},
	{"a = [1 2]\n", "f.toml:1:8: ", "[one, two]"},
	{"a = [1\n", "f.toml:1:", "[one, two]"},
	{"a = 025\n", "f.toml:1:", "without them"},
	{"a = {b = 1,}\n", "f.toml:1:", "inline table"},
	{"a = 1 b = 2\n", "f.toml:1:7: ", "one key = value a line"},
	{"// a\n", "f.toml:1:1: ", "comments begin with #"},
	{"a = \"\xff\"\n", "f.toml:1:", "UTF-8"},
	{"a = \"x\\u0000\"\n", "f.toml:1:5: ", "NUL"},
	{"\"x\\u0000\" = 1\n", "f.toml:1:1: ", "NUL"},
};

START_TEST(refusal_names_place_and_remedy)
{
	struct err err = {.text = ""};
	ck_assert_ptr_null(read_text(refused[_i].text, &err));
	ck_assert_msg(strncmp(err.text, refused[_i].where, strlen(refused[_i].where)) == 0, "%s", err.text);
	ck_assert_msg(strstr(err.text, refused[_i].remedy), "%s", err.text);
}
END_TEST

START_TEST(bytes_behind_the_length_are_not_read)
{
	struct err err;
	static const char text[] = "a = 12";
	struct toml_node *root = toml_read("f.toml", text, sizeof(text) - 2, &err);
	ck_assert_ptr_nonnull(root);
	ck_assert_int_eq(root->items[0].integer, 1);
	toml_free(root);
	ck_assert_ptr_null(toml_read("f.toml", "a = 1\0b", 7, &err));
}
END_TEST

START_TEST(error_shows_no_control_characters)
{
	struct err err;
	ck_assert_ptr_null(read_text("a = \"\\\x1b[2J\"\n", &err));
	for (const char *p = err.text; *p; p++)
		ck_assert_msg((unsigned char)*p >= ' ' && *p != 0x7f, "byte %d", *p);
	ck_assert_ptr_null(read_text("a = foo\n", NULL));
}
END_TEST

/* `count` times `unit`, then `tail`; the caller frees it. */
static char *repeated(const char *unit, size_t count, const char *tail)
{
	size_t len = strlen(unit);
	char *text = malloc(len * count + strlen(tail) + 1);
	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * len, unit, len);
	strcpy(text + len * count, tail);
	return text;
}

static const struct {
	const char *unit;
	size_t count;
	const char *tail;
	const char *reason; /* NULL: it is read */
} deep[] = {
	{"a.", 60, "a = 1\n", NULL},
	{"a.", 70, "a = 1\n", "nested too deeply"},
	{"a.", 8000, "a = 1\n", "nested too deeply"},
	{"a.", 1000000, "a = 1\n", "longer than 16384 bytes"},
	{"\n\na.", 1, "a = 1\n", NULL},
	{"#", 16384, "\na = 1\n", NULL},
	{"#", 16385, "", "longer than 16384 bytes"},
};

START_TEST(nesting_is_bounded)
{
	struct err err = {.text = ""};
	char *text = repeated(deep[_i].unit, deep[_i].count, deep[_i].tail);
	struct toml_node *root = read_text(text, &err);
	if (deep[_i].reason) {
		ck_assert_ptr_null(root);
		ck_assert_msg(strstr(err.text, deep[_i].reason), "%s", err.text);
	} else {
		ck_assert_msg(root, "%s", err.text);
	}
	toml_free(root);
	free(text);
}
END_TEST

START_TEST(every_failing_allocation_is_an_error)
{
	struct err err;
	unsigned failures = 0;
	for (long nth = 1; nth < 10000; nth++) {
		failmalloc_at(nth);
		struct toml_node *root = read_text("[a]\nb = [1, 'x', {c = 2}]\n", &err);
		failmalloc_at(0);
		if (root) {
			toml_free(root);
			break;
		}
		ck_assert_msg(strstr(err.text, "out of memory"), "%s", err.text);
		failures++;
	}
#ifdef FAILMALLOC
	ck_assert_uint_gt(failures, 5);
	ck_assert_uint_lt(failures, 9999);
#endif
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("toml_reader");
	TCase *tcase = tcase_create("toml_reader");
	tcase_add_loop_test(
		tcase, tree_holds_values_in_order_with_lines, 0, sizeof(documents) / sizeof(documents[0]));
	tcase_add_loop_test(tcase, refusal_names_place_and_remedy, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, bytes_behind_the_length_are_not_read);
	tcase_add_test(tcase, error_shows_no_control_characters);
	tcase_add_loop_test(tcase, nesting_is_bounded, 0, sizeof(deep) / sizeof(deep[0]));
	tcase_add_test(tcase, every_failing_allocation_is_an_error);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
