#include "rate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

/* Longer than any limit or delay; keeps sums far from overflow. */
#define DURATION_MAX_MS (UINT64_C(3660) * 86400 * 1000)

#define RATE_FORM     "write so many per time, as in \"100/min\", \"2/s\" or \"10000/h\""
#define DURATION_FORM "write a number and a unit, as in \"90m\", \"60s\", \"3 days\" or \"500ms\""

static const struct {
	const char *word;
	uint64_t ms;
} units[] = {
	{"ms", 1},
	{"msec", 1},
	{"s", 1000},
	{"sec", 1000},
	{"secs", 1000},
	{"second", 1000},
	{"seconds", 1000},
	{"m", 60000},
	{"min", 60000},
	{"mins", 60000},
	{"minute", 60000},
	{"minutes", 60000},
	{"h", 3600000},
	{"hr", 3600000},
	{"hrs", 3600000},
	{"hour", 3600000},
	{"hours", 3600000},
	{"d", 86400000},
	{"day", 86400000},
	{"days", 86400000},
	{"w", 7 * 86400000},
	{"week", 7 * 86400000},
	{"weeks", 7 * 86400000},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct span spaces_skip(struct span s)
{
	while (s.len && *s.data == ' ')
		s = span_from(s, 1);
	return s;
}

/* Takes a number off the front, at most max; thousands may be divided by '_' or ','. */
static bool number_take(struct span *rest, uint64_t max, uint64_t *value)
{
	size_t used = 0;
	*value = 0;
	while (used < rest->len) {
		char c = rest->data[used];
		bool divider = (c == '_' || c == ',') && used > 0 && used + 1 < rest->len &&
			       is_digit(rest->data[used + 1]);
		if (!is_digit(c) && !divider)
			break;
		if (is_digit(c))
			*value = *value * 10 + (uint64_t)(c - '0');
		if (*value > max)
			return false;
		used++;
	}
	*rest = span_from(*rest, used);
	return used > 0;
}

/* Takes a unit off the front and returns its milliseconds; 0 where there is none. */
static uint64_t unit_take(struct span *rest)
{
	struct span word = {rest->data, 0};
	while (word.len < rest->len && is_letter(rest->data[word.len]))
		word.len++;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!span_is(word, units[i].word))
			continue;
		*rest = span_from(*rest, word.len);
		return units[i].ms;
	}
	return 0;
}

/* At most this much of a text is quoted in an error. */
static int quoted_len(struct span text)
{
	return text.len > 64 ? 64 : (int)text.len;
}

int rate_read(struct span text, struct rate *rate, struct err *err)
{
	struct span rest = spaces_skip(text);
	uint64_t count, period_ms = 0;
	/* As shaping files say that a limit is not shared between nodes: there is one node here. */
	if (rest.len >= 6 && memcmp(rest.data, "local:", 6) == 0)
		rest = span_from(rest, 6);
	if (number_take(&rest, UINT32_MAX, &count)) {
		rest = spaces_skip(rest);
		if (rest.len && *rest.data == '/') {
			rest = spaces_skip(span_from(rest, 1));
			period_ms = unit_take(&rest);
		}
	}
	if (period_ms < 1000 || spaces_skip(rest).len)
		return err_set(err, -EINVAL, "\"%.*s\" is no rate; " RATE_FORM, quoted_len(text), text.data);
	if (count == 0)
		return err_set(err, -EINVAL,
			"\"%.*s\" would let nothing pass; leave the key out for no limit", quoted_len(text),
			text.data);
	*rate = (struct rate){.count = (uint32_t)count, .period_s = (uint32_t)(period_ms / 1000)};
	return 0;
}

int rate_read_duration(struct span text, uint64_t *milliseconds, struct err *err)
{
	struct span rest = spaces_skip(text);
	uint64_t sum = 0;
	do {
		uint64_t number;
		bool good = number_take(&rest, DURATION_MAX_MS, &number);
		rest = spaces_skip(rest);
		uint64_t unit = good ? unit_take(&rest) : 0;
		if (!unit)
			return err_set(err, -EINVAL, "\"%.*s\" is no time; " DURATION_FORM, quoted_len(text),
				text.data);
		if (number > DURATION_MAX_MS / unit || sum + number * unit > DURATION_MAX_MS)
			return err_set(err, -EINVAL, "\"%.*s\" is longer than ten years", quoted_len(text),
				text.data);
		sum += number * unit;
		rest = spaces_skip(rest);
	} while (rest.len);
	*milliseconds = sum;
	return 0;
}
