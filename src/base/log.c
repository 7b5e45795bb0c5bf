#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One write a line, so that the lines of two processes do not mix; a closed stderr is no reason to stop. */
static void write_line(const char *lead, const char *text, size_t len)
{
	char line[2048];
	int used = snprintf(line, sizeof(line), "%s%.*s", lead, (int)len, text);
	size_t size = used < 0 ? 0 : (size_t)used < sizeof(line) - 1 ? (size_t)used : sizeof(line) - 2;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[size++] = '\n';
	if (write(STDERR_FILENO, line, size) < 0)
		return;
}

void log_at(enum log_level level, const char *format, ...)
{
	static const struct {
		const char *name;
		const char *journal; /* sd-daemon(3) prefix */
	} levels[] = {
		[LOG_LEVEL_ERROR] = {"error", "<3>"},
		[LOG_LEVEL_WARNING] = {"warning", "<4>"},
		[LOG_LEVEL_INFO] = {"info", "<6>"},
	};
	char lead[64], text[2048];
	snprintf(lead, sizeof(lead), "%smxmirage %s: ", getenv("JOURNAL_STREAM") ? levels[level].journal : "",
		levels[level].name);
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *at = text; *at; at += strspn(at, "\n")) {
		size_t len = strcspn(at, "\n");
		write_line(lead, at, len);
		at += len;
	}
}
