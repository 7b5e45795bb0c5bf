#include "smtp_text.h"

#include <errno.h>

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void write_line(const struct smtp_reply *reply, char divider, struct span text, struct smtp_out *out)
{
	char *at = out->data + out->len;
	*at++ = (char)('0' + reply->code / 100 % 10);
	*at++ = (char)('0' + reply->code / 10 % 10);
	*at++ = (char)('0' + reply->code % 10);
	*at++ = divider;
	if (reply->enhanced.len) {
		memcpy(at, reply->enhanced.data, reply->enhanced.len);
		at += reply->enhanced.len;
		*at++ = ' ';
	}
	if (text.len)
		memcpy(at, text.data, text.len);
	at += text.len;
	*at++ = '\r';
	*at++ = '\n';
	out->len = (size_t)(at - out->data);
}

void smtp_text_reply(const struct smtp_reply *given, struct smtp_out *out)
{
	struct smtp_reply reply = *given;
	/* "5.999.999" is the longest there is (RFC 3463 2). */
	if (reply.enhanced.len > 9)
		reply.enhanced.len = 9;
	size_t frame = 4 + (reply.enhanced.len ? reply.enhanced.len + 1 : 0) + 2;
	size_t room = SMTP_REPLY_MAX;
	struct span rest = reply.text;
	for (;;) {
		const char *end = rest.len ? memchr(rest.data, '\n', rest.len) : NULL;
		struct span line = {rest.data, end ? (size_t)(end - rest.data) : rest.len};
		/* A line may be followed by another only where that one has room for its frame. */
		if (end && frame + line.len + frame <= room) {
			write_line(&reply, '-', line, out);
			room -= frame + line.len;
			rest = span_from(rest, line.len + 1);
			continue;
		}
		if (line.len > room - frame)
			line.len = room - frame;
		write_line(&reply, ' ', line, out);
		return;
	}
}

static void skip_spaces(struct span *rest)
{
	while (rest->len && *rest->data == ' ')
		*rest = span_from(*rest, 1);
}

struct span smtp_text_word(struct span *rest)
{
	const char *space = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
	struct span word = {rest->data, space ? (size_t)(space - rest->data) : rest->len};
	*rest = span_from(*rest, word.len);
	skip_spaces(rest);
	return word;
}

bool smtp_text_prefix(struct span *rest, const char *prefix)
{
	size_t len = strlen(prefix);
	if (rest->len < len || strncasecmp(rest->data, prefix, len) != 0)
		return false;
	*rest = span_from(*rest, len);
	skip_spaces(rest);
	return true;
}

int smtp_text_number(struct span digits, uint64_t *value)
{
	if (!digits.len)
		return -EINVAL;
	bool overflow = false;
	*value = 0;
	for (size_t i = 0; i < digits.len; i++) {
		unsigned char c = (unsigned char)digits.data[i];
		if (!is_digit(c))
			return -EINVAL;
		overflow |= __builtin_mul_overflow(*value, 10, value);
		overflow |= __builtin_add_overflow(*value, (uint64_t)(c - '0'), value);
	}
	return overflow ? -ERANGE : 0;
}

static bool is_keyword(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum((unsigned char)s.data[i]) && (s.data[i] != '-' || i == 0))
			return false;
	return s.len > 0;
}

/* esmtp-value of RFC 5321 4.1.2, and bytes above 127 as RFC 6533 needs them in ORCPT. */
static bool is_value(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if (c <= ' ' || c == '=' || c == 0x7f)
			return false;
	}
	return s.len > 0;
}

int smtp_text_param(struct span *rest, struct smtp_param *param)
{
	struct span line = *rest;
	skip_spaces(&line);
	if (line.len && line.len == rest->len)
		return -EINVAL;
	if (!line.len) {
		*rest = line;
		return 0;
	}
	const char *space = memchr(line.data, ' ', line.len);
	struct span word = {line.data, space ? (size_t)(space - line.data) : line.len};
	const char *equals = memchr(word.data, '=', word.len);
	size_t key_len = equals ? (size_t)(equals - word.data) : word.len;
	*param = (struct smtp_param){.key = {word.data, key_len}, .has_value = equals};
	if (equals)
		param->value = span_from(word, key_len + 1);
	if (!is_keyword(param->key) || (equals && !is_value(param->value)))
		return -EINVAL;
	*rest = span_from(line, word.len);
	return 1;
}

static bool is_hex(unsigned char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'F');
}

bool smtp_text_is_xtext(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] != '+')
			continue;
		if (s.len - i < 3 || !is_hex((unsigned char)s.data[i + 1]) ||
			!is_hex((unsigned char)s.data[i + 2]))
			return false;
		i += 2;
	}
	return s.len > 0;
}

bool smtp_text_is_printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if (c <= ' ' || c >= 0x7f)
			return false;
	}
	return s.len > 0;
}

/*
 * RFC 3629 4: what may follow a leading byte. The range of the second byte keeps out surrogates and
 * overlong forms.
 */
static const struct {
	unsigned char first, last; /* leading byte */
	unsigned char second_low, second_high;
	unsigned char len;
} utf8_forms[] = {
	{0xc2, 0xdf, 0x80, 0xbf, 2},
	{0xe0, 0xe0, 0xa0, 0xbf, 3},
	{0xe1, 0xec, 0x80, 0xbf, 3},
	{0xed, 0xed, 0x80, 0x9f, 3},
	{0xee, 0xef, 0x80, 0xbf, 3},
	{0xf0, 0xf0, 0x90, 0xbf, 4},
	{0xf1, 0xf3, 0x80, 0xbf, 4},
	{0xf4, 0xf4, 0x80, 0x8f, 4},
};

/* The length of the multi-byte character at the front of s; 0 where there is none. */
static size_t utf8_length(struct span s)
{
	const unsigned char *c = (const unsigned char *)s.data;
	for (size_t i = 0; i < sizeof(utf8_forms) / sizeof(utf8_forms[0]); i++) {
		if (c[0] < utf8_forms[i].first || c[0] > utf8_forms[i].last)
			continue;
		if (s.len < utf8_forms[i].len || c[1] < utf8_forms[i].second_low ||
			c[1] > utf8_forms[i].second_high)
			return 0;
		for (size_t k = 2; k < utf8_forms[i].len; k++)
			if (c[k] < 0x80 || c[k] > 0xbf)
				return 0;
		return utf8_forms[i].len;
	}
	return 0;
}

enum smtp_charset smtp_text_charset(struct span s)
{
	enum smtp_charset charset = SMTP_CHARSET_ASCII;
	size_t at = 0;
	while (at < s.len) {
		size_t len = (unsigned char)s.data[at] < 0x80 ? 1 : utf8_length(span_from(s, at));
		if (!len)
			return SMTP_CHARSET_BROKEN;
		if (len > 1)
			charset = SMTP_CHARSET_UTF8;
		at += len;
	}
	return charset;
}
