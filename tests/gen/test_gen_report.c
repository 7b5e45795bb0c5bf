#include "gen_report.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static struct generator_result result;
static struct gen_options options;
static char *said;

static void reset(void)
{
	memset(&result, 0, sizeof(result));
	options = (struct gen_options){.target = "192.0.2.1:25"};
}

static void count(enum gen_phase phase, uint16_t code, const char *text, uint64_t messages)
{
	const struct gen_verdict verdict = gen_verdict_of(phase, code, span_of(text));
	tally_failure(&result.tally, &verdict, messages, 0);
	tally_add(&result.tally, TALLY_FAILED, messages);
}

/* What a printer writes. */
static const char *text_of(void (*print)(const struct gen_options *, const struct generator_result *, FILE *))
{
	size_t size;
	free(said);
	FILE *file = open_memstream(&said, &size);
	print(&options, &result, file);
	fclose(file);
	return said;
}

START_TEST(a_run_is_told)
{
	reset();
	result.end = GENERATOR_DEADLINE;
	result.messages = 123456;
	result.seconds = 2;
	tally_add(&result.tally, TALLY_SENT, 123456);
	for (uint64_t us = 1; us <= 100; us++)
		histogram_add(&result.tally.latency, us);
	count(GEN_PHASE_RCPT, 550, "5.1.1 unknown 1", 3);
	count(GEN_PHASE_RCPT, 550, "5.1.1 unknown 2", 4);
	count(GEN_PHASE_RCPT, 450, "4.2.1 later", 1200);
	const char *text = text_of(gen_report_text);
	ck_assert_ptr_nonnull(strstr(text, "Deadline reached, stopping\n"));
	ck_assert_ptr_nonnull(strstr(text, "did 123,456 messages over 2.000s, 1,207 failed;"));
	const char *later = strstr(text, "1,200 messages at rcpt: 450 4.2.1 later\n");
	const char *unknown = strstr(text, "7 messages at rcpt: 550 5.1.1 unknown 1\n");
	ck_assert_msg(later && unknown && later < unknown, "%s", text);
	ck_assert_ptr_nonnull(
		strstr(text, "transaction latency: avg=50µs min=1µs max=100µs p50=50µs p75=75µs "
			     "p90=90µs p95=95µs p99=99µs p99.9=100µs\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "overall rate: 61,728 msgs/s, 3,703,680 msgs/minute, 222,220,800 msgs/hour\n"));
}
END_TEST

/* Connections alone are no messages, and what idle ones take is told to people, too. */
START_TEST(other_units_are_named)
{
	reset();
	options.connect_only = true;
	options.cpu_of = 4711;
	options.idle = 1000;
	result.messages = 500;
	result.seconds = 2;
	result.cpu_of_s = 0.001;
	result.idle_memory = 1234000;
	tally_add(&result.tally, TALLY_SENT, 500);
	const char *text = text_of(gen_report_text);
	ck_assert_ptr_nonnull(strstr(text, "did 500 connections to their end over 2.000s"));
	ck_assert_ptr_nonnull(strstr(text, "overall rate: 250 connections/s, 15,000 connections/minute"));
	ck_assert_ptr_nonnull(strstr(text, "CPU time of process 4711: 0.001s, 2.0µs a connection\n"));
	ck_assert_ptr_nonnull(strstr(
		text, "memory of process 4711 for 1,000 idle connections: 1,234,000 bytes, 1,234 each\n"));
}
END_TEST

START_TEST(json_has_it_all)
{
	reset();
	result.end = GENERATOR_ALL_SENT;
	result.messages = 10;
	result.seconds = 0.5;
	tally_add(&result.tally, TALLY_SENT, 12);
	count(GEN_PHASE_END_OF_DATA, 421, "4.7.0 busy \x01\xff", 2);
	json_t *object = json_loads(text_of(gen_report_json), 0, NULL);
	ck_assert_ptr_nonnull(object);
	ck_assert_str_eq(json_string_value(json_object_get(object, "end")), "all_sent");
	ck_assert_int_eq(json_integer_value(json_object_get(object, "sent")), 12);
	ck_assert_int_eq(json_integer_value(json_object_get(object, "failed")), 2);
	json_t *failure = json_array_get(json_object_get(object, "failures"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(failure, "phase")), "end_of_data");
	ck_assert_str_eq(json_string_value(json_object_get(failure, "enhanced")), "4.7.0");
	ck_assert_str_eq(json_string_value(json_object_get(failure, "text")), "4.7.0 busy ??");
	ck_assert_int_eq(json_integer_value(json_object_get(failure, "code")), 421);
	ck_assert(json_real_value(json_object_get(json_object_get(object, "rate"), "per_second")) == 20);
	json_decref(object);
}
END_TEST

START_TEST(a_run_without_success_has_no_latency)
{
	reset();
	count(GEN_PHASE_RCPT, 550, "no", 1);
	const char *text = text_of(gen_report_text);
	ck_assert_ptr_nonnull(strstr(text, " 1 message at rcpt: 550 no\n"));
	ck_assert_ptr_null(strstr(text, "latency"));
}
END_TEST

/* More kinds than rows: the last row takes them, none is lost. */
START_TEST(no_failure_is_lost)
{
	uint64_t total = 0;
	reset();
	for (uint16_t code = 400; code < 500; code++)
		count(GEN_PHASE_MAIL, code, "x", 1);
	for (size_t i = 0; i < TALLY_FAILURES; i++)
		total += result.tally.failures[i].messages;
	ck_assert_uint_eq(total, 100);
	ck_assert_ptr_nonnull(strstr(text_of(gen_report_text), "kinds more; --json has them"));
}
END_TEST

static const struct {
	uint64_t wanted, sent, failed;
	bool keep_going;
	enum generator_end end;
	const char *reason; /* NULL: all is well */
} runs[] = {
	{0, 10, 0, false, GENERATOR_DEADLINE, NULL},
	{0, 10, 0, false, GENERATOR_INTERRUPTED, NULL},
	{0, 10, 5, true, GENERATOR_DEADLINE, NULL},
	{0, 10, 5, false, GENERATOR_DEADLINE, "5 messages failed; most often at rcpt: 550 no"},
	{0, 0, 5, true, GENERATOR_DEADLINE,
		"not one message was sent to 192.0.2.1:25; most often at rcpt: 550 no"},
	{10, 10, 0, false, GENERATOR_ALL_SENT, NULL},
	{10, 10, 5, false, GENERATOR_ALL_SENT, NULL},
	{20, 10, 0, true, GENERATOR_DEADLINE, NULL},
	{20, 10, 0, false, GENERATOR_DEADLINE, "10 of 20 messages were sent when --duration was over"},
	{20, 10, 0, false, GENERATOR_INTERRUPTED, "10 of 20 messages were sent when the run was interrupted"},
	{20, 10, 3, false, GENERATOR_STOPPED,
		"10 of 20 messages were sent when every connection had met a refusal (--keep-going goes on); "
		"most "
		"often at rcpt: 550 no"},
};

START_TEST(reasons_are_clear)
{
	struct err err = {""};
	reset();
	options.message_count = runs[_i].wanted;
	options.keep_going = runs[_i].keep_going;
	result.end = runs[_i].end;
	tally_add(&result.tally, TALLY_SENT, runs[_i].sent);
	if (runs[_i].failed)
		count(GEN_PHASE_RCPT, 550, "no", runs[_i].failed);
	ck_assert(gen_report_reason(&options, &result, &err) == (runs[_i].reason != NULL));
	if (runs[_i].reason)
		ck_assert_str_eq(err.text, runs[_i].reason);
}
END_TEST

/* Connections that break do not hide why messages failed; that nothing was answered at all is said, too. */
START_TEST(the_reason_is_the_messages)
{
	const struct gen_verdict refused =
		gen_verdict_of(GEN_PHASE_CONNECT, 0, span_of("Connection refused"));
	struct err err = {""};
	reset();
	tally_add(&result.tally, TALLY_SENT, 10);
	tally_failure(&result.tally, &refused, 0, 30);
	count(GEN_PHASE_DATA, 0, "the target closed the connection", 2);
	ck_assert(gen_report_reason(&options, &result, &err));
	ck_assert_str_eq(err.text, "2 messages failed; most often at data: the target closed the connection");

	reset();
	tally_add(&result.tally, TALLY_CONNECTIONS, 2);
	ck_assert(gen_report_reason(&options, &result, &err));
	ck_assert_str_eq(err.text,
		"not one message was sent to 192.0.2.1:25; nothing was refused: the target did not answer in "
		"time");
}
END_TEST

START_TEST(progress_is_a_line_a_second)
{
	struct gen_report_progress progress;
	size_t size;
	free(said);
	FILE *file = open_memstream(&said, &size);
	reset();
	gen_report_begin(&progress, &options, file, UINT64_C(1000000000));
	progress.overwrites = false;
	gen_report_progress(&progress, UINT64_C(2000000000), 1500, 20);
	gen_report_progress(&progress, UINT64_C(4000000000), 2500, 7);
	fclose(file);
	ck_assert_str_eq(said, "current rate: 1,500 msgs/s, 90,000 msgs/minute, 5,400,000 msgs/hour "
			       "(sent=1,500, clients=20)\n"
			       "current rate: 500 msgs/s, 30,000 msgs/minute, 1,800,000 msgs/hour "
			       "(sent=2,500, clients=7)\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gen_report");
	TCase *tcase = tcase_create("gen_report");
	tcase_add_test(tcase, a_run_is_told);
	tcase_add_test(tcase, other_units_are_named);
	tcase_add_test(tcase, json_has_it_all);
	tcase_add_test(tcase, a_run_without_success_has_no_latency);
	tcase_add_test(tcase, no_failure_is_lost);
	tcase_add_loop_test(tcase, reasons_are_clear, 0, sizeof(runs) / sizeof(runs[0]));
	tcase_add_test(tcase, the_reason_is_the_messages);
	tcase_add_test(tcase, progress_is_a_line_a_second);
	suite_add_tcase(suite, tcase);
	int status = suite_run(suite);
	free(said);
	return status;
}
