#include "injection_request.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static struct mail mail_of(int argc, char **argv)
{
	struct gen_options options;
	struct mail mail;
	struct err err = {""};
	ck_assert_msg(gen_options_read(&options, argc, argv, &err) == 0, "%s", err.text);
	ck_assert_msg(mail_make(&mail, &options, &err) == 0, "%s", err.text);
	gen_options_done(&options);
	return mail;
}

START_TEST(a_request_holds_message_and_recipients)
{
	char *argv[] = {"gen", "--domain", "one.example", "--domain-suffix", "", "--seed", "1"};
	struct mail mail = mail_of((int)ROWS(argv), argv);
	struct mail_item item;
	const struct injection_options options = {.defer_spool = true};
	mail_pick(&mail, 5, &item);
	char *text = injection_request_make(&mail, &item, 3, span_of("now"), &options);
	ck_assert_ptr_nonnull(text);
	json_t *request = json_loads(text, 0, NULL);
	free(text);
	ck_assert_ptr_nonnull(request);
	ck_assert_str_eq(
		json_string_value(json_object_get(request, "envelope_sender")), "noreply@one.example");
	const char *content = json_string_value(json_object_get(request, "content"));
	ck_assert_ptr_nonnull(strstr(content, "\r\nDate: now\r\n"));
	ck_assert_uint_ge(strlen(content), mail.text.len);
	ck_assert_mem_eq(content + strlen(content) - mail.text.len, mail.text.data, mail.text.len);
	json_t *recipients = json_object_get(request, "recipients");
	ck_assert_uint_eq(json_array_size(recipients), 3);
	for (size_t i = 0; i < 3; i++) {
		const char *email =
			json_string_value(json_object_get(json_array_get(recipients, i), "email"));
		ck_assert_msg(strncmp(email, "user-", 5) == 0 && strstr(email, "@one.example"), "%s", email);
	}
	ck_assert(json_is_true(json_object_get(request, "deferred_spool")));
	ck_assert(json_is_false(json_object_get(request, "deferred_generation")));
	json_decref(request);
	mail_done(&mail);
}
END_TEST

static const struct {
	long status;
	const char *body;
	uint64_t failed;
	const char *text;
} responses[] = {
	{200, "{\"success_count\":4,\"fail_count\":0,\"failed_recipients\":[],\"errors\":[]}", 0, NULL},
	{200, "{\"success_count\":0,\"fail_count\":0,\"failed_recipients\":[],\"errors\":[]}", 0, NULL},
	{200, "{\"success_count\":3,\"fail_count\":1,\"failed_recipients\":[\"a@b\"],\"errors\":[\"bad\"]}",
		1, "bad"},
	{200, "{\"fail_count\":1}", 1, "no reason given"},
	{200, "{\"fail_count\":99}", 4, "no reason given"},
	{200, "<html>", 4, "not the injection API's answer"},
	{200, "", 4, "not the injection API's answer"},
	{401, "Unauthorized\nmore", 4, "Unauthorized"},
	{503, "", 4, ""},
};

START_TEST(responses_are_judged)
{
	struct gen_verdict verdict = {0};
	uint64_t failed =
		injection_response_read(responses[_i].status, span_of(responses[_i].body), 4, &verdict);
	ck_assert_uint_eq(failed, responses[_i].failed);
	if (!failed)
		return;
	ck_assert_uint_eq(verdict.code, (unsigned)responses[_i].status);
	ck_assert(span_equal((struct span){verdict.text, verdict.text_len}, span_of(responses[_i].text)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("injection_request");
	TCase *tcase = tcase_create("injection_request");
	tcase_add_test(tcase, a_request_holds_message_and_recipients);
	tcase_add_loop_test(tcase, responses_are_judged, 0, ROWS(responses));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
