#include "pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Steps of backtracking until a pattern is given up: some 10 ms; honest ones need a few thousand. */
#define STEPS_MAX 1000000

struct pattern {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *context;
};

struct pattern *pattern_new(const char *regex, struct err *err)
{
	struct pattern *pattern = calloc(1, sizeof(*pattern));
	int error = PCRE2_ERROR_NOMEMORY;
	PCRE2_SIZE offset = 0;
	if (!pattern)
		goto failed;
	/* \d and \w are Unicode's, as in Rust; a reply may hold any bytes. */
	pattern->code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
		NULL);
	if (!pattern->code)
		goto failed;
	error = PCRE2_ERROR_NOMEMORY;
	pattern->data = pcre2_match_data_create(1, NULL);
	pattern->context = pcre2_match_context_create(NULL);
	if (!pattern->data || !pattern->context)
		goto failed;
	pcre2_set_match_limit(pattern->context, STEPS_MAX);
	return pattern;
failed:;
	PCRE2_UCHAR reason[200] = "out of memory";
	if (error != PCRE2_ERROR_NOMEMORY)
		pcre2_get_error_message(error, reason, sizeof(reason));
	err_set(err, error == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL, "%s (byte %zu of the pattern)",
		(const char *)reason, (size_t)offset);
	pattern_free(pattern);
	return NULL;
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	pcre2_match_context_free(pattern->context);
	pcre2_match_data_free(pattern->data);
	pcre2_code_free(pattern->code);
	free(pattern);
}

bool pattern_found(const struct pattern *pattern, const char *text)
{
	return pcre2_match(pattern->code, (PCRE2_SPTR)text, strlen(text), 0, 0, pattern->data,
		       pattern->context) >= 0;
}
