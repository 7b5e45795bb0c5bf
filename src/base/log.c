#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum log_level log_level = LOG_LEVEL_INFO;

void log_at(enum log_level level, const char *format, ...)
{
	static const struct {
		const char *name;
		const char *journal; /* sd-daemon(3) prefix */
	} levels[] = {
		[LOG_LEVEL_ERROR] = {"error", "<3>"},
		[LOG_LEVEL_WARNING] = {"warning", "<4>"},
		[LOG_LEVEL_INFO] = {"info", "<6>"},
		[LOG_LEVEL_DEBUG] = {"debug", "<7>"},
	};
	if (level > log_level)
		return;

	char line[2048];
	const char *prefix = getenv("JOURNAL_STREAM") ? levels[level].journal : "";
	int used = snprintf(line, sizeof(line), "%smxmirage %s: ", prefix, levels[level].name);
	va_list args;
	va_start(args, format);
	int text = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, args);
	va_end(args);
	size_t len = (size_t)used + (text > 0 ? (size_t)text : 0);
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	/* One write a line, so that the lines of two processes do not mix; a closed stderr is no reason to stop. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
