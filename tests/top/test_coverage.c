#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coverage.h"
#include "reply_source.h"
#include "suite.h"
#include "toml_file.h"
#include "toml_reader.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char profiles[] =
	"[provider.'default']\n"
	"bounce = 1\n"
	"[[provider.'default'.reply]]\n"
	"phase = 'connect'\nkind = 'connection_limit'\ncode = 421\nenhanced = '4.4.5'\ntext = 'Too many of "
	"you'\n"
	"[[provider.'default'.reply]]\n"
	"phase = 'rcpt'\nkind = 'bounce'\ncode = 550\ntext = 'Nobody is here'\n"
	"[provider.'alpha']\n"
	"match = [{MXSuffix = '.mx.alpha.example'}]\n"
	"domains = ['alpha.example']\n"
	"provider_connection_limit = 5\n"
	"bounce = 1\n"
	"defer = 1\n"
	"[[provider.'alpha'.reply]]\n"
	"phase = 'rcpt'\nkind = 'bounce'\ncode = 552\nenhanced = '5.2.2'\ntext = \"Mailbox of {rcpt}\\nis "
	"full\"\n"
	"[[provider.'alpha'.reply]]\n"
	"phase = 'mail'\nkind = 'defer'\nwording = 'old'\ncode = 421\nenhanced = '4.7.0'\n"
	"text = '[A1] Mail from {ip} is late'\n"
	"[[provider.'alpha'.reply]]\n"
	"phase = 'mail'\nkind = 'defer'\ncode = 421\nenhanced = '4.7.0'\ntext = '[A1] {ip} is late today'\n"
	"[[provider.'alpha'.reply]]\n"
	"phase = 'connect'\nkind = 'connection_limit'\naction = 'close'\n"
	"[provider.'gamma']\n"
	"domains = ['unlimited.example']\n"
	"[provider.'beta']\n"
	"match = [{MXName = 'mx.beta.example'}]\n"
	"domains = ['beta.example', 'b.example']\n"
	"connection_limit = 5\n"
	"bounce = 1\n"
	"[[provider.'beta'.reply]]\n"
	"phase = 'end_of_data'\nkind = 'bounce'\ncode = 554\ntext = 'Beta declines'\n";

static const char sink[] = "[default]\nbounce = 10\ndefer = 5\n"
			   "[domain.'alpha.example']\nbounce = 5\ndefer = 5\n"
			   "[[bounce.'alpha.example']]\ncode = 550\nmsg = '5.1.1 Alpha of old'\n";

#define ALPHA  "[provider.'p']\nmatch = [{MXSuffix = '.mx.alpha.example'}]\n"
#define P_RULE "[[provider.'p'.automation]]\nregex = "

static const struct {
	const char *shaping;
	enum coverage_verdict verdict;
	const char *provider; /* of the line, NULL = none */
	const char *text;     /* of the line, or what the reason holds where it never fires */
} cases[] = {
	/* Whom a block addresses. */
	{ALPHA P_RULE "'is full'", COVERAGE_FIRES, "alpha",
		"552 5.2.2 Mailbox of user@alpha.example is full"},
	{"[provider.'p']\nmatch = [{MXSuffix = '.alpha.example'}]\n" P_RULE "'is full'", COVERAGE_FIRES,
		"alpha", NULL},
	{"[provider.'p']\nmatch = [{MXSuffix = '.eu.mx.alpha.example'}]\n" P_RULE "'is full'", COVERAGE_FIRES,
		"alpha", NULL},
	{"[provider.'p']\nmatch = [{HostName = 'a.mx.alpha.example'}]\n" P_RULE "'is full'", COVERAGE_FIRES,
		"alpha", NULL},
	{"[provider.'p']\nmatch = [{MXSuffix = '.beta.example'}]\n" P_RULE "'declines'", COVERAGE_FIRES,
		"beta", "554 Beta declines"},
	{"[provider.'p']\nmatch = [{HostName = 'mx.beta.example'}]\n" P_RULE "'declines'", COVERAGE_FIRES,
		"beta", NULL},
	{"[provider.'p']\nmatch = [{DomainSuffix = 'beta.example'}]\n" P_RULE "'declines'", COVERAGE_FIRES,
		"beta", NULL},
	{"[['beta.example'.automation]]\nregex = 'declines'\n", COVERAGE_FIRES, "beta", NULL},
	{"[['default'.automation]]\nregex = 'declines'\n", COVERAGE_FIRES, "beta", NULL},
	/* The sender's view of a reply. */
	{ALPHA P_RULE "'^552 5\\.2\\.2 M'", COVERAGE_FIRES, "alpha", NULL},
	{ALPHA P_RULE "'''late'''", COVERAGE_FIRES, "alpha", "421 4.7.0 [A1] 192.0.2.1 is late today"},
	{ALPHA P_RULE "'''from \\d+\\.\\d+\\.\\d+\\.\\d+ is late$'''", COVERAGE_FIRES, "alpha",
		"421 4.7.0 [A1] Mail from 192.0.2.1 is late"},
	{ALPHA P_RULE "\"\\\\[A1\\\\]\"", COVERAGE_FIRES, "alpha", NULL},
	/* Only where it has a limit and no reply for it does a provider speak in default's words. */
	{"[['beta.example'.automation]]\nregex = 'Too many'\n", COVERAGE_FIRES, "beta",
		"421 4.4.5 Too many of you"},
	{"[['unlimited.example'.automation]]\nregex = 'Too many'\n", COVERAGE_NO_TEXT, "default",
		"holds such a text"},
	{ALPHA P_RULE "'Too many'", COVERAGE_NO_TEXT, "default", "holds such a text"},
	{"[['beta.example'.automation]]\nregex = 'Nobody'\n", COVERAGE_NO_TEXT, "default",
		"holds such a text"},
	/* What is not said is not heard. */
	{ALPHA P_RULE "'^0'", COVERAGE_NO_TEXT, NULL, "holds such a text"},
	/* Why others never fire. */
	{P_RULE "'is full'", COVERAGE_NO_MATCH, "alpha", "[provider.\"p\"] in these files has a match"},
	{"[provider.'p']\nmatch = [{MXSuffix = '.mx.alpha.example.'}]\n" P_RULE "'is full'",
		COVERAGE_TRAILING_DOT, "alpha", "write \".mx.alpha.example\""},
	{"[provider.'p']\nmatch = [{MXSuffix = '.mx.alpha.example.'}]\n" P_RULE "'declines'",
		COVERAGE_TRAILING_DOT, NULL, "ends in a dot"},
	{"[provider.'p']\nmatch = [{MXSuffix = '.gamma.example'}]\n" P_RULE "'is full'", COVERAGE_UNADDRESSED,
		"alpha", "\".gamma.example\""},
	{"[['gamma.example'.automation]]\nregex = 'is full'\n", COVERAGE_UNADDRESSED, "alpha",
		"known to serve gamma.example"},
	{ALPHA P_RULE "'(is full'", COVERAGE_BROKEN, NULL, "byte 8"},
	{ALPHA P_RULE "'''\\\\[A1\\\\] 192'''", COVERAGE_DOUBLE_ESCAPED, "alpha", "\\[, not \\\\["},
	{ALPHA P_RULE "'declines'", COVERAGE_NO_TEXT, "beta", "holds such a text"},
	{ALPHA P_RULE "'nowhere'", COVERAGE_NO_TEXT, NULL, "holds such a text"},
};

struct fixture {
	struct toml_node *profile_tree, *sink_tree;
	struct provider_set *ours, *theirs;
};

static struct toml_node *tree_of(const char *file, const char *text)
{
	struct err err = {""};
	struct toml_node *root = toml_read(file, text, strlen(text), &err);
	ck_assert_msg(root != NULL, "%s", err.text);
	return root;
}

static void note(void *arg, const char *text)
{
	ck_abort_msg("%s: %s", (const char *)arg, text);
}

static void fixture_init(struct fixture *fixture)
{
	struct err err = {""};
	*fixture = (struct fixture){tree_of("profiles.toml", profiles), tree_of("sink.toml", sink),
		provider_set_new(&err), provider_set_new(&err)};
	int code = provider_set_add(fixture->ours, "profiles.toml", fixture->profile_tree, "all", &err);
	ck_assert_msg(code == 0, "%s", err.text);
	code = provider_set_add_responses(
		fixture->theirs, "sink.toml", fixture->sink_tree, note, "sink.toml", &err);
	ck_assert_msg(code == 0, "%s", err.text);
}

static void fixture_done(struct fixture *fixture)
{
	provider_set_free(fixture->ours);
	provider_set_free(fixture->theirs);
	toml_free(fixture->profile_tree);
	toml_free(fixture->sink_tree);
}

START_TEST(each_pattern_is_judged_with_its_reason)
{
	struct fixture fixture;
	struct shaping shaping = {0};
	struct err err = {""};
	fixture_init(&fixture);
	struct toml_node *root = tree_of("s.toml", cases[_i].shaping);
	ck_assert_msg(shaping_add(&shaping, "s.toml", root, &err) == 0, "%s", err.text);
	struct coverage *coverage = coverage_new(&shaping, fixture.ours, fixture.ours, &err);
	ck_assert_msg(coverage != NULL, "%s", err.text);
	ck_assert_uint_eq(coverage->pattern_count, 1);
	const struct coverage_pattern *result = &coverage->patterns[0];
	ck_assert_str_eq(coverage_verdict_name(result->verdict), coverage_verdict_name(cases[_i].verdict));
	if (cases[_i].provider)
		ck_assert_str_eq(result->line->provider->name, cases[_i].provider);
	else
		ck_assert_ptr_null(result->line);
	bool fires = cases[_i].verdict == COVERAGE_FIRES;
	ck_assert_uint_eq(coverage->fire_count, fires);
	if (fires && cases[_i].text)
		ck_assert_str_eq(result->line->text, cases[_i].text);
	if (!fires)
		ck_assert_msg(strstr(result->reason, cases[_i].text) != NULL, "%s", result->reason);
	coverage_free(coverage);
	shaping_done(&shaping);
	toml_free(root);
	fixture_done(&fixture);
}
END_TEST

START_TEST(classes_are_counted_and_what_they_miss_is_named)
{
	struct fixture fixture;
	struct shaping shaping = {0};
	struct err err = {""};
	fixture_init(&fixture);
	struct toml_node *root = tree_of("c.toml", "[rules]\nQuota = ['^552 ', '^\\d+ 5\\.2\\.2 ']\nLate = "
						   "['^421 4\\.7\\.0 ']\nNever = ['^599 ']\n");
	ck_assert_int_eq(shaping_add_classes(&shaping, "c.toml", root, &err), 0);
	struct coverage *coverage = coverage_new(&shaping, fixture.ours, fixture.ours, &err);
	ck_assert_msg(coverage != NULL, "%s", err.text);
	ck_assert_uint_eq(coverage->class_count, 3);
	ck_assert_uint_eq(coverage->produced_count, 2);
	ck_assert_uint_eq(coverage->classes[0].replies, 1);
	ck_assert_uint_eq(coverage->classes[1].replies, 2);
	ck_assert_uint_eq(coverage->classes[2].replies, 0);
	ck_assert_ptr_null(coverage->classes[2].line);
	/* default's two, and beta's one; not the one that is never said, and none twice. */
	ck_assert_uint_eq(coverage->reply_count, 6);
	ck_assert_uint_eq(coverage->unclassified_count, 3);
	ck_assert_str_eq(coverage->unclassified[0]->text, "554 Beta declines");
	ck_assert_str_eq(coverage->unclassified[1]->text, "421 4.4.5 Too many of you");
	coverage_free(coverage);
	shaping_done(&shaping);
	toml_free(root);
	fixture_done(&fixture);
}
END_TEST

START_TEST(a_broken_class_is_refused_with_its_line)
{
	struct fixture fixture;
	struct shaping shaping = {0};
	struct err err = {""};
	fixture_init(&fixture);
	struct toml_node *root = tree_of("c.toml", "[rules]\nQuota = ['^552 ',\n'(']\n");
	ck_assert_int_eq(shaping_add_classes(&shaping, "c.toml", root, &err), 0);
	ck_assert_ptr_null(coverage_new(&shaping, fixture.ours, fixture.ours, &err));
	ck_assert_msg(strncmp(err.text, "c.toml:3: class Quota: ", 23) == 0, "%s", err.text);
	shaping_done(&shaping);
	toml_free(root);
	fixture_done(&fixture);
}
END_TEST

/* The sink's alpha.example is whom the known provider's MX suffix is for; its beta.example is unlisted. */
START_TEST(a_sinks_domain_is_addressed_by_the_hosts_that_serve_it)
{
	static const struct {
		const char *shaping;
		enum coverage_verdict verdict;
	} sinks[] = {
		{ALPHA P_RULE "'Alpha of old'", COVERAGE_FIRES},
		{"[['alpha.example'.automation]]\nregex = '^550 5\\.1\\.1 Alpha'\n", COVERAGE_FIRES},
		{"[provider.'p']\nmatch = [{DomainSuffix = 'alpha.example'}]\n" P_RULE "'Alpha'",
			COVERAGE_FIRES},
		{"[['default'.automation]]\nregex = 'Alpha of old'\n", COVERAGE_FIRES},
		{"[['beta.example'.automation]]\nregex = 'Alpha of old'\n", COVERAGE_UNADDRESSED},
		{ALPHA P_RULE "'is full'", COVERAGE_NO_TEXT},
	};
	struct fixture fixture;
	struct err err = {""};
	fixture_init(&fixture);
	for (size_t i = 0; i < COUNT(sinks); i++) {
		struct shaping shaping = {0};
		struct toml_node *root = tree_of("s.toml", sinks[i].shaping);
		ck_assert_int_eq(shaping_add(&shaping, "s.toml", root, &err), 0);
		struct coverage *coverage = coverage_new(&shaping, fixture.theirs, fixture.ours, &err);
		ck_assert_msg(coverage != NULL, "%s", err.text);
		ck_assert_str_eq(coverage_verdict_name(coverage->patterns[0].verdict),
			coverage_verdict_name(sinks[i].verdict));
		coverage_free(coverage);
		shaping_done(&shaping);
		toml_free(root);
	}
	fixture_done(&fixture);
}
END_TEST

#define DATA SOURCE_DIR "/../shared/data/kumomta/"

static void print_missing(const struct coverage *coverage)
{
	for (size_t i = 0; i < coverage->pattern_count; i++)
		if (coverage->patterns[i].verdict != COVERAGE_FIRES)
			printf("never: %s:%u %s: %s\n", coverage->patterns[i].block->name,
				coverage->patterns[i].pattern->line, coverage->patterns[i].pattern->regex,
				coverage->patterns[i].reason);
	for (size_t i = 0; i < coverage->class_count; i++)
		if (coverage->classes[i].replies == 0)
			printf("no reply: class %s\n", coverage->classes[i].class->name);
}

START_TEST(a_real_senders_rules_are_exercised)
{
	static const char *const files[] = {
		DATA "shaping-base.toml", DATA "shaping-community.toml", DATA "iana.toml"};
	static const struct {
		const char *responses;
		size_t patterns_min, patterns_max, classes_min, classes_max;
	} wanted[] = {
		{NULL, 50, 55, 15, 15},
		{DATA "responses.toml", 1, 11, 1, 6},
	};
	struct shaping shaping = {0};
	struct toml_node *trees[COUNT(files)] = {NULL};
	struct err err = {""};
	if (access(files[0], R_OK) < 0) {
		printf("skipped: no data in %s\n", DATA);
		return;
	}
	for (size_t i = 0; i < COUNT(files); i++) {
		trees[i] = toml_file_read(files[i], &err);
		ck_assert_msg(trees[i] != NULL, "%s", err.text);
		int code = i < 2 ? shaping_add(&shaping, files[i], trees[i], &err)
				 : shaping_add_classes(&shaping, files[i], trees[i], &err);
		ck_assert_msg(code == 0, "%s", err.text);
	}
	ck_assert_uint_eq(shaping.pattern_count, 55);
	for (size_t i = 0; i < COUNT(wanted); i++) {
		struct reply_source source;
		ck_assert_msg(reply_source_init(&source, "/dev/null", wanted[i].responses, &err) == 0, "%s",
			err.text);
		struct coverage *coverage = coverage_new(&shaping, source.set, source.corpus, &err);
		ck_assert_msg(coverage != NULL, "%s", err.text);
		if (!wanted[i].responses)
			print_missing(coverage);
		printf("%s: %zu of %zu patterns, %zu of %zu classes\n",
			wanted[i].responses ? "theirs" : "ours", coverage->fire_count,
			coverage->pattern_count, coverage->produced_count, coverage->class_count);
		ck_assert_uint_ge(coverage->fire_count, wanted[i].patterns_min);
		ck_assert_uint_le(coverage->fire_count, wanted[i].patterns_max);
		ck_assert_uint_ge(coverage->produced_count, wanted[i].classes_min);
		ck_assert_uint_le(coverage->produced_count, wanted[i].classes_max);
		coverage_free(coverage);
		reply_source_done(&source);
	}
	shaping_done(&shaping);
	for (size_t i = 0; i < COUNT(files); i++)
		toml_free(trees[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("coverage");
	TCase *tests = tcase_create("coverage");
	tcase_add_loop_test(tests, each_pattern_is_judged_with_its_reason, 0, COUNT(cases));
	tcase_add_test(tests, classes_are_counted_and_what_they_miss_is_named);
	tcase_add_test(tests, a_broken_class_is_refused_with_its_line);
	tcase_add_test(tests, a_sinks_domain_is_addressed_by_the_hosts_that_serve_it);
	tcase_add_test(tests, a_real_senders_rules_are_exercised);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
