#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

struct text text_number(uint64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;
	struct text text;
	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			text.chars[at++] = ',';
		text.chars[at++] = digits[i];
	}
	text.chars[at] = '\0';
	return text;
}

struct text text_times(uint64_t n)
{
	struct text text;
	if (n == 1)
		snprintf(text.chars, sizeof(text.chars), "once");
	else
		snprintf(text.chars, sizeof(text.chars), "%.32s times", text_number(n).chars);
	return text;
}

struct text text_bytes(uint64_t n)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	struct text text;
	double value = (double)n;
	int unit = 0;
	while (value >= 999.95 && unit < 6) {
		value /= 1000;
		unit++;
	}
	snprintf(text.chars, sizeof(text.chars), unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

struct text text_duration(uint64_t seconds)
{
	struct text text;
	uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
	if (days)
		snprintf(text.chars, sizeof(text.chars), "%" PRIu64 " d %" PRIu64 " h", days, hours % 24);
	else if (hours)
		snprintf(
			text.chars, sizeof(text.chars), "%" PRIu64 " h %" PRIu64 " min", hours, minutes % 60);
	else if (minutes)
		snprintf(text.chars, sizeof(text.chars), "%" PRIu64 " min %" PRIu64 " s", minutes,
			seconds % 60);
	else
		snprintf(text.chars, sizeof(text.chars), "%" PRIu64 " s", seconds);
	return text;
}

struct text text_time(uint64_t seconds)
{
	struct text text;
	time_t time = (time_t)seconds;
	struct tm tm;
	localtime_r(&time, &tm);
	strftime(text.chars, sizeof(text.chars), "%Y-%m-%d %H:%M:%S", &tm);
	return text;
}

void text_safe(const char *s, char *to, size_t size)
{
	size_t at = 0;
	for (; *s && at + 1 < size; s++) {
		unsigned char c = (unsigned char)*s;
		to[at++] = c < ' ' || c >= 0x7f ? '?' : (char)c;
	}
	to[at] = '\0';
}
