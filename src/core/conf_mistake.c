#include "conf_mistake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room that is kept for the line that says how many were left out, in bytes. */
#define TRAILER_MAX 40

/* What the file holds is shown on a terminal: nothing of it may steer that. */
static void line_clean(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = '?';
}

void conf_mistake(struct conf_mistakes *mistakes, unsigned line, const char *format, ...)
{
	char text[sizeof(mistakes->err->text) - TRAILER_MAX];
	int lead = line ? snprintf(text, sizeof(text), "%s:%u: ", mistakes->file, line)
			: snprintf(text, sizeof(text), "%s: ", mistakes->file);
	if (lead > 0 && (size_t)lead < sizeof(text)) {
		va_list args;
		va_start(args, format);
		vsnprintf(text + lead, sizeof(text) - (size_t)lead, format, args);
		va_end(args);
	}
	line_clean(text);

	size_t len = strlen(text);
	size_t divider = mistakes->used > 0;
	mistakes->count++;
	if (mistakes->left_out || mistakes->used + divider + len > sizeof(text) - 1) {
		mistakes->left_out++;
		return;
	}
	if (divider)
		mistakes->err->text[mistakes->used++] = '\n';
	memcpy(mistakes->err->text + mistakes->used, text, len + 1);
	mistakes->used += len;
}

int conf_mistakes_end(struct conf_mistakes *mistakes)
{
	if (mistakes->left_out)
		snprintf(mistakes->err->text + mistakes->used, sizeof(mistakes->err->text) - mistakes->used,
			"\nand %u more", mistakes->left_out);
	return mistakes->count ? -EINVAL : 0;
}
