#include "smtp_text.h"

#include <arpa/inet.h>
#include <errno.h>

/* RFC 1035 2.3.4. A local part has no limit but the line's: RFC 5321 4.5.3.1 wishes it so. */
#define DOMAIN_MAX 255
#define LABEL_MAX  63

/* The functions below measure what stands at the front of s; 0: it does not stand there. */

static bool starts_with(struct span s, char c)
{
	return s.len && *s.data == c;
}

/* Bytes above 127 are RFC 6531's; whether they are welcome is for the caller to say. */
static bool is_let_dig(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

static bool is_ldh(unsigned char c)
{
	return is_let_dig(c) || c == '-';
}

static bool is_atext(unsigned char c)
{
	return is_let_dig(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Runs of characters of one kind, divided by single dots. */
static size_t dotted_length(struct span s, bool (*is_kind)(unsigned char))
{
	size_t at = 0;
	for (;;) {
		size_t run = at;
		while (at < s.len && is_kind((unsigned char)s.data[at]))
			at++;
		if (at == run)
			return 0;
		if (at == s.len || s.data[at] != '.')
			return at;
		at++;
	}
}

static size_t quoted_length(struct span s)
{
	for (size_t at = 1; at < s.len; at++) {
		unsigned char c = (unsigned char)s.data[at];
		if (c == '"')
			return at + 1;
		if (c == '\\' && ++at < s.len)
			c = (unsigned char)s.data[at];
		if (c < ' ' || c == 0x7f)
			return 0;
	}
	return 0;
}

static size_t domain_length(struct span s)
{
	size_t len = dotted_length(s, is_ldh);
	if (len > DOMAIN_MAX)
		return 0;
	size_t label = 0;
	for (size_t at = 1; at <= len; at++) {
		if (at < len && s.data[at] != '.')
			continue;
		if (at - label > LABEL_MAX || s.data[label] == '-' || s.data[at - 1] == '-')
			return 0;
		label = at + 1;
	}
	return len;
}

/* [192.0.2.1] or [IPv6:2001:db8::1]; RFC 5321 names no other tag. */
static size_t literal_length(struct span s)
{
	const char *end = memchr(s.data, ']', s.len);
	if (!end)
		return 0;
	size_t len = (size_t)(end - s.data) + 1;
	struct span inner = {s.data + 1, len - 2};
	int family = smtp_text_prefix(&inner, "IPv6:") ? AF_INET6 : AF_INET;
	char text[INET6_ADDRSTRLEN];
	unsigned char address[sizeof(struct in6_addr)];
	if (inner.len >= sizeof(text) || memchr(inner.data, '\0', inner.len))
		return 0;
	memcpy(text, inner.data, inner.len);
	text[inner.len] = '\0';
	return inet_pton(family, text, address) == 1 ? len : 0;
}

/* `@one.example,@two.example:` */
static size_t route_length(struct span s)
{
	size_t at = 0;
	while (at < s.len && s.data[at] == '@') {
		size_t len = domain_length(span_from(s, at + 1));
		at += 1 + len;
		if (!len || at == s.len || (s.data[at] != ':' && s.data[at] != ','))
			return 0;
		if (s.data[at++] == ':')
			return at;
	}
	return 0;
}

static int parse_mailbox(struct span *rest, struct smtp_path *path)
{
	struct span s = *rest;
	size_t len = starts_with(s, '"') ? quoted_length(s) : dotted_length(s, is_atext);
	if (!len)
		return -EINVAL;
	path->local = (struct span){s.data, len};
	s = span_from(s, len);
	if (starts_with(s, '@')) {
		s = span_from(s, 1);
		len = starts_with(s, '[') ? literal_length(s) : domain_length(s);
		if (!len)
			return -EINVAL;
		path->domain = (struct span){s.data, len};
		s = span_from(s, len);
	}
	path->mailbox = (struct span){rest->data, rest->len - s.len};
	*rest = s;
	return 0;
}

int smtp_text_path(struct span *rest, struct smtp_path *path)
{
	if (!starts_with(*rest, '<'))
		return -EINVAL;
	struct span s = span_from(*rest, 1);
	size_t route = starts_with(s, '@') ? route_length(s) : 0;
	s = span_from(s, route);
	*path = (struct smtp_path){{s.data, 0}, {s.data, 0}, {s.data, 0}};
	if (route || !starts_with(s, '>')) {
		if (parse_mailbox(&s, path) || !starts_with(s, '>'))
			return -EINVAL;
	}
	*rest = span_from(s, 1);
	return 0;
}
