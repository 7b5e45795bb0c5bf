#include "reply_text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "conf_suggest.h"
#include "smtp_text.h"

/* RFC 5321 4.5.3.1.5 allows 512 bytes for a reply line; the code and what placeholders add need some. */
#define LINE_MAX_BYTES 400
/* Of a whole reply, so that SMTP_REPLY_MAX holds it with a code on every line. */
#define TEXT_MAX_BYTES 1600
#define TEXT_MAX_LINES 20
/* Longer than any placeholder's name with its NUL. */
#define NAME_MAX_BYTES 16

static const struct {
	const char *name;
	size_t offset;
} placeholders[] = {
	{"ip", offsetof(struct reply_facts, ip)},
	{"from", offsetof(struct reply_facts, from)},
	{"rcpt", offsetof(struct reply_facts, rcpt)},
	{"domain", offsetof(struct reply_facts, domain)},
	{"mx", offsetof(struct reply_facts, mx)},
	{"id", offsetof(struct reply_facts, id)},
	{"date", offsetof(struct reply_facts, date)},
};

#define PLACEHOLDER_COUNT (sizeof(placeholders) / sizeof(placeholders[0]))

/* The placeholder whose name stands behind an opening brace; PLACEHOLDER_COUNT where there is none. */
static size_t placeholder_find(const char *name, size_t len)
{
	for (size_t i = 0; i < PLACEHOLDER_COUNT; i++)
		if (span_equal(span_of(placeholders[i].name), (struct span){name, len}))
			return i;
	return PLACEHOLDER_COUNT;
}

static int placeholder_unknown(const char *written, size_t len, struct err *err)
{
	char name[NAME_MAX_BYTES], known[128] = "";
	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name)), written);
	struct conf_suggest suggest = {.word = name};
	for (size_t i = 0; i < PLACEHOLDER_COUNT; i++) {
		size_t used = strlen(known);
		conf_suggest_offer(&suggest, placeholders[i].name);
		snprintf(
			known + used, sizeof(known) - used, "%s{%s}", used ? ", " : "", placeholders[i].name);
	}
	if (suggest.best)
		return err_set(
			err, -EINVAL, "unknown placeholder {%s} (did you mean {%s}?)", name, suggest.best);
	return err_set(
		err, -EINVAL, "unknown placeholder {%s}; there are %s, and {{ for a brace", name, known);
}

/* Checks what begins with the brace at `at`; 0 and *len, its bytes, or -EINVAL. */
static int brace_check(const char *at, size_t *len, struct err *err)
{
	*len = 2;
	if (at[1] == at[0])
		return 0;
	if (at[0] == '}')
		return err_set(err, -EINVAL, "a closing brace without an opening one; write }} for a brace");
	size_t name = strcspn(at + 1, "{}\n");
	if (at[1 + name] != '}')
		return err_set(err, -EINVAL, "an open brace; close the placeholder, or write {{ for a brace");
	if (placeholder_find(at + 1, name) == PLACEHOLDER_COUNT)
		return placeholder_unknown(at + 1, name, err);
	*len = name + 2;
	return 0;
}

int reply_text_check(const char *text, struct err *err)
{
	const char *line = text;
	unsigned lines = 1;
	for (const char *p = text; *p;) {
		unsigned char c = (unsigned char)*p;
		size_t len = 1;
		if (c == '{' || c == '}') {
			int rc = brace_check(p, &len, err);
			if (rc < 0)
				return rc;
		} else if (c == '\n') {
			line = p + 1;
			lines++;
		} else if (c == '\r') {
			return err_set(err, -EINVAL, "a CR would break the reply; divide lines by \\n alone");
		} else if (c < ' ' || c == 0x7f) {
			return err_set(err, -EINVAL,
				"control character 0x%02x would break the reply; leave it out", c);
		}
		p += len;
		if (p - line > LINE_MAX_BYTES)
			return err_set(err, -EINVAL, "a line is longer than %d bytes; divide it by \\n",
				LINE_MAX_BYTES);
		if (p - text > TEXT_MAX_BYTES || lines > TEXT_MAX_LINES)
			return err_set(err, -EINVAL,
				"longer than the %d bytes or %d lines of a reply; shorten it", TEXT_MAX_BYTES,
				TEXT_MAX_LINES);
	}
	if (smtp_text_charset(span_of(text)) == SMTP_CHARSET_BROKEN)
		return err_set(err, -EINVAL, "bytes that are no UTF-8 would break the reply; leave them out");
	return 0;
}

bool reply_text_is_enhanced(const char *text)
{
	size_t at = 2;
	if (text[0] < '2' || text[0] > '5' || text[1] != '.')
		return false;
	size_t subject = strspn(text + at, "0123456789");
	at += subject;
	if (subject < 1 || subject > 3 || text[at++] != '.')
		return false;
	size_t detail = strspn(text + at, "0123456789");
	return detail >= 1 && detail <= 3 && text[at + detail] == '\0';
}

/* Bytes of the character at the front of s; *shown is false where it is none that may be shown. */
static size_t character_len(struct span s, bool *shown)
{
	unsigned char c = (unsigned char)*s.data;
	*shown = c >= ' ' && c < 0x7f;
	if (c < 0x80)
		return 1;
	size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	*shown = len <= s.len && smtp_text_charset((struct span){s.data, len}) == SMTP_CHARSET_UTF8;
	return *shown ? len : 1;
}

struct room {
	char *to;
	size_t len, size;
};

/* Whole characters only. False: it did not fit, and nothing behind it is to be put. */
static bool bytes_put(struct room *room, struct span s)
{
	if (s.len > room->size - room->len)
		return false;
	memcpy(room->to + room->len, s.data, s.len);
	room->len += s.len;
	return true;
}

static bool fact_put(struct room *room, struct span fact)
{
	while (fact.len) {
		bool shown;
		size_t len = character_len(fact, &shown);
		if (!bytes_put(room, shown ? (struct span){fact.data, len} : span_of("?")))
			return false;
		fact = span_from(fact, len);
	}
	return true;
}

size_t reply_text_fill(const char *text, const struct reply_facts *facts, char *to, size_t size)
{
	struct room room = {.to = to, .size = size};
	struct span rest = span_of(text);
	while (rest.len) {
		bool shown, fits;
		size_t used = character_len(rest, &shown);
		const char *end = *rest.data == '{' ? memchr(rest.data, '}', rest.len) : NULL;
		size_t found = end ? placeholder_find(rest.data + 1, (size_t)(end - rest.data) - 1)
				   : PLACEHOLDER_COUNT;
		if (found < PLACEHOLDER_COUNT) {
			const char *fact = (const char *)facts + placeholders[found].offset;
			used = (size_t)(end - rest.data) + 1;
			fits = fact_put(&room, *(const struct span *)fact);
		} else {
			fits = bytes_put(&room, (struct span){rest.data, used});
			/* A brace that stands for itself is written twice. */
			if ((*rest.data == '{' || *rest.data == '}') && rest.len > 1 &&
				rest.data[1] == *rest.data)
				used = 2;
		}
		if (!fits)
			break;
		rest = span_from(rest, used);
	}
	return room.len;
}
