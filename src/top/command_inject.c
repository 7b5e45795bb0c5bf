#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "rate.h"
#include "reply_text.h"
#include "text.h"

/* Left out where it is NULL; false after having said that it is none. */
static bool put_text(json_t *body, const char *key, const char *text)
{
	if (!text)
		return true;
	/* A filter that a script's unset variable left empty would be none at all. */
	if (text[0] && json_object_set_new(body, key, json_string(text)) == 0)
		return true;
	fprintf(stderr, "mxmirage: inject: %s is empty or no UTF-8: leave it out, or write one\n", key);
	return false;
}

/* A time as "90s"; false after having said what is wrong with it. */
static bool put_time(json_t *body, const char *key, const char *option, const char *text, uint64_t unit_ms)
{
	struct err err;
	uint64_t ms;
	if (!text)
		return true;
	if (rate_read_duration(span_of(text), &ms, &err) < 0) {
		fprintf(stderr, "mxmirage: %s %s: %s\n", option, text, err.text);
		return false;
	}
	/* Not 0, which is for ever. */
	json_object_set_new(body, key, json_integer((json_int_t)((ms + unit_ms - 1) / unit_ms)));
	return true;
}

/* A whole number; false after having said what is wrong with it. */
static bool put_number(json_t *body, const char *key, const char *shown, const char *text)
{
	if (!text)
		return true;
	char *end;
	long long n = strtoll(text, &end, 10);
	if (!*text || *end || n < 1 || n > UINT32_MAX) {
		fprintf(stderr, "mxmirage: inject: %s \"%s\" is no number from 1 on\n", shown, text);
		return false;
	}
	json_object_set_new(body, key, json_integer(n));
	return true;
}

/* What follows the code: [ENHANCED] [TEXT…] */
static bool put_reply(json_t *body, int argc, char **argv)
{
	char text[512] = "";
	int at = 1;
	if (at < argc && reply_text_is_enhanced(argv[at]) && !put_text(body, "enhanced", argv[at++]))
		return false;
	for (; at < argc; at++) {
		size_t used = strlen(text);
		snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", argv[at]);
	}
	return !text[0] || put_text(body, "text", text);
}

static void print(const json_t *answer)
{
	const json_t *list = json_object_get(answer, "injections");
	size_t i;
	json_t *one;
	if (json_array_size(list) == 0)
		printf("nothing is injected\n");
	json_array_foreach(list, i, one)
	{
		static const char *const filters[] = {"domain", "provider", "source"};
		char who[400] = "", reply[600] = "", shown[1200];
		for (size_t f = 0; f < 3; f++) {
			const char *value = json_string_value(json_object_get(one, filters[f]));
			if (value && value[0])
				snprintf(who + strlen(who), sizeof(who) - strlen(who), "%s%s %s",
					who[0] ? ", " : "", filters[f], value);
		}
		const char *action = json_string_value(json_object_get(one, "action")),
			   *enhanced = json_string_value(json_object_get(one, "enhanced"));
		json_int_t code = json_integer_value(json_object_get(one, "code"));
		/* What ends the connection says nothing, and a mere delay changes no reply. */
		if (code != 0 && strncmp(action, "reply", strlen("reply")) == 0)
			snprintf(reply, sizeof(reply), " %lld %s%s%s", code, enhanced, enhanced[0] ? " " : "",
				json_string_value(json_object_get(one, "text")));
		snprintf(shown, sizeof(shown), "%s at %s: %s%s", who[0] ? who : "all",
			json_string_value(json_object_get(one, "phase")), code ? action : "as always", reply);
		char safe[1200];
		text_safe(shown, safe, sizeof(safe));
		json_int_t used = json_integer_value(json_object_get(one, "used")),
			   count = json_integer_value(json_object_get(one, "count")),
			   delay = json_integer_value(json_object_get(one, "delay_ms"));
		printf("%2zu  %s", i + 1, safe);
		if (delay)
			printf(delay % 1000 ? ", after %lld ms" : ", after %lld s",
				delay % 1000 ? delay : delay / 1000);
		if (count)
			printf("; used %lld of %lld", used, count);
		else
			printf("; used %s", text_times((uint64_t)used).chars);
		const json_t *left = json_object_get(one, "seconds_left");
		if ((count && used >= count) || (left && json_integer_value(left) == 0))
			printf("; over");
		else if (left)
			printf("; %s left", text_duration((uint64_t)json_integer_value(left)).chars);
		printf("\n");
	}
}

enum exit_code command_inject(const struct command *command, const struct options *options)
{
	(void)command;
	json_t *answer, *body = json_object();
	bool set = options->argc > 0 || options->delay || options->action || options->end;
	bool narrowed = options->domain || options->provider || options->source || options->phase ||
			options->count || options->duration;
	bool good =
		put_text(body, "domain", options->domain) && put_text(body, "provider", options->provider) &&
		put_text(body, "source", options->source) && put_text(body, "phase", options->phase) &&
		put_text(body, "action", options->action) && put_reply(body, options->argc, options->argv);
	if (good && narrowed && !set)
		fprintf(stderr,
			"mxmirage: inject: the reply's CODE is missing, as in `mxmirage inject --domain "
			"gmail.com --count 3 421 4.7.28 Slow down`; only --delay and --action do without\n");
	bool alone =
		!options->end || (!narrowed && options->argc == 0 && !options->delay && !options->action);
	if (!alone)
		fprintf(stderr, "mxmirage: inject: --end stands alone: say `mxmirage inject --end %s`\n",
			options->end);
	if (!good || !alone || (narrowed && !set) || !put_number(body, "end", "--end", options->end) ||
		!put_number(body, "code", "the code", options->argc > 0 ? options->argv[0] : NULL) ||
		!put_number(body, "count", "--count", options->count) ||
		!put_time(body, "seconds", "--for", options->duration, 1000) ||
		!put_time(body, "delay_ms", "--delay", options->delay, 1)) {
		json_decref(body);
		return EXIT_CODE_USAGE;
	}
	enum exit_code code;
	if (set) {
		code = client_tell(options, "/api/v1/inject", body, &answer);
	} else {
		json_decref(body);
		code = client_ask(options, CLIENT_GET, "/api/v1/injections", &answer);
	}
	return code == EXIT_CODE_OK ? client_show(options, answer, print) : code;
}

static void print_reset(const json_t *answer)
{
	(void)answer;
	printf("counters, injected behaviour and what was held against senders are back to nothing\n");
}

enum exit_code command_reset(const struct command *command, const struct options *options)
{
	(void)command;
	json_t *answer;
	enum exit_code code = client_ask(options, CLIENT_POST, "/api/v1/reset", &answer);
	if (code != EXIT_CODE_OK)
		return code;
	return client_show(options, answer, print_reset);
}
