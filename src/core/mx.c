#include "mx.h"

#include <string.h>

/* Text that is cut where the room ends. */
struct text {
	char *to;
	size_t size, len;
};

static void text_add(struct text *text, struct span s)
{
	size_t room = text->size - 1 - text->len;
	size_t len = s.len < room ? s.len : room;
	memcpy(text->to + text->len, s.data, len);
	text->len += len;
}

static size_t label_count(struct span name)
{
	size_t count = 1;
	for (size_t i = 0; i < name.len; i++)
		count += name.data[i] == '.';
	return count;
}

/* Takes the first label of a name and the dot behind it. */
static struct span label_take(struct span *name)
{
	const char *dot = name->len ? memchr(name->data, '.', name->len) : NULL;
	struct span label = {name->data, dot ? (size_t)(dot - name->data) : name->len};
	*name = span_from(*name, label.len + (dot ? 1 : 0));
	return label;
}

static size_t labels_add(struct span *labels, size_t count, struct span label)
{
	for (size_t i = 0; i < count; i++)
		if (span_equal(labels[i], label))
			return count;
	labels[count] = label;
	return count + 1;
}

size_t mx_site_name(const struct mx_answer *answer, char *to, size_t size)
{
	if (size == 0)
		return 0;
	struct text text = {to, size, 0};
	struct span rest[MX_HOSTS_MAX];
	size_t depth[MX_HOSTS_MAX];
	size_t hosts = answer->host_count < MX_HOSTS_MAX ? answer->host_count : MX_HOSTS_MAX;
	size_t deepest = 0;
	for (size_t i = 0; i < hosts; i++) {
		rest[i] = span_of(answer->hosts[i].name);
		depth[i] = label_count(rest[i]);
		if (depth[i] > deepest)
			deepest = depth[i];
	}
	for (size_t left = deepest; left > 0; left--) {
		struct span labels[MX_HOSTS_MAX];
		size_t count = 0;
		bool missing = false;
		for (size_t i = 0; i < hosts; i++) {
			if (depth[i] < left)
				missing = true;
			else
				count = labels_add(labels, count, label_take(&rest[i]));
		}
		if (count > 1)
			text_add(&text, span_of("("));
		for (size_t i = 0; i < count; i++) {
			if (i > 0)
				text_add(&text, span_of("|"));
			text_add(&text, labels[i]);
		}
		text_add(&text, span_of(count > 1 ? ")" : ""));
		text_add(&text, span_of(missing ? "?" : ""));
		text_add(&text, span_of(left > 1 ? "." : ""));
	}
	to[text.len] = '\0';
	return text.len;
}

bool mx_has_address(const struct mx_answer *answer, const struct in6_addr *address)
{
	for (size_t i = 0; i < answer->address_count; i++)
		if (IN6_ARE_ADDR_EQUAL(&answer->addresses[i], address))
			return true;
	return false;
}
