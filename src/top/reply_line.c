#include "reply_line.h"

#include <stdio.h>
#include <stdlib.h>

#include "reply_text.h"

/* A reply of 100 lines of 400 bytes is within RFC 5321's limits; longer ones are cut. */
#define TEXT_MAX 40960

struct sample {
	char domain[256], rcpt[300], mx[300];
};

static void sample_of(const struct provider *provider, struct sample *sample)
{
	const char *domain = provider->domain_count > 0 ? provider->domains[0] : "example.net";
	snprintf(sample->domain, sizeof(sample->domain), "%s", domain);
	snprintf(sample->rcpt, sizeof(sample->rcpt), "user@%s", sample->domain);
	if (provider->mx_name_count > 0)
		snprintf(sample->mx, sizeof(sample->mx), "%s", provider->mx_names[0]);
	else if (provider->mx_suffix_count > 0)
		snprintf(sample->mx, sizeof(sample->mx), "mx1%s", provider->mx_suffixes[0]);
	else
		snprintf(sample->mx, sizeof(sample->mx), "mx1.%s", sample->domain);
}

char *reply_line_new(const struct provider *provider, const struct provider_reply *reply)
{
	struct sample sample;
	sample_of(provider, &sample);
	const struct reply_facts facts = {
		.ip = span_of("192.0.2.1"),
		.from = span_of("sender@example.com"),
		.rcpt = span_of(sample.rcpt),
		.domain = span_of(sample.domain),
		.mx = span_of(sample.mx),
		.id = span_of("4f3c2d1b0a"),
		.date = span_of("2026-01-31"),
	};
	char *text = malloc(TEXT_MAX + 1), *line = NULL;
	if (!text)
		return NULL;
	text[reply_text_fill(reply->text, &facts, text, TEXT_MAX)] = '\0';
	for (char *at = text; (at = strpbrk(at, "\r\n")); at++)
		*at = ' ';
	if (asprintf(&line, "%u %s%s%s", reply->code, reply->enhanced, reply->enhanced[0] ? " " : "", text) <
		0)
		line = NULL;
	free(text);
	return line;
}
