#include "gen_options.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define ARGUMENTS_MAX 64
#define ROWS(table)   (sizeof(table) / sizeof((table)[0]))

static char line[1024];
static char *words[ARGUMENTS_MAX];

/* A command line, divided at spaces; '' is an empty word. */
static int read_line(struct gen_options *options, const char *text, struct err *err)
{
	int count = 0;
	strcpy(line, text);
	words[count++] = "gen";
	for (char *word = strtok(line, " "); word && count < ARGUMENTS_MAX; word = strtok(NULL, " "))
		words[count++] = strcmp(word, "''") == 0 ? "" : word;
	return gen_options_read(options, count, words, err);
}

static struct gen_options good(const char *text)
{
	struct gen_options options;
	struct err err = {""};
	ck_assert_msg(read_line(&options, text, &err) == 0, "%s: %s", text, err.text);
	return options;
}

START_TEST(defaults_are_traffic_gens)
{
	struct gen_options options = good("");
	ck_assert_str_eq(options.target, "127.0.0.1:2025");
	gen_options_done(&options);
	options = good("--http");
	ck_assert_str_eq(options.target, "http://127.0.0.1:8000");
	gen_options_done(&options);
	options = good("--http --target 127.0.0.1:2025");
	ck_assert_str_eq(options.target, "127.0.0.1:2025");
	gen_options_done(&options);
	options = good("");
	ck_assert_uint_eq(options.duration_ms, 60000);
	ck_assert_uint_eq(options.body_size, 1024);
	ck_assert_uint_eq(options.message_count, 0);
	ck_assert_uint_eq(options.http_batch_size, 1);
	ck_assert_str_eq(options.domain_suffix, "mx-sink.wezfurlong.org");
	ck_assert_uint_eq(options.domains.count, 13);
	ck_assert_uint_eq(options.throttle.count, 0);
	ck_assert(!options.keep_going && !options.starttls && !options.http && !options.json);
	ck_assert_uint_ge(options.threads, 1);
	ck_assert_uint_eq(options.concurrency, 10 * options.threads);
	gen_options_done(&options);
}
END_TEST

START_TEST(published_examples_are_read)
{
	struct gen_options one =
		good("--target 192.0.2.1:25 --concurrency 20000 --message-count 100000 --body-size 100000");
	ck_assert_str_eq(one.target, "192.0.2.1:25");
	ck_assert_uint_eq(one.concurrency, 20000);
	ck_assert_uint_eq(one.message_count, 100000);
	ck_assert_uint_eq(one.body_size, 100000);
	gen_options_done(&one);

	struct gen_options two = good(
		"--target localhost:2025 --keep-going --concurrency 400 --body-size 60kb --duration 1500 "
		"--domain-suffix testingdomain.tld --domain aol.com:1.5 --domain gmail.com:67.4");
	ck_assert(two.keep_going);
	ck_assert_uint_eq(two.body_size, 60000);
	ck_assert_uint_eq(two.duration_ms, 1500000);
	ck_assert_str_eq(two.domain_suffix, "testingdomain.tld");
	ck_assert_uint_eq(two.domains.count, 2);
	ck_assert_str_eq(two.domains.texts[1], "gmail.com:67.4");
	gen_options_done(&two);
}
END_TEST

START_TEST(the_rest_is_read)
{
	struct gen_options options = good("--domain-suffix '' --throttle 100/s --header X-A:1 --header X-B:2 "
					  "--http --http-batch-size 7 "
					  "--http-defer-spool --http-defer-generation --seed 5 --tenant a "
					  "--tenant b:3 --source 127.0.0.2 "
					  "--json --cpu-of 1 --warm-up 0.25 --duration=0.5 --threads 1");
	ck_assert_str_eq(options.domain_suffix, "");
	ck_assert_uint_eq(options.throttle.count, 100);
	ck_assert_uint_eq(options.throttle.period_s, 1);
	ck_assert_uint_eq(options.headers.count, 2);
	ck_assert(options.http && options.http_defer_spool && options.http_defer_generation && options.json);
	ck_assert_uint_eq(options.http_batch_size, 7);
	ck_assert_uint_eq(options.seed, 5);
	ck_assert_uint_eq(options.tenants.count, 2);
	ck_assert_uint_eq(options.sources.count, 1);
	ck_assert_uint_eq(options.warm_up_ms, 250);
	ck_assert_uint_eq(options.duration_ms, 500);
	gen_options_done(&options);
	options = good("--starttls --bdat --pipeline --messages-per-connection 3 --idle 4 --concurrency 2 "
		       "--threads 9");
	ck_assert(options.starttls && options.bdat && options.pipeline);
	ck_assert_uint_eq(options.per_connection, 3);
	ck_assert_uint_eq(options.idle, 4);
	ck_assert_uint_eq(options.threads, 2);
	gen_options_done(&options);
}
END_TEST

static const struct {
	const char *text;
	uint64_t octets;
} sizes[] = {
	{"0", 0},
	{"1024", 1024},
	{"60kb", 60000},
	{"60KB", 60000},
	{"60k", 60000},
	{"60kib", 61440},
	{"1.5mb", 1500000},
	{"1mib", 1048576},
	{"2b", 2},
	{"1gib", 1073741824},
};

START_TEST(sizes_are_read)
{
	char text[64];
	snprintf(text, sizeof(text), "--body-size %s", sizes[_i].text);
	struct gen_options options = good(text);
	ck_assert_uint_eq(options.body_size, sizes[_i].octets);
	gen_options_done(&options);
}
END_TEST

static const struct {
	const char *line, *says;
} mistakes[] = {
	{"--concurrency 0", "--concurrency 0: a whole number from 1"},
	{"--concurrency 1x", "--concurrency 1x: a whole number"},
	{"--message-count -1", "--message-count -1: a whole number"},
	{"--duration 0", "--duration 0: a number of seconds"},
	{"--duration 5s", "--duration 5s: a number of seconds"},
	{"--body-size 60qb", "--body-size 60qb: a size"},
	{"--body-size 2gib", "--body-size 2gib: a size"},
	{"--body-size kb", "--body-size kb: a size"},
	{"--throttle 100", "--throttle: \"100\" is no rate"},
	{"--header X", "write one line, \"Name: text\""},
	{"--header :x", "write one line, \"Name: text\""},
	{"--pipeline --no-pipeline", "choose one"},
	{"--http --starttls", "--http goes with none of"},
	{"--http --connect-only", "--http goes with none of"},
	{"--nonsense", "--nonsense: no such option"},
	{"--target", "--target: a value is missing"},
	{"extra", "extra: gen takes options only"},
};

START_TEST(mistakes_are_named)
{
	struct gen_options options;
	struct err err = {""};
	ck_assert_int_eq(read_line(&options, mistakes[_i].line, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, mistakes[_i].says) != NULL, "%s: %s", mistakes[_i].line, err.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gen_options");
	TCase *tcase = tcase_create("gen_options");
	tcase_add_test(tcase, defaults_are_traffic_gens);
	tcase_add_test(tcase, published_examples_are_read);
	tcase_add_test(tcase, the_rest_is_read);
	tcase_add_loop_test(tcase, sizes_are_read, 0, ROWS(sizes));
	tcase_add_loop_test(tcase, mistakes_are_named, 0, ROWS(mistakes));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
