#include "coverage.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coverage_address.h"
#include "pattern.h"
#include "reply_line.h"

struct judge {
	const struct shaping *shaping;
	const struct provider_set *providers, *known;
	struct coverage *coverage;
	struct err *err;
};

static const char *const verdict_names[COVERAGE_VERDICTS] = {
	[COVERAGE_FIRES] = "fires",
	[COVERAGE_NO_MATCH] = "no match",
	[COVERAGE_TRAILING_DOT] = "trailing dot",
	[COVERAGE_UNADDRESSED] = "no such provider",
	[COVERAGE_BROKEN] = "broken",
	[COVERAGE_DOUBLE_ESCAPED] = "double-escaped",
	[COVERAGE_NO_TEXT] = "no such reply",
};

const char *coverage_verdict_name(enum coverage_verdict verdict)
{
	return verdict_names[verdict];
}

/* The first line that the pattern finds, among all or those that the block addresses; current wordings first. */
static const struct coverage_line *line_found(const struct judge *judge, const struct pattern *pattern,
	const struct shaping_block *block, bool mended)
{
	const struct coverage_line *old = NULL;
	for (size_t i = 0; i < judge->coverage->line_count; i++) {
		const struct coverage_line *line = &judge->coverage->lines[i];
		bool is_old = strcmp(line->reply->wording, "old") == 0;
		if (is_old && old)
			continue;
		if (block && !coverage_addresses(block, line->provider, judge->known, mended))
			continue;
		if (!pattern_found(pattern, line->text))
			continue;
		if (!is_old)
			return line;
		old = line;
	}
	return old;
}

/* The pattern with each escaped backslash for one alone: what was meant where it was escaped twice. */
static char *unescaped_once(const char *regex)
{
	char *mended = strdup(regex), *to = mended;
	for (const char *from = regex; mended && *from; from++) {
		*to++ = *from;
		if (from[0] == '\\' && from[1] == '\\')
			from++;
	}
	if (mended)
		*to = '\0';
	return mended;
}

static __attribute__((format(printf, 3, 4))) void verdict_set(
	struct coverage_pattern *result, enum coverage_verdict verdict, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(result->reason, sizeof(result->reason), format, args);
	va_end(args);
	result->verdict = verdict;
}

/* Why the block addresses nobody; false where it does. */
static bool judge_block(const struct judge *judge, struct coverage_pattern *result)
{
	const struct shaping_block *block = result->block;
	for (size_t i = 0; i < provider_count(judge->providers); i++)
		if (coverage_addresses(block, provider_at(judge->providers, i), judge->known, false))
			return false;
	const struct shaping_match *dot = coverage_dotted(block);
	if (block->kind == SHAPING_DOMAIN)
		verdict_set(
			result, COVERAGE_UNADDRESSED, "no provider here is known to serve %s", block->name);
	else if (block->match_count == 0)
		verdict_set(result, COVERAGE_NO_MATCH,
			"no [provider.\"%s\"] in these files has a match, so it is asked of nobody; add "
			"match = "
			"[{MXSuffix = \"…\"}], or use the name of the provider that has it",
			block->name);
	else if (dot)
		verdict_set(result, COVERAGE_TRAILING_DOT,
			"\"%s\" ends in a dot, which no name has when it is matched; write \"%.*s\"",
			dot->text, (int)strlen(dot->text) - 1, dot->text);
	else
		verdict_set(result, COVERAGE_UNADDRESSED, "no provider here is matched by \"%s\"%s",
			block->matches[0].text, block->match_count > 1 ? " or the block's others" : "");
	return true;
}

/* 0, or -ENOMEM. Leaves the verdict alone where the pattern has no escaped backslash. */
static int judge_escapes(const struct judge *judge, struct coverage_pattern *result)
{
	const char *at = strstr(result->pattern->regex, "\\\\");
	if (!at)
		return 0;
	char *text = unescaped_once(result->pattern->regex);
	if (!text)
		return -ENOMEM;
	struct pattern *mended = pattern_new(text, NULL);
	if (mended)
		result->line = line_found(judge, mended, result->block, false);
	pattern_free(mended);
	free(text);
	verdict_set(result, COVERAGE_DOUBLE_ESCAPED,
		"it asks for a backslash in the reply; in a literal string ('…') a backslash is written "
		"once: %.2s, not "
		"%.3s",
		at + 1, at);
	return 0;
}

static int judge_pattern(const struct judge *judge, struct coverage_pattern *result)
{
	struct err err;
	struct pattern *pattern = pattern_new(result->pattern->regex, &err);
	if (!pattern) {
		verdict_set(result, COVERAGE_BROKEN, "no regular expression: %s", err.text);
		return 0;
	}
	int code = 0;
	if (judge_block(judge, result)) {
		bool mend = result->verdict == COVERAGE_TRAILING_DOT;
		result->line = line_found(judge, pattern, mend ? result->block : NULL, mend);
	} else if ((result->line = line_found(judge, pattern, result->block, false))) {
		result->verdict = COVERAGE_FIRES;
	} else {
		verdict_set(
			result, COVERAGE_NO_TEXT, "no reply of those whom it is asked of holds such a text");
		result->line = line_found(judge, pattern, NULL, false);
		code = judge_escapes(judge, result);
	}
	pattern_free(pattern);
	return code;
}

static int judge_patterns(const struct judge *judge)
{
	struct coverage *coverage = judge->coverage;
	for (size_t i = 0; i < judge->shaping->pattern_count; i++) {
		struct coverage_pattern *result = &coverage->patterns[i];
		result->pattern = &judge->shaping->patterns[i];
		result->block = &judge->shaping->blocks[result->pattern->owner];
		if (judge_pattern(judge, result) < 0)
			return err_set(judge->err, -ENOMEM, "out of memory");
		coverage->fire_count += result->verdict == COVERAGE_FIRES;
	}
	coverage->pattern_count = judge->shaping->pattern_count;
	return 0;
}

/* The same words for two occasions (drawn, and at a limit) are one line. */
static bool has_line(const struct coverage *coverage, const struct provider *provider, const char *text)
{
	for (size_t i = coverage->line_count; i-- > 0 && coverage->lines[i].provider == provider;)
		if (strcmp(coverage->lines[i].text, text) == 0)
			return true;
	return false;
}

/* Whether a provider speaks in default's words: it has an occasion, and none of its own. */
static bool lends(const struct provider *to, enum provider_kind kind)
{
	return to->weight[kind] == 0 && provider_asks(to, kind);
}

/* The replies of `from` as lines of `provider`'s; with `lent`, those alone that it has to lend. */
static int add_lines(struct coverage *coverage, const struct provider *provider, const struct provider *from,
	bool lent, size_t *room)
{
	for (size_t i = 0; i < from->reply_count; i++) {
		const struct provider_reply *reply = &from->replies[i];
		bool said = reply->action == PROVIDER_REPLY || reply->action == PROVIDER_REPLY_CLOSE;
		if (!said || (lent && !lends(provider, reply->kind)))
			continue;
		char *text = reply_line_new(provider, reply);
		if (!text)
			return -ENOMEM;
		if (has_line(coverage, provider, text)) {
			free(text);
			continue;
		}
		if (coverage->line_count == *room) {
			size_t grown = *room * 2 + 64;
			struct coverage_line *lines = reallocarray(coverage->lines, grown, sizeof(*lines));
			if (!lines) {
				free(text);
				return -ENOMEM;
			}
			coverage->lines = lines;
			*room = grown;
		}
		coverage->lines[coverage->line_count++] = (struct coverage_line){provider, reply, text, lent};
		coverage->reply_count += !lent;
	}
	return 0;
}

/* In the order in which they serve as examples: providers' own words, default's, then those that it lends. */
static int make_lines(const struct judge *judge)
{
	struct coverage *coverage = judge->coverage;
	const struct provider *common = provider_at(judge->providers, 0);
	size_t room = 0, count = provider_count(judge->providers);
	int code = 0;
	for (size_t i = 1; i <= count && code == 0; i++) {
		const struct provider *provider = provider_at(judge->providers, i % count);
		code = add_lines(coverage, provider, provider, false, &room);
	}
	for (size_t i = 1; i < count && code == 0; i++)
		code = add_lines(coverage, provider_at(judge->providers, i), common, true, &room);
	return code == 0 ? 0 : err_set(judge->err, code, "out of memory");
}

/* Marks in `caught` what the class's patterns find, and counts it. */
static int judge_class(const struct judge *judge, size_t index, bool *caught)
{
	const struct shaping *shaping = judge->shaping;
	struct coverage *coverage = judge->coverage;
	struct coverage_class *result = &coverage->classes[index];
	result->class = &shaping->classes[index];
	bool *own = calloc(coverage->line_count + 1, sizeof(*own));
	if (!own)
		return err_set(judge->err, -ENOMEM, "out of memory");
	int code = 0;
	for (size_t p = 0; p < shaping->class_pattern_count && code == 0; p++) {
		const struct shaping_pattern *source = &shaping->class_patterns[p];
		if (source->owner != index)
			continue;
		struct pattern *pattern = pattern_new(source->regex, judge->err);
		if (!pattern)
			code = err_prefix(judge->err, -EINVAL, "%s:%u: class %s: no regular expression",
				source->file, source->line, result->class->name);
		for (size_t i = 0; pattern && i < coverage->line_count; i++)
			own[i] |= !coverage->lines[i].inherited &&
				  pattern_found(pattern, coverage->lines[i].text);
		pattern_free(pattern);
	}
	for (size_t i = 0; i < coverage->line_count; i++) {
		if (!own[i])
			continue;
		caught[i] = true;
		if (result->replies++ == 0)
			result->line = &coverage->lines[i];
	}
	coverage->produced_count += result->replies > 0;
	free(own);
	return code;
}

static int judge_classes(const struct judge *judge)
{
	struct coverage *coverage = judge->coverage;
	bool *caught = calloc(coverage->line_count + 1, sizeof(*caught));
	int code = caught ? 0 : err_set(judge->err, -ENOMEM, "out of memory");
	coverage->class_count = judge->shaping->class_count;
	for (size_t i = 0; i < coverage->class_count && code == 0; i++)
		code = judge_class(judge, i, caught);
	for (size_t i = 0; i < coverage->line_count && code == 0 && coverage->class_count > 0; i++)
		if (!caught[i] && !coverage->lines[i].inherited)
			coverage->unclassified[coverage->unclassified_count++] = &coverage->lines[i];
	free(caught);
	return code;
}

struct coverage *coverage_new(const struct shaping *shaping, const struct provider_set *providers,
	const struct provider_set *known, struct err *err)
{
	struct coverage *coverage = calloc(1, sizeof(*coverage));
	if (!coverage) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	const struct judge judge = {shaping, providers, known, coverage, err};
	if (make_lines(&judge) < 0)
		goto failed;
	coverage->patterns = calloc(shaping->pattern_count + 1, sizeof(*coverage->patterns));
	coverage->classes = calloc(shaping->class_count + 1, sizeof(*coverage->classes));
	coverage->unclassified = calloc(coverage->line_count + 1, sizeof(*coverage->unclassified));
	if (!coverage->patterns || !coverage->classes || !coverage->unclassified) {
		err_set(err, -ENOMEM, "out of memory");
		goto failed;
	}
	if (judge_patterns(&judge) < 0 || judge_classes(&judge) < 0)
		goto failed;
	return coverage;
failed:
	coverage_free(coverage);
	return NULL;
}

void coverage_free(struct coverage *coverage)
{
	if (!coverage)
		return;
	for (size_t i = 0; i < coverage->line_count; i++)
		free(coverage->lines[i].text);
	free(coverage->lines);
	free(coverage->patterns);
	free(coverage->classes);
	free(coverage->unclassified);
	free(coverage);
}
