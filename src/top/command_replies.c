/* replies: the corpus, reply by reply. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "columns.h"
#include "command.h"
#include "conf_suggest.h"
#include "reply_source.h"
#include "text.h"

static const struct column columns[] = {
	{.title = "phase"},
	{.title = "kind", .width_max = 18},
	{.title = "code"},
	{.title = "enhanced"},
	{.title = "text", .elastic = true},
	{.title = "weight", .number = true},
	{.title = "action", .expendable = true},
	{.title = "wording", .expendable = true},
	{.title = "source", .expendable = true},
	{.title = "seen", .expendable = true},
	{.title = "line", .number = true, .expendable = true},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const action_names[] = {
	[PROVIDER_REPLY] = "reply",
	[PROVIDER_REPLY_CLOSE] = "reply_close",
	[PROVIDER_CLOSE] = "close",
	[PROVIDER_RESET] = "reset",
	[PROVIDER_HANG] = "hang",
};

static void add(struct columns *table, const struct provider_reply *reply)
{
	char code[16], line[16], weight[16], text[1024];
	/* A refusal without a word has none. */
	snprintf(code, sizeof(code), reply->code ? "%u" : "", reply->code);
	snprintf(line, sizeof(line), "%u", reply->line);
	snprintf(weight, sizeof(weight), "%u", reply->weight);
	snprintf(text, sizeof(text), "%s", reply->text);
	for (char *at = text; (at = strchr(at, '\n')); at++)
		*at = ' ';
	const char *const cells[COUNT(columns)] = {provider_phase_name(reply->phase),
		provider_kind_name(reply->kind), code, reply->enhanced, text, weight,
		action_names[reply->action], reply->wording, reply->source, reply->seen, line};
	columns_add(table, cells);
}

static int print_provider(const struct provider *provider, unsigned width)
{
	struct columns *table = columns_new(columns, COUNT(columns));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < provider->reply_count; i++)
		add(table, &provider->replies[i]);
	printf("%s  %zu repl%s; bounce %g %%, defer %g %%; %s:%u\n", provider->name, provider->reply_count,
		provider->reply_count == 1 ? "y" : "ies", provider->bounce_ppm / 10000.0,
		provider->defer_ppm / 10000.0, provider->file ? provider->file : "built in", provider->line);
	int code = provider->reply_count > 0 ? columns_print(table, stdout, 2, width) : 0;
	columns_free(table);
	printf("\n");
	return code;
}

static json_t *json_of(const struct provider *provider, const struct provider_reply *reply)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:i}", "provider",
		provider->name, "phase", provider_phase_name(reply->phase), "kind",
		provider_kind_name(reply->kind), "code", (int)reply->code, "enhanced", reply->enhanced,
		"text", reply->text, "weight", (json_int_t)reply->weight, "action",
		action_names[reply->action], "wording", reply->wording, "source", reply->source, "seen",
		reply->seen, "file", reply->file, "line", (int)reply->line);
}

static int print_json(const struct provider_set *set, const struct provider *only)
{
	json_t *replies = json_array();
	for (size_t i = 0; i < provider_count(set); i++) {
		const struct provider *provider = provider_at(set, i);
		for (size_t k = 0; k < provider->reply_count && (!only || only == provider); k++)
			if (json_array_append_new(replies, json_of(provider, &provider->replies[k])) < 0) {
				json_decref(replies);
				return -ENOMEM;
			}
	}
	json_t *root = json_pack("{s:o}", "replies", replies);
	int code = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0 ? 0 : -ENOMEM;
	json_decref(root);
	printf("\n");
	return code;
}

static int print_text(const struct provider_set *set, const struct provider *only)
{
	unsigned width = columns_of_terminal();
	size_t replies = 0;
	int code = 0;
	for (size_t i = 0; i < provider_count(set) && code == 0; i++) {
		const struct provider *provider = provider_at(set, i);
		if (only && only != provider)
			continue;
		code = print_provider(provider, width);
		replies += provider->reply_count;
	}
	if (!only)
		printf("%s replies of %zu providers\n", text_number(replies).chars, provider_count(set));
	return code;
}

static void unknown_provider(const struct provider_set *set, const char *name)
{
	struct conf_suggest suggest = {.word = name};
	for (size_t i = 0; i < provider_count(set); i++)
		conf_suggest_offer(&suggest, provider_at(set, i)->name);
	fprintf(stderr, "mxmirage: unknown provider \"%s\"", name);
	if (suggest.best)
		fprintf(stderr, " (did you mean \"%s\"?)", suggest.best);
	fprintf(stderr, "; there are");
	for (size_t i = 0; i < provider_count(set); i++)
		fprintf(stderr, "%s %s", i ? "," : "", provider_at(set, i)->name);
	fprintf(stderr, "\n");
}

/* A provider by its name, or by a domain that it is known to serve. */
static const struct provider *provider_named(const struct provider_set *set, const char *name)
{
	const struct provider *provider = provider_by_name(set, span_of(name));
	return provider ? provider : provider_by_domain(set, span_of(name));
}

enum exit_code command_replies(const struct command *command, const struct options *options)
{
	(void)command;
	struct err err;
	struct reply_source source;
	int code = reply_source_init(&source, options->conf_file, options->responses_file, &err);
	if (code < 0) {
		fprintf(stderr, "mxmirage: %s\n", err.text);
		return EXIT_CODE_CONFIGURATION;
	}
	enum exit_code exit_code = EXIT_CODE_OK;
	const struct provider *only = NULL;
	if (options->argc > 0 && !(only = provider_named(source.set, options->argv[0]))) {
		unknown_provider(source.set, options->argv[0]);
		exit_code = EXIT_CODE_USAGE;
		goto out;
	}
	code = options->json ? print_json(source.set, only) : print_text(source.set, only);
	if (code < 0) {
		fprintf(stderr, "mxmirage: out of memory\n");
		exit_code = EXIT_CODE_SOFTWARE;
	}
out:
	reply_source_done(&source);
	return exit_code;
}
