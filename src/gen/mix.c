#include "mix.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static bool is_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '.' || c == '_'))
			return false;
	}
	return s.len > 0 && s.data[0] != '.' && s.data[s.len - 1] != '.';
}

static int row_read(
	struct mix_row *row, const char *text, const char *suffix, const char *what, struct err *err)
{
	const char *colon = strchr(text, ':');
	struct span name = {text, colon ? (size_t)(colon - text) : strlen(text)};
	size_t suffix_len = strlen(suffix);
	char *end = NULL;

	row->weight = colon ? strtod(colon + 1, &end) : 1;
	if (colon && (end == colon + 1 || *end || !isfinite(row->weight) || row->weight <= 0))
		return err_set(err, -EINVAL,
			"%s %s: the weight must be a number above 0, as in gmail.com:67.4", what, text);
	if (!is_name(name) || (suffix_len && !is_name(span_of(suffix))))
		return err_set(err, -EINVAL, "%s %s%s%s: a name is letters, digits, \"-\", \".\" and \"_\"",
			what, text, suffix_len ? " with suffix " : "", suffix);
	size_t len = name.len + (suffix_len ? 1 + suffix_len : 0);
	if (len > MIX_NAME_MAX)
		return err_set(err, -EINVAL, "%s %s: with its suffix it is longer than %d octets", what, text,
			MIX_NAME_MAX);
	char *whole = malloc(len + 1);
	if (!whole)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(whole, name.data, name.len);
	if (suffix_len) {
		whole[name.len] = '.';
		memcpy(whole + name.len + 1, suffix, suffix_len);
	}
	row->name = (struct span){whole, len};
	return 0;
}

/* Each row takes its part of the 2^64 draws; the last one what rounding left. */
static void share_draws(struct mix *mix)
{
	long double total = 0, sum = 0;
	for (size_t i = 0; i < mix->count; i++)
		total += (long double)mix->rows[i].weight;
	for (size_t i = 0; i < mix->count; i++) {
		sum += (long double)mix->rows[i].weight;
		long double up_to = sum / total * 18446744073709551616.0L;
		mix->rows[i].up_to = up_to >= 18446744073709551615.0L ? UINT64_MAX : (uint64_t)up_to;
	}
	mix->rows[mix->count - 1].up_to = UINT64_MAX;
}

int mix_read(struct mix *mix, const char *const *texts, size_t count, const char *suffix, const char *what,
	struct err *err)
{
	*mix = (struct mix){.rows = calloc(count ? count : 1, sizeof(struct mix_row))};
	if (!mix->rows)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		int code = row_read(&mix->rows[i], texts[i], suffix, what, err);
		if (code < 0) {
			mix_done(mix);
			return code;
		}
		mix->count++;
	}
	if (count)
		share_draws(mix);
	return 0;
}

void mix_done(struct mix *mix)
{
	for (size_t i = 0; i < mix->count; i++)
		free((char *)mix->rows[i].name.data);
	free(mix->rows);
	*mix = (struct mix){0};
}

const struct mix_row *mix_pick(const struct mix *mix, uint64_t draw)
{
	size_t low = 0, high = mix->count - 1;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (draw <= mix->rows[middle].up_to)
			high = middle;
		else
			low = middle + 1;
	}
	return &mix->rows[low];
}
