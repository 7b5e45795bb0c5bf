/* The smart sink's responses.toml: a sample of every slip that one may hold, and the real file. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "provider.h"
#include "suite.h"
#include "toml_reader.h"

#define REAL SOURCE_DIR "/../shared/data/kumomta/responses.toml"

struct notes {
	char texts[32][512];
	size_t count;
};

static void note(void *arg, const char *text)
{
	struct notes *notes = arg;
	ck_assert_uint_lt(notes->count, 32);
	snprintf(notes->texts[notes->count++], sizeof(notes->texts[0]), "%s", text);
}

static int add(struct provider_set *set, const char *text, size_t len, struct notes *notes, struct err *err)
{
	struct toml_node *root = toml_read("r.toml", text, len, err);
	ck_assert_msg(root != NULL, "%s", err->text);
	int rc = provider_set_add_responses(set, "r.toml", root, note, notes, err);
	toml_free(root);
	return rc;
}

static const struct provider *of_domain(const struct provider_set *set, const char *domain)
{
	const struct provider *provider = provider_by_domain(set, span_of(domain));
	ck_assert_msg(provider != NULL, "nobody has %s", domain);
	return provider;
}

static const char sample[] = "[default]\n"
			     "bounce = 10\n"
			     "defer = 0.5\n"
			     "[domain.\"One.test\"]\n"
			     "bounce = 5\n"
			     "defer = 20\n"
			     "[[bounce.\"one.test\"]]\n"
			     "code = 550\n"
			     "msg = \"5.1.1 <{rcpt}> unknown\"\n"
			     "[[defer.\"one.test\"]]\n"
			     "code = 421\n"
			     "msg = \"421-4.7.0 slow\\r\\n421,4.7.0 down\"\n"
			     "[[defer.\"two.test\"]]\n"
			     "code = 550\n"
			     "msg = \"never\"\n"
			     "[[defer.\"two.test\"]]\n"
			     "code = \"451\"\n"
			     "msg = \"later\"\n"
			     "[[defer.\"two.test\"]]\n"
			     "code = 250\n"
			     "msg = \"fine\"\n"
			     "[[defer.\"two.test\"]]\n"
			     "code = 451\n"
			     "[[bounce.\"two.test\"]]\n"
			     "code = 550\n"
			     "msg = \"550 no\"\n"
			     "weight = 3\n"
			     "[other]\n"
			     "x = 1\n"
			     "[[bounse.\"one.test\"]]\n"
			     "code = 550\n";

static const char *const sample_notes[] = {
	"r.toml:28: section \"other\" means nothing here, where there are default, domain, bounce, defer; "
	"left out",
	"r.toml:30: section \"bounse\" means nothing here (did you mean \"bounce\"?); left out",
	"r.toml:27: key \"weight\" means nothing here, where there are code, msg; left out",
	"r.toml:26: the answer 550 has the code of its own, which would come twice, left out",
	"r.toml:12: the answer 421 has a comma behind a code of its own, mended; CR LF between its lines, "
	"made a "
	"reply of several lines",
	"r.toml:15: the answer 550 has a code that no sender takes for a deferral, kept",
	"r.toml:17: code stands in quotes; taken as 451",
	"r.toml:20: code is no number from 400 to 599; the answer is left out",
	"r.toml:22: msg is no text; the answer is left out",
};

START_TEST(slips_are_mended_and_named)
{
	struct err err = {.text = ""};
	struct notes notes = {.count = 0};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, sample, strlen(sample), &notes, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < sizeof(sample_notes) / sizeof(sample_notes[0]); i++)
		ck_assert_str_eq(i < notes.count ? notes.texts[i] : "none", sample_notes[i]);
	ck_assert_uint_eq(notes.count, sizeof(sample_notes) / sizeof(sample_notes[0]));
	provider_set_free(set);
}
END_TEST

static const struct {
	const char *domain; /* NULL: any other */
	enum provider_kind kind;
	unsigned code;
	const char *enhanced;
	const char *text;
} answers[] = {
	{"one.test", PROVIDER_BOUNCE, 550, "5.1.1", "<{{rcpt}}> unknown"},
	{"one.test", PROVIDER_DEFER, 421, "4.7.0", "slow\ndown"},
	{"ONE.test", PROVIDER_DEFER, 421, "4.7.0", "slow\ndown"},
	{"two.test", PROVIDER_BOUNCE, 550, "", "no"},
	{"two.test", PROVIDER_DEFER, 550, "", "never"},
	{NULL, PROVIDER_BOUNCE, 550, "", "Message refused"},
	{NULL, PROVIDER_DEFER, 451, "", "Message deferred, try again later"},
};

START_TEST(answers_are_those_of_the_file)
{
	struct err err = {.text = ""};
	struct notes notes = {.count = 0};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, sample, strlen(sample), &notes, &err) == 0, "%s", err.text);
	const struct provider *provider =
		answers[_i].domain ? of_domain(set, answers[_i].domain) : provider_at(set, 0);
	const struct provider_reply *reply = provider_draw(provider, answers[_i].kind, -1, 0);
	ck_assert_ptr_nonnull(reply);
	ck_assert_uint_eq(reply->code, answers[_i].code);
	ck_assert_str_eq(reply->enhanced, answers[_i].enhanced);
	ck_assert_str_eq(reply->text, answers[_i].text);
	ck_assert_int_eq(reply->phase, SMTP_PHASE_END_OF_DATA);
	ck_assert_str_eq(reply->file, "r.toml");
	provider_set_free(set);
}
END_TEST

START_TEST(odds_are_exact)
{
	struct err err = {.text = ""};
	struct notes notes = {.count = 0};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, sample, strlen(sample), &notes, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(provider_at(set, 0)->bounce_ppm, 100000);
	ck_assert_uint_eq(provider_at(set, 0)->defer_ppm, 5000);
	ck_assert_uint_eq(of_domain(set, "one.test")->bounce_ppm, 50000);
	ck_assert_uint_eq(of_domain(set, "one.test")->defer_ppm, 200000);
	/* Answers without odds have default's. */
	ck_assert_uint_eq(of_domain(set, "two.test")->bounce_ppm, 100000);
	ck_assert_uint_eq(of_domain(set, "two.test")->defer_ppm, 5000);
	ck_assert_str_eq(of_domain(set, "two.test")->name, "domain:two.test");
	ck_assert_ptr_null(provider_by_domain(set, span_of("three.test")));
	provider_set_free(set);
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} refused[] = {
	{"[default]\nbounce = 60\ndefer = 41\n",
		"r.toml:1: \"default\": bounce and defer are over 100 % together; lower one"},
	{"[domain.\"x.test\"]\nbounce = 101\n", "r.toml:2: provider \"domain:x.test\": bounce = 101 is no "
						"percentage; write one from 0 to 100"},
	{"[domain.\"x.test\"]\ndefer = \"5\"\n",
		"r.toml:2: provider \"domain:x.test\": defer wants a percentage such "
		"as 10 or 0.5, not a string"},
};

START_TEST(odds_that_are_none_are_refused)
{
	struct err err = {.text = ""};
	struct notes notes = {.count = 0};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_int_eq(add(set, refused[_i].text, strlen(refused[_i].text), &notes, &err), -EINVAL);
	ck_assert_str_eq(err.text, refused[_i].says);
	provider_set_free(set);
}
END_TEST

/* Things of the wrong type all over: told, and nothing else. */
START_TEST(shapeless_files_are_survived)
{
	static const char text[] =
		"default = 5\ndomain = 5\nbounce = [1]\n[defer]\nx = 5\n\"y.test\" = [1]\n"
		"\"\" = [{code = 451, msg = \"a\"}]\nz = [{code = 451, msg = \"a\\rb{\"}]\n";
	struct err err = {.text = ""};
	struct notes notes = {.count = 0};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, text, strlen(text), &notes, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(notes.count, 7);
	ck_assert_str_eq(provider_draw(of_domain(set, "z"), PROVIDER_DEFER, -1, 0)->text, "a b{{");
	provider_set_free(set);
}
END_TEST

/* Over the corpus: the file's domains are the file's, those of the corpus stay. */
START_TEST(file_goes_over_the_corpus)
{
	static const char text[] = "[default]\nbounce = 0\n[domain.\"gmail.com\"]\nbounce = 10\n";
	struct err err = {.text = ""};
	struct notes notes = {.count = 0};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(corpus_load(set, "current", &err) == 0, "%s", err.text);
	uint64_t limit_words = provider_at(set, 0)->weight[PROVIDER_CONNECTIONS];
	ck_assert_msg(add(set, text, strlen(text), &notes, &err) == 0, "%s", err.text);
	ck_assert_str_eq(of_domain(set, "gmail.com")->name, "domain:gmail.com");
	ck_assert_str_eq(of_domain(set, "googlemail.com")->name, "google");
	const struct span host = span_of("aspmx.l.google.com");
	ck_assert_str_eq(provider_by_mx(set, &host, 1)->name, "google");
	ck_assert_uint_eq(provider_at(set, 0)->bounce_ppm, 0);
	ck_assert_uint_eq(provider_at(set, 0)->defer_ppm, 0);
	ck_assert_uint_eq(provider_at(set, 0)->weight[PROVIDER_BOUNCE], 1);
	ck_assert_uint_eq(provider_at(set, 0)->weight[PROVIDER_CONNECTIONS], limit_words);
	provider_set_free(set);
}
END_TEST

static char *real_read(size_t *len)
{
	static char text[65536];
	FILE *from = fopen(REAL, "r");
	if (!from) {
		printf("skipped: no %s\n", REAL);
		return NULL;
	}
	*len = fread(text, 1, sizeof(text), from);
	fclose(from);
	return text;
}

static const struct {
	const char *domain;
	uint32_t bounce, defer;
	size_t bounces, defers;
} real_rows[] = {
	{"yahoo.ca", 50000, 200000, 1, 4},
	{"yahoo.com", 50000, 200000, 16, 11},
	{"aol.com", 50000, 200000, 2, 2},
	{"hotmail.com", 50000, 100000, 1, 1},
	{"gmail.com", 100000, 100000, 13, 7},
	{"rocketmail.com", 100000, 50000, 1, 3},
	{"shaw.com", 100000, 50000, 1, 4},
};

START_TEST(real_file_loads_unchanged)
{
	static const unsigned malformed[] = {119, 123, 167, 171, 187};
	struct err err = {.text = ""};
	struct notes notes = {.count = 0};
	size_t len;
	const char *text = real_read(&len);
	if (!text)
		return;
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(add(set, text, len, &notes, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(provider_at(set, 0)->bounce_ppm, 100000);
	ck_assert_uint_eq(provider_at(set, 0)->defer_ppm, 50000);
	ck_assert_uint_eq(provider_count(set), 1 + sizeof(real_rows) / sizeof(real_rows[0]));
	for (size_t i = 0; i < sizeof(real_rows) / sizeof(real_rows[0]); i++) {
		const struct provider *provider = of_domain(set, real_rows[i].domain);
		ck_assert_uint_eq(provider->bounce_ppm, real_rows[i].bounce);
		ck_assert_uint_eq(provider->defer_ppm, real_rows[i].defer);
		ck_assert_uint_eq(provider->weight[PROVIDER_BOUNCE], real_rows[i].bounces);
		ck_assert_uint_eq(provider->weight[PROVIDER_DEFER], real_rows[i].defers);
	}
	ck_assert_uint_eq(notes.count, sizeof(malformed) / sizeof(malformed[0]));
	for (size_t i = 0; i < notes.count; i++) {
		bool found = false;
		char at[32];
		snprintf(at, sizeof(at), "r.toml:%u: ", malformed[i]);
		for (size_t j = 0; j < notes.count; j++)
			found |= strncmp(notes.texts[j], at, strlen(at)) == 0;
		ck_assert_msg(found, "no note begins with %s", at);
	}
	provider_set_free(set);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("provider_responses");
	TCase *tcase = tcase_create("provider_responses");
	tcase_add_test(tcase, slips_are_mended_and_named);
	tcase_add_loop_test(tcase, answers_are_those_of_the_file, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(tcase, odds_are_exact);
	tcase_add_loop_test(tcase, odds_that_are_none_are_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, shapeless_files_are_survived);
	tcase_add_test(tcase, file_goes_over_the_corpus);
	tcase_add_test(tcase, real_file_loads_unchanged);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
