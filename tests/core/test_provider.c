#include "provider.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failmalloc.h"
#include "suite.h"
#include "toml_tree.h"

#define REPLY(at, kind, phase, code, text, weight)                                           \
	TREE_TABLE(NULL, at, TREE_STRING("kind", at, kind), TREE_STRING("phase", at, phase), \
		TREE_INTEGER("code", at, code), TREE_STRING("text", at, text),               \
		TREE_INTEGER("weight", at, weight))

/* clang-format off */
static const struct toml_node first = TREE_TABLE(NULL, 1, TREE_TABLE("provider", 1,
	TREE_TABLE("one", 2,
		TREE_ARRAY("match", 3,
			TREE_TABLE(NULL, 3, TREE_STRING("MXSuffix", 3, ".One.test")),
			TREE_TABLE(NULL, 3, TREE_STRING("HostName", 3, "mx.elsewhere.test"))),
		TREE_ARRAY("domains", 4, TREE_STRING(NULL, 4, "one.test"), TREE_STRING(NULL, 4, "uno.test")),
		TREE_INTEGER("bounce", 5, 10), TREE_FLOAT("defer", 6, 0.5),
		TREE_INTEGER("max_deliveries_per_connection", 7, 20),
		TREE_ARRAY("reply", 10,
			REPLY(10, "bounce", "rcpt", 550, "ten", 10),
			REPLY(11, "bounce", "rcpt", 551, "twenty", 20),
			REPLY(12, "bounce", "mail", 553, "seventy", 70),
			REPLY(13, "defer", "rcpt", 450, "later", 1),
			REPLY(14, "max_deliveries_per_connection", "mail", 421, "enough", 1))),
	TREE_TABLE("two", 20,
		TREE_ARRAY("match", 21, TREE_TABLE(NULL, 21, TREE_STRING("MXSuffix", 21, ".two.test"))))));

static const struct toml_node second = TREE_TABLE(NULL, 1, TREE_TABLE("provider", 1,
	TREE_TABLE("one", 2, TREE_INTEGER("bounce", 3, 0), TREE_ARRAY("domains", 4, TREE_STRING(NULL, 4, "ein.test")),
		TREE_ARRAY("reply", 5, REPLY(5, "defer", "data", 451, "more", 3)))));

static const struct toml_node replacing = TREE_TABLE(NULL, 1, TREE_TABLE("provider", 1,
	TREE_TABLE("one", 2, {.type = TOML_BOOLEAN, .key = "replace_base", .line = 3, .boolean = true},
		TREE_ARRAY("reply", 5, REPLY(5, "defer", "data", 451, "only", 3)))));
/* clang-format on */

static struct provider_set *set_of(const struct toml_node *const *roots, size_t count)
{
	struct err err = {.text = ""};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_ptr_nonnull(set);
	for (size_t i = 0; i < count; i++) {
		char file[] = "0.toml";
		file[0] = (char)('a' + i);
		ck_assert_msg(provider_set_add(set, file, roots[i], "current", &err) == 0, "%s", err.text);
	}
	return set;
}

static const struct provider *by_domain(const struct provider_set *set, const char *domain)
{
	return provider_by_domain(set, span_of(domain));
}

START_TEST(default_is_always_there)
{
	struct provider_set *set = provider_set_new(NULL);
	ck_assert_ptr_nonnull(set);
	ck_assert_uint_eq(provider_count(set), 1);
	const struct provider *provider = provider_at(set, 0);
	ck_assert_str_eq(provider->name, "default");
	ck_assert_uint_eq(provider->index, 0);
	ck_assert_ptr_eq(provider_by_name(set, span_of("default")), provider);
	ck_assert_ptr_null(provider_by_name(set, span_of("banana")));
	ck_assert_ptr_null(provider_draw(provider, PROVIDER_BOUNCE, -1, 0));
	ck_assert_ptr_null(by_domain(set, ""));
	provider_set_free(set);
	provider_set_free(NULL);
}
END_TEST

START_TEST(table_becomes_a_provider)
{
	const struct toml_node *const roots[] = {&first};
	struct provider_set *set = set_of(roots, 1);
	const struct provider *one = provider_by_name(set, span_of("one"));
	ck_assert_ptr_nonnull(one);
	ck_assert_uint_eq(provider_count(set), 3);
	ck_assert_uint_eq(one->index, 1);
	ck_assert_ptr_eq(provider_at(set, 1), one);
	ck_assert_str_eq(one->file, "a.toml");
	ck_assert_uint_eq(one->line, 2);
	ck_assert_uint_eq(one->bounce_ppm, 100000);
	ck_assert_uint_eq(one->defer_ppm, 5000);
	ck_assert_uint_eq(one->limits.deliveries_per_connection, 20);
	ck_assert_str_eq(one->mx_suffixes[0], ".one.test");
	ck_assert_str_eq(one->mx_names[0], "mx.elsewhere.test");
	ck_assert_uint_eq(one->reply_count, 5);
	ck_assert_str_eq(one->replies[1].text, "twenty");
	ck_assert_str_eq(one->replies[1].enhanced, "");
	ck_assert_uint_eq(one->replies[1].line, 11);
	ck_assert_uint_eq(one->weight[PROVIDER_BOUNCE], 100);
	ck_assert_uint_eq(one->weight_at[PROVIDER_BOUNCE][SMTP_PHASE_RCPT], 30);
	ck_assert_uint_eq(one->weight_at[PROVIDER_BOUNCE][SMTP_PHASE_MAIL], 70);
	provider_set_free(set);
}
END_TEST

static const struct {
	const char *hosts[3];
	const char *provider;
} mxs[] = {
	{{"mx.one.test"}, "one"},
	{{"mx.one.test", "mx.elsewhere.test"}, "one"},
	{{"mx.elsewhere.test"}, "one"},
	{{"mx.two.test", "b.two.test", "c.d.two.test"}, "two"},
	{{"mx.one.test", "mx.two.test"}, NULL},
	{{"mx.one.test", "x.elsewhere.test"}, NULL},
	{{"one.test"}, NULL},
	{{"x.mx.elsewhere.test"}, NULL},
	{{"mx.one.test.example"}, NULL},
	{{NULL}, NULL},
};

START_TEST(every_host_must_match)
{
	const struct toml_node *const roots[] = {&first};
	struct provider_set *set = set_of(roots, 1);
	struct span hosts[3];
	size_t count = 0;
	for (; count < 3 && mxs[_i].hosts[count]; count++)
		hosts[count] = span_of(mxs[_i].hosts[count]);
	const struct provider *found = provider_by_mx(set, hosts, count);
	ck_assert_str_eq(found ? found->name : "none", mxs[_i].provider ? mxs[_i].provider : "none");
	provider_set_free(set);
}
END_TEST

START_TEST(domain_is_found_in_any_case)
{
	const struct toml_node *const roots[] = {&first};
	struct provider_set *set = set_of(roots, 1);
	char longest[300];
	memset(longest, 'a', sizeof(longest));
	ck_assert_str_eq(by_domain(set, "one.test")->name, "one");
	ck_assert_str_eq(by_domain(set, "UNO.Test")->name, "one");
	ck_assert_ptr_null(by_domain(set, "x.one.test"));
	ck_assert_ptr_null(by_domain(set, "one.tes"));
	ck_assert_ptr_null(provider_by_domain(set, (struct span){longest, 255}));
	ck_assert_ptr_null(provider_by_domain(set, (struct span){longest, 256}));
	provider_set_free(set);
}
END_TEST

START_TEST(later_table_changes_single_settings)
{
	const struct toml_node *const roots[] = {&first, &second};
	struct provider_set *set = set_of(roots, 2);
	const struct provider *one = provider_by_name(set, span_of("one"));
	ck_assert_uint_eq(provider_count(set), 3);
	ck_assert_uint_eq(one->bounce_ppm, 0);
	ck_assert_uint_eq(one->defer_ppm, 5000);
	ck_assert_uint_eq(one->mx_suffix_count, 1);
	ck_assert_uint_eq(one->reply_count, 6);
	ck_assert_str_eq(one->replies[5].file, "b.toml");
	ck_assert_str_eq(one->file, "a.toml");
	ck_assert_uint_eq(one->weight[PROVIDER_DEFER], 4);
	ck_assert_ptr_eq(by_domain(set, "ein.test"), one);
	ck_assert_ptr_null(by_domain(set, "uno.test"));
	provider_set_free(set);
}
END_TEST

START_TEST(replies_can_be_replaced)
{
	const struct toml_node *const roots[] = {&first, &replacing};
	struct provider_set *set = set_of(roots, 2);
	const struct provider *one = provider_by_name(set, span_of("one"));
	ck_assert_uint_eq(one->reply_count, 1);
	ck_assert_str_eq(one->replies[0].text, "only");
	ck_assert_uint_eq(one->weight[PROVIDER_BOUNCE], 0);
	ck_assert_uint_eq(one->bounce_ppm, 100000);
	provider_set_free(set);
}
END_TEST

/* Draws in even steps: each reply gets its share to the last one. */
START_TEST(weights_are_exact)
{
	const struct toml_node *const roots[] = {&first};
	struct provider_set *set = set_of(roots, 1);
	const struct provider *one = provider_by_name(set, span_of("one"));
	unsigned counts[600] = {0}, at_rcpt[600] = {0};
	const unsigned steps = 30000;
	for (unsigned i = 0; i < steps; i++) {
		uint64_t draw = UINT64_MAX / steps * i;
		counts[provider_draw(one, PROVIDER_BOUNCE, -1, draw)->code]++;
		at_rcpt[provider_draw(one, PROVIDER_BOUNCE, SMTP_PHASE_RCPT, draw)->code]++;
	}
	ck_assert_uint_le(abs((int)counts[550] - (int)steps / 10), 1);
	ck_assert_uint_le(abs((int)counts[551] - (int)steps / 5), 1);
	ck_assert_uint_le(abs((int)counts[553] - (int)steps * 7 / 10), 1);
	ck_assert_uint_le(abs((int)at_rcpt[550] - (int)steps / 3), 1);
	ck_assert_uint_le(abs((int)at_rcpt[551] - (int)steps * 2 / 3), 1);
	ck_assert_uint_eq(at_rcpt[553], 0);
	ck_assert_ptr_nonnull(provider_draw(one, PROVIDER_BOUNCE, -1, UINT64_MAX));
	ck_assert_ptr_null(provider_draw(one, PROVIDER_BOUNCE, SMTP_PHASE_DATA, 0));
	ck_assert_ptr_null(provider_draw(one, PROVIDER_GREYLIST, -1, UINT64_MAX));
	provider_set_free(set);
}
END_TEST

/* Enough for several blocks of memory, growing lists and growing hash tables. */
START_TEST(thousands_are_found)
{
	enum {
		COUNT = 5000
	};
	struct err err = {.text = ""};
	struct toml_node *tables = calloc(COUNT, sizeof(*tables));
	struct toml_node *domains = calloc(COUNT, 2 * sizeof(*domains));
	char(*names)[32] = calloc(COUNT, sizeof(*names));
	ck_assert(tables && domains && names);
	for (size_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "d%zu.test", i);
		domains[2 * i + 1] = (struct toml_node)TREE_STRING(NULL, 1, names[i]);
		domains[2 * i] = (struct toml_node){.type = TOML_ARRAY,
			.key = "domains",
			.line = 1,
			.items = &domains[2 * i + 1],
			.count = 1};
		tables[i] = (struct toml_node){.type = TOML_TABLE,
			.key = names[i],
			.line = (unsigned)i + 1,
			.items = &domains[2 * i],
			.count = 1};
	}
	const struct toml_node provider = {
		.type = TOML_TABLE, .key = "provider", .items = tables, .count = COUNT};
	const struct toml_node root = {.type = TOML_TABLE, .items = &provider, .count = 1};
	struct provider_set *set = provider_set_new(&err);
	ck_assert_msg(provider_set_add(set, "f.toml", &root, "all", &err) == 0, "%s", err.text);
	ck_assert_uint_eq(provider_count(set), COUNT + 1);
	for (size_t i = 0; i < COUNT; i++) {
		ck_assert_uint_eq(by_domain(set, names[i])->line, i + 1);
		ck_assert_str_eq(provider_at(set, i + 1)->name, names[i]);
	}
	provider_set_free(set);
	free(tables);
	free(domains);
	free(names);
}
END_TEST

START_TEST(wordings_have_names)
{
	struct err err;
	struct provider_set *set = provider_set_new(NULL);
	ck_assert_int_eq(provider_set_add(set, "f.toml", &second, "new", &err), -EINVAL);
	ck_assert_str_eq(err.text, "replies' wording \"new\" is unknown; there are current, old, all");
	provider_set_free(set);
}
END_TEST

START_TEST(names_are_those_of_a_profile)
{
	static const char *const phases[] = {"connect", "ehlo", "mail", "rcpt", "data", "end_of_data"};
	static const char *const kinds[] = {"bounce", "defer", "connection_limit", "max_connection_rate",
		"max_message_rate", "max_deliveries_per_connection", "max_recipients_per_message",
		"max_message_size", "reputation", "greylist", "mx_mismatch"};
	ck_assert_uint_eq(sizeof(phases) / sizeof(phases[0]), PROVIDER_PHASES);
	ck_assert_uint_eq(sizeof(kinds) / sizeof(kinds[0]), PROVIDER_KINDS);
	for (int i = 0; i < PROVIDER_PHASES; i++)
		ck_assert_str_eq(provider_phase_name(i), phases[i]);
	for (int i = 0; i < PROVIDER_KINDS; i++)
		ck_assert_str_eq(provider_kind_name(i), kinds[i]);
}
END_TEST

#ifdef FAILMALLOC
/* Whichever allocation fails, it is told and nothing is lost. */
START_TEST(memory_may_run_out)
{
	int rc = -ENOMEM;
	long nth = 1;
	for (; rc != 0 && nth < 100; nth++) {
		struct err err = {.text = ""};
		failmalloc_at(nth);
		struct provider_set *set = provider_set_new(&err);
		rc = set ? provider_set_add(set, "f.toml", &first, "all", &err) : -ENOMEM;
		failmalloc_at(0);
		ck_assert(rc == 0 || rc == -ENOMEM);
		ck_assert_msg(rc == 0 || strstr(err.text, "out of memory"), "%s", err.text);
		provider_set_free(set);
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_int_gt(nth, 3);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("provider");
	TCase *tcase = tcase_create("provider");
	tcase_add_test(tcase, default_is_always_there);
	tcase_add_test(tcase, table_becomes_a_provider);
	tcase_add_loop_test(tcase, every_host_must_match, 0, sizeof(mxs) / sizeof(mxs[0]));
	tcase_add_test(tcase, domain_is_found_in_any_case);
	tcase_add_test(tcase, later_table_changes_single_settings);
	tcase_add_test(tcase, replies_can_be_replaced);
	tcase_add_test(tcase, weights_are_exact);
	tcase_add_test(tcase, thousands_are_found);
	tcase_add_test(tcase, wordings_have_names);
	tcase_add_test(tcase, names_are_those_of_a_profile);
#ifdef FAILMALLOC
	tcase_add_test(tcase, memory_may_run_out);
#endif
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
