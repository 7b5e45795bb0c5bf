#include "conf.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conf_key.h"
#include "failmalloc.h"
#include "suite.h"

#define ITEMS(array) .items = (array), .count = sizeof(array) / sizeof((array)[0])
#define ROOT(...)                                                                    \
	{                                                                            \
		.type = TOML_TABLE, ITEMS(((const struct toml_node[]){__VA_ARGS__})) \
	}
#define SECTION(name, ...)                                       \
	{                                                        \
		.type = TOML_TABLE, .key = (name), .line = 1,    \
		ITEMS(((const struct toml_node[]){__VA_ARGS__})) \
	}

static const struct toml_node workers_4 =
	ROOT(SECTION("listen", {.type = TOML_INTEGER, .key = "workers", .line = 2, .integer = 4}));

static const struct toml_node excluding =
	ROOT(SECTION("divert", {.type = TOML_ARRAY,
				       .key = "exclude",
				       .line = 2,
				       ITEMS(((const struct toml_node[]){
					       {.type = TOML_STRING, .line = 2, .string = "192.0.2.0/24"},
				       }))}));

/* As named in the contract; a change here is a change for users. */
START_TEST(defaults_are_these)
{
	struct err err;
	struct conf *conf = conf_new(NULL, NULL, 3, &err);
	ck_assert_ptr_nonnull(conf);
	ck_assert_str_eq(conf->file, "(defaults)");
	ck_assert_uint_eq(conf->divert.port_count, 1);
	ck_assert_uint_eq(conf->divert.ports[0], 25);
	ck_assert_uint_eq(conf->divert.exclude_count, 0);
	ck_assert_uint_eq(conf->listen.port_first, 4025);
	ck_assert_uint_eq(conf->listen.port_last, 4032);
	ck_assert_uint_eq(conf->listen.workers, 3);
	ck_assert_int_eq(conf->guard.on_stop, CONF_ON_STOP_KEEP);
	ck_assert_int_eq(conf->answer.mode, CONF_ANSWER_SMART);
	ck_assert_uint_eq(conf->answer.seed, 1);
	ck_assert_str_eq(conf->answer.hostname, "mx.mxmirage.test");
	ck_assert_str_eq(conf->admin.socket, "/run/mxmirage/control.sock");
	ck_assert_str_eq(conf->counts.file, "/run/mxmirage/counts");
	ck_assert_uint_eq(conf->counts.domains, 65536);
	ck_assert_uint_eq(conf->counts.destinations, 32768);
	ck_assert_uint_eq(conf->counts.sources, 8192);
	ck_assert_str_eq(conf->responder.user, "");
	conf_unref(conf);
}
END_TEST

static const struct {
	unsigned cpus;
	unsigned workers;
} workers[] = {{0, 1}, {1, 1}, {64, 64}, {65, 64}, {4096, 64}};

START_TEST(workers_are_resolved)
{
	struct conf *conf = conf_new(NULL, NULL, workers[_i].cpus, NULL);
	ck_assert_uint_eq(conf->listen.workers, workers[_i].workers);
	conf_unref(conf);
	conf = conf_new("f.toml", &workers_4, workers[_i].cpus, NULL);
	ck_assert_uint_eq(conf->listen.workers, 4);
	conf_unref(conf);
}
END_TEST

START_TEST(tree_is_copied)
{
	char file[] = "f.toml", block[] = "192.0.2.0/24", name[] = "mx.example.test";
	const struct toml_node exclude[] = {{.type = TOML_STRING, .line = 2, .string = block}};
	const struct toml_node divert[] = {{.type = TOML_ARRAY, .key = "exclude", .line = 2, ITEMS(exclude)}};
	const struct toml_node answer[] = {
		{.type = TOML_STRING, .key = "hostname", .line = 4, .string = name}};
	const struct toml_node sections[] = {
		{.type = TOML_TABLE, .key = "divert", .line = 1, ITEMS(divert)},
		{.type = TOML_TABLE, .key = "answer", .line = 3, ITEMS(answer)},
	};
	const struct toml_node root = {.type = TOML_TABLE, ITEMS(sections)};
	struct conf *conf = conf_new(file, &root, 1, NULL);
	ck_assert_ptr_nonnull(conf);
	memset(file, 'x', sizeof(file) - 1);
	memset(block, 'x', sizeof(block) - 1);
	memset(name, 'x', sizeof(name) - 1);
	ck_assert_str_eq(conf->file, "f.toml");
	ck_assert_str_eq(conf->answer.hostname, "mx.example.test");
	ck_assert_uint_eq(conf->divert.exclude_count, 1);
	ck_assert_uint_eq(conf->divert.exclude[0].family, AF_INET);
	ck_assert_uint_eq(conf->divert.exclude[0].prefix, 24);
	ck_assert_mem_eq(conf->divert.exclude[0].address, "\xc0\x00\x02\x00", 4);
	conf_unref(conf);
}
END_TEST

START_TEST(restart_is_asked_for_by_name)
{
	struct conf *defaults = conf_new(NULL, NULL, 1, NULL);
	struct conf *more = conf_new("f.toml", &workers_4, 1, NULL);
	struct conf *lan = conf_new("f.toml", &excluding, 1, NULL);
	ck_assert_str_eq(conf_needs_restart(defaults, more), "listen.workers");
	ck_assert_str_eq(conf_needs_restart(more, defaults), "listen.workers");
	ck_assert_ptr_null(conf_needs_restart(defaults, lan));
	ck_assert_ptr_null(conf_needs_restart(more, more));
	conf_unref(defaults);
	conf_unref(more);
	conf_unref(lan);
}
END_TEST

/* A processor more or less is no change of the file. */
START_TEST(zero_workers_stay_zero)
{
	char *text;
	size_t len;
	struct conf *two = conf_new(NULL, NULL, 2, NULL);
	struct conf *three = conf_new(NULL, NULL, 3, NULL);
	ck_assert_ptr_null(conf_needs_restart(two, three));
	FILE *to = open_memstream(&text, &len);
	conf_print(two, to);
	fclose(to);
	ck_assert_ptr_nonnull(strstr(text, "\nworkers = 0\n"));
	free(text);
	conf_unref(two);
	conf_unref(three);
}
END_TEST

/* A row that lacks something would show only when a user meets it. */
START_TEST(every_row_is_complete)
{
	for (const struct conf_key *key = conf_keys; key->section; key++) {
		size_t len = strlen(key->section);
		ck_assert_int_eq(strncmp(key->path, key->section, len), 0);
		ck_assert_str_eq(key->path + len + 1, key->name);
		ck_assert_int_eq(key->preset.type, key->kind->type);
		ck_assert_uint_gt(strlen(key->example), 0);
		ck_assert_uint_gt(strlen(key->meaning), 0);
		ck_assert_int_eq(key->check != NULL, key->kind == &conf_kind_text);
		ck_assert_int_eq(key->choices != NULL,
			key->kind == &conf_kind_choice || key->kind == &conf_kind_words);
		if (key->kind == &conf_kind_number)
			ck_assert(key->size == 4 ? key->max <= UINT32_MAX : key->size == 8);
	}
}
END_TEST

static void *share(void *argument)
{
	const struct conf *conf = argument;
	for (unsigned i = 0; i < 20000; i++)
		conf_unref(conf_ref(conf));
	conf_unref(conf);
	return NULL;
}

/* The sanitizers see a share too few (use after free) and a share too many (leak). */
START_TEST(shares_are_counted_across_threads)
{
	struct conf *conf = conf_new("f.toml", &excluding, 1, NULL);
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, share, (void *)conf_ref(conf)), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(atomic_load(&conf->references), 1);
	conf_unref(conf);
	conf_unref(NULL);
	ck_assert_ptr_null(conf_ref(NULL));
}
END_TEST

START_TEST(every_failing_allocation_is_an_error)
{
	unsigned failures = 0;
	for (long nth = 1; nth < 1000; nth++) {
		struct err err = {.text = ""};
		failmalloc_at(nth);
		struct conf *conf = conf_new("f.toml", &excluding, 1, &err);
		failmalloc_at(0);
		if (conf) {
			conf_unref(conf);
			break;
		}
		ck_assert_msg(strstr(err.text, "out of memory"), "%s", err.text);
		failures++;
	}
#ifdef FAILMALLOC
	ck_assert_uint_gt(failures, 3);
	ck_assert_uint_lt(failures, 999);
#endif
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conf");
	TCase *tcase = tcase_create("conf");
	tcase_add_test(tcase, defaults_are_these);
	tcase_add_loop_test(tcase, workers_are_resolved, 0, sizeof(workers) / sizeof(workers[0]));
	tcase_add_test(tcase, tree_is_copied);
	tcase_add_test(tcase, restart_is_asked_for_by_name);
	tcase_add_test(tcase, zero_workers_stay_zero);
	tcase_add_test(tcase, every_row_is_complete);
	tcase_add_test(tcase, shares_are_counted_across_threads);
	tcase_add_test(tcase, every_failing_allocation_is_an_error);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
