/* coverage: a sender's shaping and bounce rules held against the replies. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "command.h"
#include "coverage.h"
#include "reply_source.h"
#include "text.h"
#include "toml_file.h"
#include "toml_reader.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct column fire_columns[] = {
	{.title = "pattern at", .width_max = 30},
	{.title = "block", .width_max = 18, .expendable = true},
	{.title = "pattern", .width_max = 36},
	{.title = "fires on", .width_max = 18, .expendable = true},
	{.title = "reply", .elastic = true},
};

static const struct column class_columns[] = {
	{.title = "class"},
	{.title = "replies", .number = true},
	{.title = "for example", .width_max = 18},
	{.title = "reply", .elastic = true},
};

static const struct column rest_columns[] = {
	{.title = "provider", .width_max = 18},
	{.title = "reply", .elastic = true},
};

/* file:line without the directories, which would leave no room for the rest. */
static void place(const struct shaping_pattern *pattern, char *to, size_t size)
{
	snprintf(to, size, "%s:%u", basename(pattern->file), pattern->line);
}

static const char *provider_of(const struct coverage_line *line)
{
	return line ? line->provider->name : "";
}

/* Found where no current wording was: the provider says something else by now. */
static bool is_old(const struct coverage_pattern *result)
{
	return result->verdict == COVERAGE_FIRES && strcmp(result->line->reply->wording, "old") == 0;
}

static int print_fires(const struct coverage *coverage, unsigned width)
{
	struct columns *table = columns_new(fire_columns, COUNT(fire_columns));
	if (!table)
		return -ENOMEM;
	size_t old = 0;
	for (size_t i = 0; i < coverage->pattern_count; i++) {
		const struct coverage_pattern *result = &coverage->patterns[i];
		bool fires = result->verdict == COVERAGE_FIRES;
		char at[300], never[64], reply[1100];
		place(result->pattern, at, sizeof(at));
		snprintf(never, sizeof(never), "never: %s", coverage_verdict_name(result->verdict));
		old += is_old(result);
		snprintf(reply, sizeof(reply), "%s%s", is_old(result) ? "(old) " : "",
			fires ? result->line->text : never);
		const char *const cells[] = {at, result->block->name, result->pattern->regex,
			fires ? provider_of(result->line) : "", reply};
		columns_add(table, cells);
	}
	int code = columns_print(table, stdout, 0, width);
	if (old > 0)
		printf("\n(old): fires on an earlier wording alone, which answer.wording = \"current\" "
		       "leaves out\n");
	columns_free(table);
	return code;
}

static bool same_reason(const struct coverage_pattern *a, const struct coverage_pattern *b)
{
	return a->block == b->block && a->verdict == b->verdict && strcmp(a->reason, b->reason) == 0;
}

static void print_never_row(const struct coverage_pattern *result)
{
	char at[300], regex[400], text[120];
	place(result->pattern, at, sizeof(at));
	text_safe(result->pattern->regex, regex, sizeof(regex));
	printf("  %-27s %s\n", at, regex);
	if (!result->line)
		return;
	bool mended = result->verdict == COVERAGE_TRAILING_DOT || result->verdict == COVERAGE_DOUBLE_ESCAPED;
	text_safe(result->line->text, text, sizeof(text));
	printf("  %-27s   %s %s: %s%s\n", "", mended ? "mended, it fires on" : "such a reply has",
		provider_of(result->line), text, strlen(text) < strlen(result->line->text) ? "…" : "");
}

/* A block's patterns with one reason stand together, wherever they stand in the files. */
static void print_never(const struct coverage *coverage)
{
	if (coverage->fire_count < coverage->pattern_count)
		printf("\nThese never fire:\n");
	for (size_t i = 0; i < coverage->pattern_count; i++) {
		const struct coverage_pattern *result = &coverage->patterns[i];
		size_t first = 0;
		while (!same_reason(&coverage->patterns[first], result))
			first++;
		if (result->verdict == COVERAGE_FIRES || first < i)
			continue;
		printf("\n%s: %s: %s\n", result->block->name, coverage_verdict_name(result->verdict),
			result->reason);
		for (size_t k = i; k < coverage->pattern_count; k++)
			if (same_reason(&coverage->patterns[k], result))
				print_never_row(&coverage->patterns[k]);
	}
}

static int print_classes(const struct coverage *coverage, unsigned width)
{
	struct columns *table = columns_new(class_columns, COUNT(class_columns));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < coverage->class_count; i++) {
		const struct coverage_class *result = &coverage->classes[i];
		const char *const cells[] = {result->class->name, text_number(result->replies).chars,
			provider_of(result->line),
			result->line ? result->line->text : "no reply is of this class"};
		columns_add(table, cells);
	}
	printf("\n");
	int code = columns_print(table, stdout, 0, width);
	columns_free(table);
	return code;
}

static int print_unclassified(const struct coverage *coverage, unsigned rows, unsigned width)
{
	size_t count = coverage->unclassified_count, shown = rows > 0 && rows < count ? rows : count;
	if (count == 0)
		return 0;
	struct columns *table = columns_new(rest_columns, COUNT(rest_columns));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < shown; i++) {
		const struct coverage_line *line = coverage->unclassified[i];
		const char *const cells[] = {line->provider->name, line->text};
		columns_add(table, cells);
	}
	printf("\n%zu of %zu replies are of no class:\n\n", count, coverage->reply_count);
	int code = columns_print(table, stdout, 0, width);
	if (shown < count)
		printf("… and %zu more; -n 0 shows all\n", count - shown);
	columns_free(table);
	return code;
}

static int print_text(const struct coverage *coverage, unsigned rows)
{
	unsigned width = columns_of_terminal();
	int code = 0;
	if (coverage->pattern_count > 0) {
		code = print_fires(coverage, width);
		print_never(coverage);
	}
	if (code == 0 && coverage->class_count > 0)
		code = print_classes(coverage, width);
	if (code == 0)
		code = print_unclassified(coverage, rows, width);
	printf("\npatterns %zu, fire %zu, never %zu", coverage->pattern_count, coverage->fire_count,
		coverage->pattern_count - coverage->fire_count);
	if (coverage->class_count > 0)
		printf("; classes %zu of %zu produced", coverage->produced_count, coverage->class_count);
	printf("\n");
	return code;
}

static json_t *json_of_line(const struct coverage_line *line)
{
	if (!line)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "provider", line->provider->name, "phase",
		provider_phase_name(line->reply->phase), "line", line->text, "wording", line->reply->wording,
		"file", line->reply->file, "file_line", (int)line->reply->line);
}

static json_t *json_of_pattern(const struct coverage_pattern *result)
{
	static const char *const kinds[] = {
		[SHAPING_DEFAULT] = "default",
		[SHAPING_PROVIDER] = "provider",
		[SHAPING_DOMAIN] = "domain",
	};
	bool fires = result->verdict == COVERAGE_FIRES;
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:b, s:s, s:s, s:o}", "file", result->pattern->file,
		"line", (int)result->pattern->line, "block_kind", kinds[result->block->kind], "block",
		result->block->name, "regex", result->pattern->regex, "fires", fires, "verdict",
		coverage_verdict_name(result->verdict), "reason", result->reason,
		fires ? "reply" : "near_reply", json_of_line(result->line));
}

static json_t *json_of_class(const struct coverage_class *result)
{
	return json_pack("{s:s, s:s, s:i, s:I, s:o}", "class", result->class->name, "file",
		result->class->file, "line", (int)result->class->line, "replies", (json_int_t)result->replies,
		"example", json_of_line(result->line));
}

static int print_json(const struct coverage *coverage)
{
	json_t *patterns = json_array(), *classes = json_array(), *rest = json_array();
	int code = 0;
	for (size_t i = 0; i < coverage->pattern_count; i++)
		code |= json_array_append_new(patterns, json_of_pattern(&coverage->patterns[i]));
	for (size_t i = 0; i < coverage->class_count; i++)
		code |= json_array_append_new(classes, json_of_class(&coverage->classes[i]));
	for (size_t i = 0; i < coverage->unclassified_count; i++)
		code |= json_array_append_new(rest, json_of_line(coverage->unclassified[i]));
	json_t *root = json_pack("{s:o, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "patterns",
		patterns, "classes", classes, "unclassified", rest, "summary", "patterns",
		(json_int_t)coverage->pattern_count, "fire", (json_int_t)coverage->fire_count, "never",
		(json_int_t)(coverage->pattern_count - coverage->fire_count), "classes",
		(json_int_t)coverage->class_count, "classes_produced", (json_int_t)coverage->produced_count,
		"replies", (json_int_t)coverage->reply_count, "unclassified",
		(json_int_t)coverage->unclassified_count);
	code |= root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
	json_decref(root);
	printf("\n");
	return code == 0 ? 0 : -ENOMEM;
}

/* The sender's files, and their trees, which the shaping points into. */
struct sender {
	struct shaping shaping;
	struct toml_node **trees;
	size_t count;
};

static void sender_done(struct sender *sender)
{
	shaping_done(&sender->shaping);
	for (size_t i = 0; i < sender->count; i++)
		toml_free(sender->trees[i]);
	free(sender->trees);
}

static int sender_init(struct sender *sender, const struct options *options, struct err *err)
{
	*sender = (struct sender){.trees = calloc((size_t)options->argc + 1, sizeof(*sender->trees))};
	if (!sender->trees)
		return err_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < options->argc + (options->classes_file != NULL); i++) {
		const char *file = i < options->argc ? options->argv[i] : options->classes_file;
		struct toml_node *tree = toml_file_read(file, err);
		if (!tree)
			return -EINVAL;
		sender->trees[sender->count++] = tree;
		size_t before = sender->shaping.pattern_count;
		int code = i < options->argc ? shaping_add(&sender->shaping, file, tree, err)
					     : shaping_add_classes(&sender->shaping, file, tree, err);
		if (code < 0)
			return code;
		if (i < options->argc && sender->shaping.pattern_count == before)
			fprintf(stderr, "mxmirage: %s: no automation in it, so no pattern of it is judged\n",
				file);
	}
	return 0;
}

enum exit_code command_coverage(const struct command *command, const struct options *options)
{
	(void)command;
	struct err err;
	struct sender sender;
	struct reply_source source = {NULL, NULL};
	struct coverage *coverage = NULL;
	int code = sender_init(&sender, options, &err);
	if (code == 0)
		code = reply_source_init(&source, options->conf_file, options->responses_file, &err);
	if (code == 0)
		coverage = coverage_new(&sender.shaping, source.set, source.corpus, &err);
	enum exit_code exit_code = EXIT_CODE_OK;
	if (!coverage) {
		fprintf(stderr, "mxmirage: %s\n", err.text);
		exit_code = EXIT_CODE_CONFIGURATION;
	} else if ((options->json ? print_json(coverage) : print_text(coverage, options->rows)) < 0) {
		fprintf(stderr, "mxmirage: out of memory\n");
		exit_code = EXIT_CODE_SOFTWARE;
	}
	coverage_free(coverage);
	reply_source_done(&source);
	sender_done(&sender);
	return exit_code;
}
