#include "provider_words.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A line longer than that is divided, at its next space behind so many: reply_text_check() takes 400. */
#define LINE_BYTES 390
#define FOLD_BYTES 320

/* class "." subject "." detail at the front: its length, without the space behind it; else 0. */
static size_t enhanced_len(const char *text)
{
	unsigned subject, detail;
	int len = 0;
	if ((text[0] == '4' || text[0] == '5') && text[1] == '.' &&
		sscanf(text + 2, "%3u.%3u%n", &subject, &detail, &len) == 2 &&
		(text[2 + len] == ' ' || text[2 + len] == '\0'))
		return 2 + (size_t)len;
	return 0;
}

/* The reply's code at the front of a line, as in "421-" or the mistaken "421,": bytes to drop. */
static size_t own_code_len(const char *line, unsigned code)
{
	char digits[4];
	snprintf(digits, sizeof(digits), "%u", code % 1000);
	size_t blanks = strspn(line, " ");
	if (strncmp(line + blanks, digits, 3) != 0 || !line[blanks + 3] || !strchr("- ,", line[blanks + 3]))
		return 0;
	return blanks + 4;
}

/* Drops what a line of msg has in front of its text. */
static const char *front_drop(const char *line, bool first, unsigned code, struct provider_words *words)
{
	size_t own = own_code_len(line, code);
	words->own_codes |= own > 0;
	words->comma |= own > 0 && line[own - 1] == ',';
	line += own;
	size_t len = enhanced_len(line);
	if (first && len && len < sizeof(words->enhanced) && line[0] - '0' == (int)(code / 100))
		snprintf(words->enhanced, sizeof(words->enhanced), "%.*s", (int)len, line);
	if (len && strlen(words->enhanced) == len && strncmp(line, words->enhanced, len) == 0)
		line += len + (line[len] == ' ');
	return line;
}

static void line_put(const char *line, size_t len, size_t *used, struct provider_words *words)
{
	size_t start = *used;
	for (size_t i = 0; i < len && *used < PROVIDER_WORDS_MAX - 2; i++) {
		unsigned char c = (unsigned char)line[i];
		bool control = c < ' ' || c == 0x7f;
		bool fold = len > LINE_BYTES && c == ' ' && *used - start > FOLD_BYTES;
		words->control |= control;
		words->folded |= fold;
		words->text[(*used)++] = fold ? '\n' : control ? ' ' : (char)c;
		if (c == '{' || c == '}')
			words->text[(*used)++] = (char)c;
		if (fold)
			start = *used;
	}
}

void provider_words_mend(const char *msg, unsigned code, struct provider_words *words)
{
	size_t used = 0;
	*words = (struct provider_words){.enhanced = ""};
	for (bool first = true; *msg; first = false) {
		msg = front_drop(msg, first, code, words);
		size_t line = strcspn(msg, "\n"), end = line;
		while (end && (msg[end - 1] == ' ' || msg[end - 1] == '\r'))
			words->crlf |= msg[--end] == '\r';
		if (!first && used < PROVIDER_WORDS_MAX - 2)
			words->text[used++] = '\n';
		line_put(msg, end, &used, words);
		msg += line + (msg[line] == '\n');
	}
	words->text[used] = '\0';
}
