#include "gen_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILURES_SHOWN 10

static const unsigned per_milles[] = {500, 750, 900, 950, 990, 999};
static const char *const percentile_names[] = {"p50", "p75", "p90", "p95", "p99", "p99.9"};

#define PERCENTILES (sizeof(per_milles) / sizeof(per_milles[0]))

/* 1234567 as 1,234,567. */
struct number {
	char chars[32];
};

static struct number number(double value)
{
	char digits[24];
	struct number text;
	int len = snprintf(digits, sizeof(digits), "%.0f", value), at = 0;
	for (int i = 0; i < len && at < 30; i++) {
		if (i && (len - i) % 3 == 0 && digits[i - 1] != '-')
			text.chars[at++] = ',';
		text.chars[at++] = digits[i];
	}
	text.chars[at] = '\0';
	return text;
}

/* Microseconds in the unit that suits them. */
static struct number duration(double us)
{
	struct number text;
	if (us < 1000)
		snprintf(text.chars, sizeof(text.chars), "%.0fµs", us);
	else if (us < 1e6)
		snprintf(text.chars, sizeof(text.chars), "%.2fms", us / 1e3);
	else
		snprintf(text.chars, sizeof(text.chars), "%.3fs", us / 1e6);
	return text;
}

static double rate_of(uint64_t messages, double seconds)
{
	return seconds > 0 ? (double)messages / seconds : 0;
}

static void print_rate(FILE *to, const char *what, const char *unit, double per_second)
{
	fprintf(to, "%s rate: %s %s/s, %s %s/minute, %s %s/hour", what, number(per_second).chars, unit,
		number(per_second * 60).chars, unit, number(per_second * 3600).chars, unit);
}

/* What is counted as sent. */
static const char *unit_of(const struct gen_options *options)
{
	return options->connect_only ? "connections" : "msgs";
}

void gen_report_begin(
	struct gen_report_progress *progress, const struct gen_options *options, FILE *to, uint64_t now_ns)
{
	*progress = (struct gen_report_progress){
		.to = to, .unit = unit_of(options), .overwrites = isatty(fileno(to)) == 1, .last_ns = now_ns};
}

void gen_report_progress(
	struct gen_report_progress *progress, uint64_t now_ns, uint64_t sent, uint64_t clients)
{
	double per_second = rate_of(sent - progress->last_sent, (double)(now_ns - progress->last_ns) / 1e9);
	if (progress->overwrites)
		fprintf(progress->to, "\r\033[K");
	print_rate(progress->to, "current", progress->unit, per_second);
	fprintf(progress->to, " (sent=%s, clients=%s)%s", number((double)sent).chars,
		number((double)clients).chars, progress->overwrites ? "" : "\n");
	fflush(progress->to);
	progress->last_ns = now_ns;
	progress->last_sent = sent;
}

static int by_count(const void *a, const void *b)
{
	const struct tally_failure *const *left = a, *const *right = b;
	uint64_t l = (*left)->messages + (*left)->connections, r = (*right)->messages + (*right)->connections;
	return l < r ? 1 : l > r ? -1 : 0;
}

/* Where messages failed, that is what has gone wrong; connections count where none got as far. */
static int by_messages(const void *a, const void *b)
{
	const struct tally_failure *const *left = a, *const *right = b;
	uint64_t l = (*left)->messages, r = (*right)->messages;
	return l < r ? 1 : l > r ? -1 : by_count(a, b);
}

/* Rows that counted something, the largest first. */
static size_t sort_failures(const struct tally *tally, const struct tally_failure *rows[TALLY_FAILURES])
{
	size_t count = 0;
	for (size_t i = 0; i < TALLY_FAILURES; i++)
		if (tally->failures[i].messages + tally->failures[i].connections)
			rows[count++] = &tally->failures[i];
	qsort(rows, count, sizeof(rows[0]), by_count);
	return count;
}

/* A reply's text as it may be printed. */
static int safe_text(const struct gen_verdict *verdict, char text[REPLY_LINE_KEPT + 1])
{
	int len = verdict->text_len;
	for (int i = 0; i < len; i++)
		text[i] = verdict->text[i] < ' ' || verdict->text[i] > '~' ? '?' : verdict->text[i];
	text[len] = '\0';
	return len;
}

static void print_failures(const struct tally *tally, FILE *to)
{
	const struct tally_failure *rows[TALLY_FAILURES];
	size_t count = sort_failures(tally, rows);
	for (size_t i = 0; i < count && i < FAILURES_SHOWN; i++) {
		const struct gen_verdict *verdict = &rows[i]->verdict;
		char text[REPLY_LINE_KEPT + 1], code[8] = "";
		safe_text(verdict, text);
		if (verdict->code)
			snprintf(code, sizeof(code), "%u ", verdict->code);
		uint64_t times = rows[i]->messages ? rows[i]->messages : rows[i]->connections;
		fprintf(to, "%11s %s%s at %s: %s%s\n", number((double)times).chars,
			rows[i]->messages ? "message" : "connection", times == 1 ? "" : "s",
			gen_phase_names[verdict->phase], code, text);
	}
	if (count > FAILURES_SHOWN)
		fprintf(to, "            and %zu kinds more; --json has them\n", count - FAILURES_SHOWN);
}

static void print_latency(const struct histogram *latency, FILE *to)
{
	fprintf(to, "transaction latency: avg=%s min=%s max=%s", duration(histogram_mean(latency)).chars,
		duration((double)latency->least).chars, duration((double)latency->largest).chars);
	for (size_t i = 0; i < PERCENTILES; i++)
		fprintf(to, " %s=%s", percentile_names[i],
			duration((double)histogram_per_mille(latency, per_milles[i])).chars);
	fprintf(to, "\n");
}

static const char *const ends[] = {
	[GENERATOR_ALL_SENT] = "All messages sent",
	[GENERATOR_DEADLINE] = "Deadline reached, stopping",
	[GENERATOR_INTERRUPTED] = "Interrupted, stopping",
	[GENERATOR_STOPPED] = "All clients finished",
};

void gen_report_text(const struct gen_options *options, const struct generator_result *result, FILE *to)
{
	const struct tally *tally = &result->tally;
	uint64_t sent = tally_get(tally, TALLY_SENT), failed = tally_get(tally, TALLY_FAILED);
	fprintf(to, "%s%s\n", isatty(fileno(to)) == 1 ? "\n" : "", ends[result->end]);
	fprintf(to, "did %s %s over %.3fs, %s failed; %s connections, %s broken", number((double)sent).chars,
		options->connect_only ? "connections to their end" : "messages", result->seconds,
		number((double)failed).chars, number((double)tally_get(tally, TALLY_CONNECTIONS)).chars,
		number((double)tally_get(tally, TALLY_BROKEN)).chars);
	if (options->starttls)
		fprintf(to, ", %s in TLS", number((double)tally_get(tally, TALLY_SECURED)).chars);
	fprintf(to, "\n");
	print_failures(tally, to);
	/* Nothing was sent: nothing took any time. */
	if (tally->latency.count > 0)
		print_latency(&tally->latency, to);
	print_rate(to, "overall", unit_of(options), rate_of(result->messages, result->seconds));
	fprintf(to, "\n");
	if (options->cpu_of && result->messages)
		fprintf(to, "CPU time of process %" PRIu64 ": %.3fs, %.1fµs a %s\n", options->cpu_of,
			result->cpu_of_s, result->cpu_of_s * 1e6 / (double)result->messages,
			options->connect_only ? "connection" : "message");
	if (options->cpu_of && options->idle)
		fprintf(to, "memory of process %" PRIu64 " for %s idle connections: %s bytes, %s each\n",
			options->cpu_of, number((double)options->idle).chars,
			number((double)result->idle_memory).chars,
			number((double)result->idle_memory / (double)options->idle).chars);
}

static json_t *json_count(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *json_failures(const struct tally *tally)
{
	const struct tally_failure *rows[TALLY_FAILURES];
	size_t count = sort_failures(tally, rows);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++) {
		const struct gen_verdict *verdict = &rows[i]->verdict;
		char text[REPLY_LINE_KEPT + 1];
		safe_text(verdict, text);
		struct span enhanced = reply_enhanced(span_of(text));
		json_array_append_new(
			list, json_pack("{s:s, s:i, s:s%, s:s, s:I, s:I}", "phase",
				      gen_phase_names[verdict->phase], "code", (int)verdict->code, "enhanced",
				      enhanced.data, verdict->code ? enhanced.len : 0, "text", text,
				      "messages", (json_int_t)rows[i]->messages, "connections",
				      (json_int_t)rows[i]->connections));
	}
	return list;
}

static json_t *json_latency(const struct histogram *latency)
{
	json_t *object = json_pack("{s:f, s:I, s:I}", "avg", histogram_mean(latency), "min",
		(json_int_t)latency->least, "max", (json_int_t)latency->largest);
	for (size_t i = 0; i < PERCENTILES; i++)
		json_object_set_new(
			object, percentile_names[i], json_count(histogram_per_mille(latency, per_milles[i])));
	return object;
}

void gen_report_json(const struct gen_options *options, const struct generator_result *result, FILE *to)
{
	static const char *const end_names[] = {"all_sent", "deadline", "interrupted", "stopped"};
	static const struct {
		const char *name;
		enum tally_counter counter;
	} counters[] = {
		{"sent", TALLY_SENT},
		{"failed", TALLY_FAILED},
		{"connections", TALLY_CONNECTIONS},
		{"broken_connections", TALLY_BROKEN},
		{"tls_connections", TALLY_SECURED},
		{"octets", TALLY_OCTETS},
	};
	double per_second = rate_of(result->messages, result->seconds);
	json_t *object = json_object();
	json_object_set_new(object, "end", json_string(end_names[result->end]));
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		json_object_set_new(
			object, counters[i].name, json_count(tally_get(&result->tally, counters[i].counter)));
	json_object_set_new(object, "failures", json_failures(&result->tally));
	json_object_set_new(object, "measured",
		json_pack("{s:I, s:f, s:f, s:f, s:I}", "messages", (json_int_t)result->messages, "seconds",
			result->seconds, "cpu_s", result->cpu_s, "cpu_of_s", result->cpu_of_s, "idle_memory",
			(json_int_t)result->idle_memory));
	json_object_set_new(object, "rate",
		json_pack("{s:f, s:f, s:f}", "per_second", per_second, "per_minute", per_second * 60,
			"per_hour", per_second * 3600));
	json_object_set_new(object, "latency_us", json_latency(&result->tally.latency));
	json_object_set_new(object, "seed", json_count(options->seed));
	json_object_set_new(object, "threads", json_count(result->threads));
	json_dumpf(object, to, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	fprintf(to, "\n");
	json_decref(object);
}

bool gen_report_reason(
	const struct gen_options *options, const struct generator_result *result, struct err *err)
{
	const struct tally *tally = &result->tally;
	uint64_t sent = tally_get(tally, TALLY_SENT), failed = tally_get(tally, TALLY_FAILED);
	const struct tally_failure *rows[TALLY_FAILURES];
	char text[REPLY_LINE_KEPT + 1], first[256] = "";

	size_t count = sort_failures(tally, rows);
	if (count > 0) {
		qsort(rows, count, sizeof(rows[0]), by_messages);
		safe_text(&rows[0]->verdict, text);
		snprintf(first, sizeof(first), "; most often at %s: %s%.0d%s%s",
			gen_phase_names[rows[0]->verdict.phase], "", rows[0]->verdict.code,
			rows[0]->verdict.code ? " " : "", text);
	}
	if (sent == 0 && count == 0 && tally_get(tally, TALLY_CONNECTIONS) > 0)
		snprintf(first, sizeof(first), "; nothing was refused: the target did not answer in time");
	if (sent == 0) {
		err_set(err, -1, "not one message was sent to %s%s", options->target, first);
		return true;
	}
	if (options->keep_going)
		return false;
	if (options->message_count && sent >= options->message_count)
		return false;
	if (options->message_count) {
		err_set(err, -1, "%" PRIu64 " of %" PRIu64 " messages were sent when %s%s", sent,
			options->message_count,
			result->end == GENERATOR_DEADLINE ? "--duration was over"
			: result->end == GENERATOR_INTERRUPTED
				? "the run was interrupted"
				: "every connection had met a refusal (--keep-going "
				  "goes on)",
			first);
		return true;
	}
	if (failed || result->end == GENERATOR_STOPPED) {
		err_set(err, -1, "%" PRIu64 " message%s failed%s", failed, failed == 1 ? "" : "s", first);
		return true;
	}
	return false;
}
