#include "escapes_text.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* Of the most counted; --json has all. */
#define SHOWN 10

static const char *words(const json_t *row, const char *key, const char *unknown)
{
	const char *value = json_string_value(json_object_get(row, key));
	return value ? value : unknown;
}

/* "kumod (uid 998 kumo, pid 4711)" */
static void sender_text(const json_t *row, char *to, size_t size)
{
	const json_t *uid = json_object_get(row, "uid"), *pid = json_object_get(row, "pid");
	if (!json_is_integer(uid)) {
		snprintf(to, size, "forwarded from %s", words(row, "from_device", "another device"));
		return;
	}
	const struct passwd *user = getpwuid((uid_t)json_integer_value(uid));
	/* A process that is not to be seen, or that is gone, may still be known by its service. */
	const char *name = words(row, "process", words(row, "cgroup", "unknown process"));
	int len = snprintf(to, size, "%s (uid %lld%s%s", name, (long long)json_integer_value(uid),
		user ? " " : "", user ? user->pw_name : "");
	if (json_is_integer(pid) && len > 0 && (size_t)len < size)
		len += snprintf(
			to + len, size - (size_t)len, ", pid %lld", (long long)json_integer_value(pid));
	if (len > 0 && (size_t)len < size)
		snprintf(to + len, size - (size_t)len, ")");
}

/* A sender's attempts by one path and device are one line: a port scan, or `mxmirage prove`, fills no screen. */
struct group {
	const json_t *first;
	char sender[160];
	uint64_t packets;
	size_t destinations;
};

static bool same(const json_t *a, const json_t *b, const char *key)
{
	return strcmp(words(a, key, ""), words(b, key, "")) == 0;
}

static int more_packets(const void *left, const void *right)
{
	const struct group *a = left, *b = right;
	return (a->packets < b->packets) - (a->packets > b->packets);
}

static size_t group_all(const json_t *escapes, struct group *groups)
{
	size_t i, count = 0;
	json_t *row;
	json_array_foreach(escapes, i, row)
	{
		char sender[sizeof(groups->sender)];
		size_t at = 0;
		sender_text(row, sender, sizeof(sender));
		while (at < count &&
			!(same(groups[at].first, row, "path") && same(groups[at].first, row, "device") &&
				strcmp(groups[at].sender, sender) == 0))
			at++;
		if (at == count) {
			groups[count++] = (struct group){.first = row};
			memcpy(groups[at].sender, sender, sizeof(sender));
		}
		groups[at].packets += (uint64_t)json_integer_value(json_object_get(row, "packets"));
		groups[at].destinations++;
	}
	if (count > 1)
		qsort(groups, count, sizeof(*groups), more_packets);
	return count;
}

static void group_print(const struct group *group)
{
	char port[24] = "";
	uint16_t number = (uint16_t)json_integer_value(json_object_get(group->first, "port"));
	/* A fragment has none. */
	if (number > 0)
		snprintf(port, sizeof(port), " port %u", number);
	bool several = group->destinations > 1 || !json_is_string(json_object_get(group->first, "to"));
	printf("%12s  %-11s  %-40s  %s%s by %s\n", text_number(group->packets).chars,
		words(group->first, "path", ""), group->sender,
		several ? "several" : words(group->first, "to", ""), several ? "" : port,
		words(group->first, "device", "?"));
}

void escapes_text(const json_t *status)
{
	const json_t *guard = json_object_get(status, "guard"), *escapes = json_object_get(status, "escapes");
	const char *queue = words(guard, "escape_queue", "counters");
	if (json_is_true(json_object_get(guard, "armed")) && strcmp(queue, "counters") == 0)
		printf("             this kernel can count what is stopped, not show it: who tried is "
		       "unknown "
		       "(modprobe nft_queue nfnetlink_queue nfnetlink_log)\n");
	size_t count = json_array_size(escapes);
	struct group *groups = count > 0 ? calloc(count, sizeof(*groups)) : NULL;
	if (!groups)
		return;
	printf("\nwho tried to get past the divert (all of it was stopped; seen by %s)\n", queue);
	printf("%12s  %-11s  %-40s  %s\n", "packets", "path", "sender", "to");
	size_t grouped = group_all(escapes, groups);
	for (size_t i = 0; i < grouped && i < SHOWN; i++)
		group_print(&groups[i]);
	if (grouped > SHOWN || grouped < count)
		printf("%12s  %s--json lists each destination\n", "", grouped > SHOWN ? "and more: " : "");
	free(groups);
}
