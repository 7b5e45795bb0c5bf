#include "explain.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* What a client of the control socket may inject; error NULL: it may. */
static const struct {
	const char *body, *error;
} injections[] = {
	{"{'code': 421, 'enhanced': '4.7.28', 'text': 'unusual rate'}", NULL},
	{"{'code': 550, 'enhanced': '5.7.1', 'phase': 'mail'}", NULL},
	{"{'code': 450}", NULL},
	{"{'delay_ms': 100}", NULL},
	{"{'action': 'close'}", NULL},
	{"{}", "code 0 is no refusal"},
	{"{'code': 250}", "code 250 is no refusal"},
	{"{'code': 450, 'phase': 'later'}", "phase \"later\" is none"},
	{"{'code': 450, 'delay_ms': 600001}", "delay of 600 s"},
	{"{'code': 450, 'count': -1}", "count: say a whole number"},
	{"{'code': 450, 'count': 4294967296}", "count: say a whole number"},
	{"{'code': 450, 'count': 4294967295}", NULL},
	/* What is no number would be none: for ever, in place of a minute; what overflows, a moment. */
	{"{'code': 450, 'seconds': '60'}", "seconds: say a whole number"},
	{"{'code': 450, 'seconds': 0.5}", "seconds: say a whole number"},
	{"{'code': 450, 'seconds': 9223372036854775807}", "seconds: say a whole number"},
	{"{'delay_ms': -1}", "delay_ms: say a whole number"},
	{"{'code': 450, 'phase': 'mail', 'domain': 'x.test'}", "a recipient's domain"},
	{"{'code': 450, 'text': 'two\\r\\nreplies'}", "text: a CR would break the reply"},
	{"{'code': 450, 'enhanced': '\\r\\n250 '}", "enhanced: say a code"},
	{"{'code': 450, 'enhanced': '4.7.1 '}", "enhanced: "},
	{"{'code': 450, 'enhanced': '5.7.1'}", "code 450 and enhanced 5.7.1 contradict"},
	{"{'code': 450, 'source': 'x'}", "source \"x\" is no IP address"},
};

START_TEST(injections_are_checked)
{
	struct err err = {""};
	struct injection injection;
	char *body = strdup(injections[_i].body);
	ck_assert_ptr_nonnull(body);
	for (char *quote = body; (quote = strchr(quote, '\''));)
		*quote = '"';
	json_t *value = json_loads(body, 0, NULL);
	ck_assert_msg(value != NULL, "%s", body);
	int code = explain_read_injection(value, NULL, 1, &injection, &err);
	const char *error = injections[_i].error;
	ck_assert_msg((code < 0) == (error != NULL), "%s: %s", body, err.text);
	if (error)
		ck_assert_msg(strncmp(err.text, error, strlen(error)) == 0, "%s: \"%s\" in place of \"%s\"",
			body, err.text, error);
	json_decref(value);
	free(body);
}
END_TEST

/* It would match what it was not meant for. */
START_TEST(a_domain_is_not_cut)
{
	struct err err = {""};
	struct injection injection;
	char domain[300];
	memset(domain, 'x', sizeof(domain) - 1);
	domain[sizeof(domain) - 1] = '\0';
	json_t *value = json_pack("{s:i,s:s}", "code", 450, "domain", domain);
	ck_assert_int_lt(explain_read_injection(value, NULL, 1, &injection, &err), 0);
	json_decref(value);
}
END_TEST

/* As it was given, also where a signed number of 32 bits would be below 0. */
START_TEST(a_large_count_is_shown_as_it_is)
{
	struct err err = {""};
	struct injections *table = injections_new();
	struct injection injection;
	json_t *value = json_pack("{s:i,s:I}", "code", 450, "count", (json_int_t)UINT32_MAX);
	ck_assert_int_eq(explain_read_injection(value, NULL, 1, &injection, &err), 0);
	ck_assert_int_ge(injections_add(table, &injection, 1, &err), 0);
	json_decref(value);
	value = explain_injections(table, 1);
	const json_t *shown = json_array_get(json_object_get(value, "injections"), 0);
	ck_assert(json_integer_value(json_object_get(shown, "count")) == (json_int_t)UINT32_MAX);
	json_decref(value);
	injections_free(table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("explain");
	TCase *cases = tcase_create("injections");
	tcase_add_loop_test(cases, injections_are_checked, 0, sizeof(injections) / sizeof(injections[0]));
	tcase_add_test(cases, a_domain_is_not_cut);
	tcase_add_test(cases, a_large_count_is_shown_as_it_is);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
