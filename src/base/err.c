#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
	if (err) {
		va_list args;
		va_start(args, format);
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
	}
	return code;
}

int err_prefix(struct err *err, int code, const char *format, ...)
{
	if (err) {
		char old[sizeof(err->text)];
		memcpy(old, err->text, sizeof(old));
		va_list args;
		va_start(args, format);
		int used = vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
		if (used >= 0 && (size_t)used < sizeof(err->text))
			snprintf(err->text + used, sizeof(err->text) - (size_t)used, ": %.*s",
				(int)(sizeof(err->text) - (size_t)used), old);
	}
	return code;
}
